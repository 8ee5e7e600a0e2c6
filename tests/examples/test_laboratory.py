"""The service of the examples: under concurrent requests, every commit keeps the books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

import asynctensor as at
from examples.laboratory import REAGENTS, WELLS, Laboratory, application


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient]:
    laboratory = await Laboratory.open(f"file://{tmp_path}/lab/")
    async with TestClient(TestServer(application(laboratory))) as made:
        yield made


async def test_every_commit_keeps_the_books(client, tmp_path: Path) -> None:
    async def restock(reagent: int, amount: int) -> str:
        async with client.post("/restock", json={"reagent": reagent, "amount": amount}) as answer:
            assert answer.status == 200
            return (await answer.json())["commit"]

    async def measure(plate: int, reagent: int) -> int:
        body = {"plate": plate, "readings": [plate] * WELLS, "reagent": reagent, "amount": 3}
        async with client.post("/measure", json=body) as answer:
            return answer.status

    async def stock(commit: str | None = None) -> dict:
        query = {"commit": commit} if commit else {}
        async with client.get("/stock", params=query) as answer:
            return await answer.json()

    first = await restock(0, 10)
    outcomes = await asyncio.gather(
        *(measure(plate, plate % 2) for plate in range(8)),
        *(restock(reagent, 1) for reagent in (0, 1, 0, 1)),
        *(stock() for _ in range(4)),
    )
    # Of reagent 0 there is enough for three plates; of the other one, for none.
    assert set(outcomes[:8]) == {200, 409}
    assert outcomes[:8].count(200) in (3, 4)
    assert (await stock(first))["stock"] == [10] + [0] * (REAGENTS - 1)
    repo = await at.Repository.open(tmp_path / "lab")
    commits = [each.id async for each in repo.log()]
    assert len(commits) == 1 + 1 + outcomes[:8].count(200) + 4
    for books in [*outcomes[-4:], *[await stock(commit) for commit in commits]]:
        rows = zip(books["stock"], books["delivered"], books["used"], strict=True)
        assert all(left == delivered - used and left >= 0 for left, delivered, used in rows)

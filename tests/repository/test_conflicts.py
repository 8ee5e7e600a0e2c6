"""Conflicts name arrays, chunks and commits; and transactions that are run again come through."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import Aborted, InvalidArgument
from asynctensor.kvstores.repo.conflict_report import boxes


@pytest.fixture
async def repo() -> at.Repository:
    return await at.Repository.open("memory://lab/", create=True, context=at.Context())


async def made(repo: at.Repository, driver: str, path: str = "image/") -> at.TensorStore:
    return await at.open(
        {"driver": driver, "kvstore": repo.kvstore(path)}, create=True, dtype="int32",
        shape=[40, 40], chunk_layout=at.ChunkLayout(chunk_shape=[10, 10]),
    )  # fmt: skip


@pytest.mark.parametrize("driver", ["zarr3", "zarr2", "n5"])
async def test_conflicts_name_arrays_chunks_and_commits(repo: at.Repository, driver: str) -> None:
    image, labels = await made(repo, driver), await made(repo, driver, "deep/labels/")
    txn = repo.transaction()
    total = int((await image.with_transaction(txn).read()).sum())
    total += int((await labels.with_transaction(txn)[:10, :10].read()).sum())
    await repo.kvstore(transaction=txn).read("note")
    await labels.with_transaction(txn)[30, 30].write(total)
    async with repo.transaction(message="plate 7", author="ada") as other:
        await image.with_transaction(other)[10:30, 10:40].write(1)
        await labels.with_transaction(other)[0, 0].write(1)
    await repo.kvstore().write("note", b"x")
    with pytest.raises(Aborted, match=r"chunks \[1:3, 1:4\] of 'image/' .*ada.*plate 7") as caught:
        await txn.commit_async()
    by_path = {each.path: each for each in caught.value.conflicts}
    assert by_path.keys() == {"image/", "deep/labels/", "note"}
    first = by_path["image/"]
    assert first.boxes == (((1, 3), (1, 4)),)
    assert len(first.keys) == 6
    assert first.read
    assert (first.commit_id, first.message, first.author) == (other.commit_id, "plate 7", "ada")
    assert by_path["deep/labels/"].boxes == (((0, 1), (0, 1)),)
    assert by_path["note"].keys == ("note",)
    assert by_path["note"].boxes == ()
    assert by_path["note"].message is None
    assert caught.value.final


async def test_listings_are_named_too(repo: at.Repository) -> None:
    txn = repo.transaction()
    await repo.kvstore("a/", transaction=txn).list()
    await repo.kvstore(transaction=txn).write("b", b"")
    await repo.kvstore("a/").write("x", b"")
    with pytest.raises(Aborted, match="what is listed below 'a/'") as caught:
        await txn.commit_async()
    (conflict,) = caught.value.conflicts
    assert (conflict.path, conflict.keys, conflict.key) == ("a/", (), "a/")


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_boxes_cover_each_cell_once(cells: set[tuple[int, ...]]) -> None:
    covered = [
        (i, j, k)
        for a, b, c in boxes(cells)
        for i in range(*a)
        for j in range(*b)
        for k in range(*c)
    ]
    assert sorted(covered) == sorted(cells)


async def test_transactions_that_are_run_again_come_through(repo: at.Repository) -> None:
    store = await made(repo, "zarr3")
    runs = 0

    async def count(txn: at.Transaction) -> int:
        nonlocal runs
        runs += 1
        cell = store.with_transaction(txn)[3, 3]
        value = int(await cell.read()) + 1
        await cell.write(value)
        return value

    found = await asyncio.gather(*(repo.retry(count, message="one more") for _ in range(12)))
    assert sorted(found) == list(range(1, 13))
    assert int(await store[3, 3].read()) == 12
    assert runs > 12
    assert [each.message async for each in repo.log(limit=12)] == ["one more"] * 12


async def test_retrying_ends(repo: at.Repository) -> None:
    store = await made(repo, "zarr3")
    runs = 0

    async def hopeless(txn: at.Transaction) -> None:
        nonlocal runs
        runs += 1
        await store.with_transaction(txn)[0, 0].read()
        await store.with_transaction(txn)[9, 39].write(1)
        await store[0, 0].write(runs)

    with pytest.raises(Aborted):
        await repo.retry(hopeless, attempts=3)
    assert runs == 3

    async def wrong(txn: at.Transaction) -> None:
        await store.with_transaction(txn)[9, 39].write(1)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await repo.retry(wrong)
    with pytest.raises(InvalidArgument):
        await repo.retry(wrong, attempts=0)
    assert np.asarray(await store[9].read()).sum() == 0

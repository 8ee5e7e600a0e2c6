"""Whoever loses a race leaves nothing in the store."""

from __future__ import annotations

import asyncio

import pytest

import asynctensor as at
from asynctensor.errors import Aborted

LARGE = b"x" * 20_000


def packs(folder) -> set[str]:
    return {each.name for each in (folder / "lab" / "data").rglob("*") if each.is_file()}


async def test_of_many_creators_one_leaves_its_value(tmp_path) -> None:
    repo = await at.Repository.open(tmp_path / "lab", create=True)
    store = repo.kvstore()
    writes = [store.write("k", LARGE + b"%d" % i, if_equal=b"\x02") for i in range(8)]
    stamps = await asyncio.gather(*writes)
    assert [bool(each.generation) for each in stamps].count(True) == 1
    assert len(packs(tmp_path)) == 1
    assert (await store.read("k")).value.startswith(LARGE)


async def test_a_conflict_leaves_nothing(tmp_path) -> None:
    repo = await at.Repository.open(tmp_path / "lab", create=True)
    await repo.kvstore().write("k", b"1")
    txn = repo.transaction()
    store = repo.kvstore(transaction=txn)
    assert (await store.read("k")).value == b"1"
    await store.write("other", LARGE)
    await repo.kvstore().write("k", b"2")
    with pytest.raises(Aborted):
        await txn.commit_async()
    assert packs(tmp_path) == set()

"""A transaction that read nothing misses no commit between its looks and its record."""

from __future__ import annotations

import asyncio

import asynctensor as at
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_calls import read, write
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.staged_value import StagedValue


class Overtaken(StagedValue):
    """Appends to what is stored; somebody else writes while it is first worked out."""

    needs_current = True

    def __init__(self, base: KeyValueStore) -> None:
        self._base = base
        self.times = 0

    async def value(self, current: bytes | None) -> bytes | None:
        self.times += 1
        if self.times == 1:
            stamp = await self._base.write("a", b"theirs ")
            assert stamp.generation
        return (current or b"") + b"ours"


async def test_what_lands_while_values_are_worked_out_is_not_lost() -> None:
    repo = await at.Repository.open("memory://lab/", create=True)
    base = repo.kvstore().store
    await write(base, "a", b"")
    txn = repo.transaction()
    value = Overtaken(base)
    StagedStore(base, txn).staging().stage("a", value)
    await txn.commit_async()
    assert value.times == 2
    assert (await read(base, "a")).value == b"theirs ours"


async def test_masked_writes_of_one_chunk_by_many() -> None:
    repo = await at.Repository.open("memory://lab/", create=True)
    async with repo.transaction() as txn:
        made = {"create": True, "dtype": "uint8", "shape": [40]}
        spec = {"driver": "zarr3", "kvstore": repo.kvstore("x")}
        await at.open(spec, transaction=txn, **made)
    for start in range(0, 40, 4):
        array = await at.open({"driver": "zarr3", "kvstore": repo.kvstore("x")})
        txns = [repo.transaction() for _ in range(4)]
        for i, txn in enumerate(txns, start):
            await array[i].with_transaction(txn).write(i)
        await asyncio.gather(*(txn.commit_async() for txn in txns))
    assert (await array.read()).tolist() == list(range(40))

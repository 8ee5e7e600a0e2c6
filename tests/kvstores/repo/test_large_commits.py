"""Commits of many values: stored ahead in packs, while others are worked out."""

from __future__ import annotations

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted, DataLoss, PermissionDenied
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.stash import Stash
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.open_over import open_over

CHUNK = 1 << 16


async def made(base: KeyValueStore) -> RepositoryStore:
    state = state_of(place_of(base, ""))
    await start(state.create)
    return RepositoryStore(state, source_of(state, {}))


async def image(store: KeyValueStore, chunks: int, **options) -> at.TensorStore:
    layout = at.ChunkLayout(chunk_shape=[1, CHUNK])
    return await open_over(store, dtype="uint8", shape=[chunks, CHUNK], chunk_layout=layout)


async def packs(base: KeyValueStore) -> list[str]:
    return [key for key in await keys(base) if key.startswith("data/")]


async def test_many_chunks_are_on_their_way_before_the_last_is_encoded() -> None:
    base = FaultyStore(MemoryStore())
    array = await image(await made(base), 300)
    data = np.random.default_rng(1).integers(1, 255, (300, CHUNK), np.uint8)
    async with at.Transaction() as txn:
        await array.with_transaction(txn).write(data)
        assert await packs(base) == [], "nothing is stored before the commit"
    assert (await array.read() == data).all()
    found = await packs(base)
    assert 3 <= len(found) <= 10
    assert len({name.split("/")[3] for name in found}) == 1, "all bear the transaction's name"


async def test_chunks_of_many_arrays_and_parts_of_chunks() -> None:
    store = await made(MemoryStore())
    async with at.Transaction() as txn:
        for path in "abcdefg":
            array = await open_over(
                store,
                f"{path}/",
                transaction=txn,
                dtype="int32",
                shape=[1000, 16],
                chunk_layout=at.ChunkLayout(chunk_shape=[10, 16]),
            )
            await array.write(ord(path))
            await array[5:15].write(-1)
    async with at.Transaction() as txn:
        for path in "abcdefg":
            array = await open_over(store, f"{path}/", transaction=txn)
            await array[:, 3].write(7)
    for path in "abcdefg":
        expected = np.full((1000, 16), ord(path), np.int32)
        expected[5:15] = -1
        expected[:, 3] = 7
        assert (await (await open_over(store, f"{path}/")).read() == expected).all()


async def test_a_store_that_refuses_a_pack_fails_the_commit_with_its_own_error() -> None:
    base = FaultyStore(MemoryStore())
    array = await image(await made(base), 300)
    base.fail("write", PermissionDenied("no more"), when=lambda key: key.startswith("data/"))
    txn = at.Transaction()
    await array.with_transaction(txn).write(1)
    with pytest.raises(PermissionDenied, match="no more"):
        await txn.commit_async()
    assert (await array.read() == 0).all()


async def test_what_a_stash_holds_is_for_one_commit_and_copied_for_another() -> None:
    base = MemoryStore()
    store = await made(base)
    domain = store.commit_domain
    assert domain is not None
    stash = domain.stash()
    assert isinstance(stash, Stash)
    body = b"chunk" * 2000
    stored = await start(stash.store, {"c/1": body, "c/2": b"2" * 9000, "zarr.json": b"{}"})
    assert set(stored) == {"c/1", "c/2"}, "a document may stay in the record"
    assert await start(stash.read, "c/1", stored["c/1"]) == body
    assert (await read(store, "c/1")).state == "missing"
    commit = Commit(values={**stored, "zarr.json": b"{}"}, stash=stash)
    await start(domain.commit, commit)
    assert len(await packs(base)) == 1
    await write(store, "c/1", b"other")
    await start(domain.commit, commit)
    assert (await read(store, "c/1")).value == body
    names = {name.split("/")[3] for name in await packs(base)}
    assert len(names) == 2, "the second commit's values lie under its own name"


async def test_a_transaction_that_saw_nothing_costs_one_request() -> None:
    base = FaultyStore(MemoryStore())
    array = await image(await made(base), 3)
    base.requests.clear()
    async with at.Transaction() as txn:
        await array.with_transaction(txn)[1].write(5)
        assert base.requests == []
    written = [(each.operation, each.key.split("/")[0]) for each in base.requests]
    assert written == [("write", "data"), ("write", "log")]
    assert (await array[1].read() == 5).all()


async def test_what_was_looked_up_before_a_transaction_began_is_looked_up_again() -> None:
    store = await made(MemoryStore())
    await write(store, "k", b"1")
    domain = store.commit_domain
    assert domain is not None
    seen = (await read(store, "k")).stamp.generation
    await write(store, "k", b"2")
    commit = Commit({"k": seen}, {"k": b"3"}, looked_up=frozenset("k"), mark=domain.mark())
    with pytest.raises(Aborted, match="somebody else changed"):
        await start(domain.commit, commit)
    assert (await read(store, "k")).value == b"2"


async def test_values_in_objects_of_their_own_and_in_packs_are_read_together(tmp_path) -> None:
    repo = await at.Repository.open(tmp_path / "lab", create=True)
    array = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("a/")},
        create=True,
        dtype="uint8",
        shape=[24, CHUNK],
        chunk_layout=at.ChunkLayout(chunk_shape=[1, CHUNK]),
    )
    data = np.random.default_rng(2).integers(1, 255, (24, CHUNK), np.uint8)
    async with repo.transaction() as txn:
        await array.with_transaction(txn)[:20].write(data[:20])
    for row in (0, 5, 20, 21, 22, 23):  # Each in an object of its own.
        await array[row].write(data[row])
    assert (await array.read() == data).all()
    # One of those of a single row: in the pack of all, some rows are written over.
    packs = (tmp_path / "lab" / "data").glob("*/*/*/0-*")
    damaged = min(packs, key=lambda path: path.stat().st_size)
    body = bytearray(damaged.read_bytes())
    body[17] ^= 1
    damaged.write_bytes(body)
    with pytest.raises(DataLoss, match="checksum"):
        for row in range(24):
            await array[row].read()
            await array[row : row + 1].read()

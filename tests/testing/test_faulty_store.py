"""`FaultyStore` keeps the store contract, and does what it is told."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite, keys, read, write


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore())


async def test_planned_failures() -> None:
    store = FaultyStore(MemoryStore())
    store.fail("write", Unavailable("x"), when=lambda key: key == "b")
    store.fail("write", Unavailable("y"), when=lambda key: key == "c", after=True)
    await write(store, "a", b"1")
    for key in "bc":
        with pytest.raises(Unavailable):
            await write(store, key, b"1")
    assert await keys(store) == ["a", "c"]
    await write(store, "b", b"1")
    assert [r.state for r in store.requests if r.operation == "write"] == [
        "done", "failed", "failed", "done",
    ]  # fmt: skip


@pytest.mark.parametrize("stubborn", [False, True])
async def test_held_requests(stubborn: bool) -> None:
    store = FaultyStore(MemoryStore())
    gate = store.hold("write", stubborn=stubborn)
    written = start(store.write, "a", b"1")
    await gate.reached()
    assert [r.key for r in store.in_flight] == ["a"]
    assert (await read(store, "a")).state == "missing"
    written.cancel()
    if stubborn:
        gate.open()
    with pytest.raises(asyncio.CancelledError):
        await written
    assert store.in_flight == []
    assert await keys(store) == (["a"] if stubborn else [])
    gate.open()
    await write(store, "b", b"1")

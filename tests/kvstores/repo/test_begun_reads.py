"""Reads that are begun without a task: what they find, and what they leave to others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from asynctensor.errors import DataLoss, Error
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Arrival,
    KeyValueStore,
    ReadOptions,
    ReadResult,
    Told,
)
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite


class Far(MemoryStore):
    """A store that begins reads, as those over a network do.

    Attributes:
        begun: Keys of the reads that it began.
        given_up: How many of them were given up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, remote=True, never_waits=False)
        self.begun: list[str] = []
        self.given_up = 0

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        self.begun.append(key)
        outcome: Arrival | Error
        try:
            self.read(key, options).send(None)
        except StopIteration as done:
            result: ReadResult = done.value
            outcome = Arrival(result.state, result.value, result.stamp)
        except Error as error:
            outcome = error
        handle = asyncio.get_running_loop().call_soon(told, outcome)

        def give_up() -> None:
            self.given_up += 1
            handle.cancel()

        return give_up


class Begun(RepositoryStore):
    """Reads by `begin_read`, and by `read` where that says so."""

    blocking = None

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.begin_read(key, options, found.set_result) is None:
            return await super().read(key, options)
        arrival = await found
        if arrival is None:
            return await super().read(key, options)
        return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)


async def made(base: KeyValueStore) -> Begun:
    state = RepositoryState(place_of(base, "lab/"))
    await start(state.create)
    store = Begun(state, source_of(state, {}))
    await start(store.source.snapshot)
    return store


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    async def store(self) -> Begun:
        return await made(Far())

    async def test_pickle(self, store: KeyValueStore) -> None:
        """Another process has a memory of its own: as in `test_repository_store`."""


async def begin(store: RepositoryStore, key: str, options: ReadOptions = DEFAULT_READ) -> Any:
    """What a begun read was told, in a tuple; None: it was not begun."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    if store.begin_read(key, options, found.set_result) is None:
        return None
    return (await found,)


VALUES = {f"a/c/{i}": bytes([i]) * 9000 for i in range(4)} | {"a/zarr.json": b"{}"}


async def filled() -> tuple[Far, Begun]:
    base = Far()
    store = await made(base)
    domain = store.commit_domain
    assert domain is not None
    await start(domain.commit, Commit(values=VALUES))
    return base, store


async def test_values_come_from_their_packs() -> None:
    base, store = await filled()

    async def compare() -> None:
        for key in ("a/c/1", "a/zarr.json", "a/c/9"):
            (told,) = await begin(store, key)
            result = await RepositoryStore.read(store, key)
            assert (told.state, bytes(told.value)) == (result.state, result.value)
            assert told.stamp.generation == result.stamp.generation
        (part,) = await begin(store, "a/c/2", ReadOptions(ByteRange(10, 14)))
        assert bytes(part.value) == b"\2" * 4
        (none,) = await begin(store, "a/c/2", ReadOptions(ByteRange(10, 10)))
        assert none.value == b""

    await start(compare)
    # Neither the document in the record nor the missing key is a request.
    assert [key.partition("/")[2].partition("/")[0] for key in base.begun] == ["data", "data"]


async def test_what_is_not_plain_is_left_to_read() -> None:
    base, store = await filled()

    async def refused() -> None:
        assert await begin(store, "a/c/1", ReadOptions(ByteRange(0, 9001))) is None
        assert await begin(store, "a/c/1", ReadOptions(if_equal=b"other")) is None
        assert await begin(store, "a/c/1", ReadOptions(if_not_equal=b"other")) is None
        branch = await store.state.branch("main")
        await fold_branch(branch, store.state.place)
        # A page leads to it now that nobody has read.
        assert await begin(store, "a/c/1") is None
        assert (await RepositoryStore.read(store, "a/c/1")).value == VALUES["a/c/1"]
        (told,) = await begin(store, "a/c/1")
        assert bytes(told.value) == VALUES["a/c/1"]
        await RepositoryStore.read(store, "a/zarr.json")

    await start(refused)
    assert len(base.begun) == 1


async def test_damage_is_found() -> None:
    base, store = await filled()

    async def damaged() -> None:
        (name,) = [each.key async for each in store.state.place.names("data/")]
        key = store.state.place.key(name)
        body = (await base.read(key)).value
        # The third value, and the end of the last.
        spoilt = bytearray(body[:-1])
        spoilt[2 * 9000 + 17] ^= 1
        await base.write(key, bytes(spoilt))
        for number, sound in enumerate((True, True, False, False)):
            (told,) = await begin(store, f"a/c/{number}")
            assert (told is not None) is sound
            if not sound:
                with pytest.raises(DataLoss):
                    await RepositoryStore.read(store, f"a/c/{number}")
        await base.write(key, None)
        assert await begin(store, "a/c/0") == (None,)

    await start(damaged)


async def test_who_gives_up_is_not_told() -> None:
    base, store = await filled()

    async def given_up() -> None:
        told: list[object] = []
        for key in ("a/c/0", "a/c/9", "a/zarr.json"):
            give_up = store.begin_read(key, DEFAULT_READ, told.append)
            assert give_up is not None
            give_up()
        (after,) = await begin(store, "a/c/1")
        assert bytes(after.value) == VALUES["a/c/1"]
        assert told == []

    await start(given_up)
    assert base.given_up == 1

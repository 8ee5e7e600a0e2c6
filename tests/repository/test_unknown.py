"""A commit that the store does not answer: the outcome is asked for, and never guessed."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from asynctensor.errors import CommitUnknown, Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.resolving import resolve
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import DEFAULT_READ, Buffer, ReadOptions, ReadResult
from asynctensor.testing.kvstore_calls import read, write
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


class Deaf(MemoryStore):
    """Does not answer writes of log slots while `deaf`, and lets them land at once or later."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = super().capabilities
        self.mode = ""
        self.kept: list[tuple[str, bytes]] = []

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        if self.mode and key.startswith("log/"):
            if self.mode == "landed":
                await super().write(key, value, if_equal)
            elif value is not None:
                self.kept.append((key, bytes(value)))
            raise Unavailable("no answer", key=key)
        return await super().write(key, value, if_equal)

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        if self.mode and key.startswith("log/"):
            raise Unavailable("no answer", key=key)
        return await super().read(key, options)

    async def land(self) -> None:
        """What was on its way arrives."""
        for key, value in self.kept:
            await super().write(key, value, b"\x02")


async def made(base: Deaf) -> RepositoryStore:
    state = RepositoryState(place_of(base, ""))
    await start(state.create)
    return RepositoryStore(state, source_of(state, {}))


@pytest.mark.parametrize("mode", ["landed", "lost"])
async def test_resolve_finds_the_outcome(mode: str) -> None:
    base = Deaf()
    store = await made(base)
    await write(store, "a", b"1")
    base.mode = mode
    with pytest.raises(CommitUnknown) as caught:
        await write(store, "a", b"2")
    base.mode = ""
    assert caught.value.resolve is not None
    assert await caught.value.resolve() == ("committed" if mode == "landed" else "aborted")
    assert (await read(store, "a")).value == (b"2" if mode == "landed" else b"1")
    await base.land()
    # Also for whoever reads the log anew, and whoever asks again, from elsewhere.
    other = await made(base)
    assert (await read(other, "a")).value == (b"2" if mode == "landed" else b"1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.resolve is None
    answer = await start(resolve, other.state, again)
    assert answer == ("committed" if mode == "landed" else "aborted")


async def test_what_lands_late_is_committed_once() -> None:
    base = Deaf()
    store = await made(base)
    assert (await read(store, "a")).state == "missing"
    base.mode = "lost"
    with pytest.raises(CommitUnknown):
        await write(store, "a", b"late")
    base.mode = ""
    await base.land()
    await write(store, "b", b"2")
    assert (await read(store, "a")).value == b"late"
    assert store.state.named["main"].log.tail == 2


async def test_others_go_on_meanwhile() -> None:
    base = Deaf()
    store = await made(base)
    assert (await read(store, "a")).state == "missing"
    base.mode = "lost"
    with pytest.raises(CommitUnknown) as caught:
        await write(store, "a", b"1")
    base.mode = ""
    await asyncio.gather(*(write(store, f"k{i}", b"x") for i in range(5)))
    await base.land()
    assert await caught.value.resolve() == "aborted"
    assert (await read(store, "a")).state == "missing"


@pytest.mark.parametrize("staged", [False, True])
async def test_what_may_have_landed_keeps_its_values(staged: bool) -> None:
    base = Deaf()
    store = await made(base)
    large = bytes(20_000)
    await write(store, "a", b"1")
    base.mode = "landed"
    with pytest.raises(CommitUnknown) as caught:
        if staged:
            txn = Transaction()
            await start(StagedStore(store, txn).write, "a", large)
            await txn.commit_async()
        else:
            await write(store, "a", large)
    base.mode = ""
    assert caught.value.resolve is not None
    assert await caught.value.resolve() == "committed"
    assert (await read(store, "a")).value == large

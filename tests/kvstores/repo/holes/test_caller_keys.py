"""A caller's key is committed once, whoever tries again and whenever (H11, R9)."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import CommitUnknown
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.folding import fold_branch
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.holes.wire import Process, crew, play

LARGE = bytes(20_000)


async def done(
    process: Process, key: str = "K", value: bytes = b"1", name: str = "k", **where: str
) -> str | None:
    """Commits a value under a caller's key; gives the commit's id."""
    store = process.store
    if where:
        store = RepositoryStore(process.state, source_of(process.state, where))
    domain = store.commit_domain
    assert domain is not None
    return (await domain.commit(Commit(values={name: value}, caller_key=key))).commit_id


async def bearers(process: Process) -> list[str | None]:
    """The callers' keys of all commits that bear one."""
    entries = [entry for record in await process.records() for entry in record.entries]
    keys = [entry.caller_key for entry in entries if isinstance(entry, CommitEntry)]
    return [key for key in keys if key is not None]


async def data(base: MemoryStore) -> list[str]:
    return [entry.key async for entry in base.list(KeyRange.prefix("data/"))]


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_h11_a_process_that_knows_nothing_of_the_first(folds: int) -> None:
    """P1 lands K in a slot and dies; P2 opens behind it, and tries K again."""

    async def trace(base: MemoryStore) -> None:
        p1, other = await crew(base, 2)
        first = await done(p1)
        for i in range(folds):
            await other.put(f"between {i}", b"1")
            await fold_branch(await other.branch(), other.state.place)
        p2 = Process(base)
        before = await data(base)
        assert await done(p2, value=LARGE) == first
        assert await p2.get("k") == b"1"
        # What was stored for it goes.
        assert await data(base) == before
        assert await bearers(p2) == ["K"]
        assert await done(p2, "another", b"2") != first
        assert await p2.get("k") == b"2"

    play(trace)


def test_h11_the_answer_was_lost() -> None:
    """P1 is told that nobody knows; whoever tries K again has it done once."""

    async def trace(base: MemoryStore) -> None:
        p1, p2 = await crew(base, 2)
        p1.wire.deaf("write", "log/", times=10, served=True)
        p1.wire.deaf("read", "log/", times=10)
        with pytest.raises(CommitUnknown):
            await done(p1)
        assert await done(p2, value=b"again") is not None
        assert await p2.get("k") == b"1"
        assert await bearers(p2) == ["K"]

    play(trace)


def test_of_many_who_try_at_once_one_does_it() -> None:
    async def trace(base: MemoryStore) -> None:
        crew_ = await crew(base, 3)
        tries = [done(each, value=b"%d" % i) for i in range(3) for each in crew_]
        ids = await asyncio.gather(*tries)
        assert len(set(ids)) == 1
        assert await bearers(crew_[0]) == ["K"]

    play(trace)


def test_a_reset_does_not_undo_a_key() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        first = await done(a)
        branch = await a.branch()
        to = snapshot_id(branch.id, (1, 0))
        await Edits(a.state).reset("main", to, None, None, None)
        assert await done(b, value=b"again") == first
        await fold_branch(branch, a.state.place)
        for process in (a, Process(base)):
            assert await done(process, value=b"again") == first
            assert await process.get("k") is None

    play(trace)


@pytest.mark.parametrize("folded", [False, True])
def test_a_branch_has_the_keys_up_to_its_fork(folded: bool) -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        first = await done(a)
        if folded:
            await fold_branch(await a.branch(), a.state.place)
        await Naming(a.state).create_branch("fix", "main")
        behind = await done(a, "behind")
        assert await done(b, branch="fix") == first
        there = await done(b, "behind", branch="fix")
        assert there is not None
        assert behind is not None
        assert there.split("-")[0] != behind.split("-")[0]
        assert await done(Process(base), "behind", b"again", branch="fix") == there

    play(trace)


def test_strangers_do_not_adopt_what_bears_a_key() -> None:
    """They do not know which keys were borne before its base."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        await a.lose_once(b)
        assert await done(a) is not None
        assert not any(key.startswith("intent/") for what, key in a.wire.sent if what == "write")

    play(trace)


def test_keys_are_found_where_pages_are_lost() -> None:
    async def trace(base: MemoryStore) -> None:
        a = (await crew(base, 1))[0]
        first = await done(a)
        await fold_branch(await a.branch(), a.state.place)
        async for entry in base.list(KeyRange.prefix("idx/")):
            await base.write(entry.key, None)
        assert await done(Process(base), value=b"again") == first

    play(trace)

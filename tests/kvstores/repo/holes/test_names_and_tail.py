"""Holes of slots, hints, checkpoints and names (H25 to H31), each replayed as its trace."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import (
    AlreadyExists,
    CommitUnknown,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.folding import folded
from asynctensor.kvstores.repo.hint import Hint
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.kvstore import DEFAULT_READ, ReadOptions, ReadResult
from tests.kvstores.repo.holes.wire import Process, combiner, crew, play


async def fold(process: Process) -> None:
    """Has the newest state become a checkpoint, with the hint that names it."""
    branch = await process.branch()
    assert branch.folder is not None
    await branch.folder(branch)


def of_branch(process: Process, name: str) -> RepositoryStore:
    return RepositoryStore(process.state, source_of(process.state, {"branch": name}))


def test_h25_a_hint_that_went_back() -> None:
    """A late PUT of an old hint: whoever opens must still find the end of the log."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        branch = await a.branch()
        for i in range(5):
            await a.put(f"k{i}")
        await base.write(objects.hint(branch.id), Hint(branch.id, 1).encode())
        opener = Process(base)
        await opener.put("opener")
        assert (await opener.branch()).log.tail == branch.log.tail + 1 == 7
        assert await b.get("k4") == b"x"

    play(trace)


def test_h25_slots_are_never_deleted() -> None:
    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        for i in range(3):
            await a.lose_once(d)
            await a.put(f"k{i}")
        await fold(a)
        await asyncio.sleep(1)
        deleted = {key.split("/")[0] for what, key in a.wire.sent if what == "delete"}
        assert deleted == {"intent"}

    play(trace)


def test_h26_a_hint_that_names_a_checkpoint_that_is_gone() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        await fold(a)
        branch = await a.branch()
        gone = branch.log.tail
        await a.put("k")
        await fold(a)
        await base.write(objects.checkpoint(branch.id, gone), None)
        await base.write(objects.hint(branch.id), Hint(branch.id, gone, gone).encode())
        opener = Process(base)
        await opener.put("opener")
        assert [await opener.get(key) for key in ("first", "k")] == [b"x", b"x"]
        assert await b.get("opener") == b"x"

    play(trace)


@pytest.mark.parametrize("answered", [True, False])
def test_h26_of_two_checkpoints_of_one_state_the_first_counts(answered: bool) -> None:
    """Their pages have names of their own: the second folder goes on from the first's."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        made = []
        if not answered:
            a.wire.deaf("write", "ckpt/", served=True)
        for process in (a, b):
            branch = await process.branch()
            snapshot = branch.newest()
            record = await branch.record(snapshot.version[0])
            made.append(await folded(snapshot, record, process.state.place))
        assert made[0] == made[1]
        pages = [
            key for what, key in a.wire.sent + b.wire.sent if what == "write" and "idx/" in key
        ]
        assert len(set(pages)) == len(pages) == 2

    play(trace)


def test_h28_a_name_that_was_created_and_deleted_is_not_created_again() -> None:
    """The answer to the creation is lost, and another deletes the name before it is looked for."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)

        async def deleted() -> None:
            await Naming(b.state).delete_branch("b1")

        a.wire.deaf("write", "ref/b/b1", served=True)
        a.wire.before("read", "ref/b/b1/0", deleted, skip=1)
        await Naming(a.state).create_branch("b1", "main")
        names = [name for name, *_ in await Naming(b.state).branches()]
        assert names == ["main"]
        assert (await base.read(objects.ref_entry("b", "b1", 2))).state == "missing"

    play(trace)


def test_h28_a_deletion_whose_answer_is_lost_has_happened() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        await Naming(a.state).create_tag("t", "main", None, None)
        b.wire.deaf("write", "ref/t/t/1", served=True)
        await Naming(b.state).delete_tag("t")
        with pytest.raises(AlreadyExists, match="never made anew"):
            await Naming(a.state).create_tag("t", "main", None, None)

    play(trace)


def test_h28_whoever_was_second_did_not_create_the_name() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)

        async def created() -> None:
            await Naming(b.state).create_branch("b1", "main")

        a.wire.before("write", "ref/b/b1/0", created)
        with pytest.raises(AlreadyExists):
            await Naming(a.state).create_branch("b1", "main")

    play(trace)


def test_h28_giving_up_says_that_it_is_not_known() -> None:
    """An attempt is undecided, and the store then fails for good: the name may still appear."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)

        async def refused() -> None:
            raise PermissionDenied("the key has expired")

        a.wire.late("ref/b/b1/0")
        a.wire.before("write", "ref/b/b1/0", refused)
        with pytest.raises(Unavailable):
            await Naming(a.state).create_branch("b1", "main")
        await a.wire.land()
        assert "b1" in [name for name, *_ in await Naming(b.state).branches()]

    play(trace)


def test_h29_a_branch_is_closed_before_its_name_goes() -> None:
    """W has opened the branch and begun; the deletion is acknowledged; W must not commit."""

    async def trace(base: MemoryStore) -> None:
        w, b = await crew(base, 2)
        await Naming(b.state).create_branch("b1", "main")
        store = of_branch(w, "b1")
        await store.write("w", b"1")

        async def deleted() -> None:
            await Naming(b.state).delete_branch("b1")

        w.wire.before("write", "log/", deleted)
        with pytest.raises(FailedPrecondition, match="deleted"):
            await store.write("w", b"2")
        with pytest.raises(FailedPrecondition, match="deleted"):
            await store.write("w", b"3")
        sent = [key.split("/")[0] for what, key in b.wire.sent if what == "write"]
        assert sent[-2:] == ["log", "ref"]

    play(trace)


def test_h29_nothing_is_adopted_into_a_closed_log() -> None:
    """Whoever deletes the branch under contention leaves the intents of strangers alone."""

    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        offered = await a.proposal({"a": b"1"})
        await a.offer(offered)
        await c.lose_once(d)
        await (await c.branch()).close()
        assert await d.outcomes(offered.entry.txn) == []
        # Nor by whoever only aborts something, which needs no record any more.
        combiner(await d.branch()).lost()
        assert not (await d.abort(offered)).committed
        assert await d.outcomes(offered.entry.txn) == []
        with pytest.raises(FailedPrecondition, match="deleted"):
            await a.commit(offered)

    play(trace)


def test_h29_a_name_whose_log_is_closed_goes() -> None:
    """Whoever deleted the branch died after it had closed the log (R23)."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        await Naming(a.state).create_branch("b1", "main")
        await of_branch(b, "b1").write("k", b"x")
        await (await a.state.branch("b1")).close()
        opener = Process(base)
        with pytest.raises(NotFound, match="no branch"):
            await opener.state.branch("b1")
        assert "b1" not in [name for name, *_ in await Naming(b.state).branches()]
        await Naming(b.state).create_branch("b1", "main")
        # Also who had it open gets the new one.
        await of_branch(a, "b1").write("new", b"1")
        assert (await of_branch(opener, "b1").read("new")).value == b"1"

    play(trace)


def test_h29_a_deletion_is_finished_by_deleting_again() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        await Naming(a.state).create_branch("b1", "main")
        a.wire.late("ref/b/b1/1", times=5)
        with pytest.raises(OSError, match="does not say"):
            await Naming(a.state).delete_branch("b1")
        await Naming(a.state).delete_branch("b1")
        assert "b1" not in [name for name, *_ in await Naming(b.state).branches()]
        lineage = await b.state.lineage_of((await a.state.refs.read("b", "b1")).entries[0].branch)
        branch = await b.state.branch_by_id(lineage)
        assert [len(record.entries) for record in await branch._since(1)] == [1]

    play(trace)


def test_h30_a_hit_behind_a_miss_is_not_the_tail() -> None:
    """Slot 2 is asked for and missing; others fill 2 and 3; the question for 3 is answered."""

    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        branch = await a.branch()
        asked = asyncio.Event()

        async def overtaken() -> None:
            asked.set()

        async def others() -> None:
            await asked.wait()
            await d.put("two")
            await d.put("three")

        a.wire.after("read", objects.log_slot(branch.id, 2), overtaken)
        a.wire.before("read", objects.log_slot(branch.id, 3), others)
        await branch.refresh(3)
        assert branch.log.tail == 1
        await a.put("a")
        assert branch.log.tail == 4
        assert [await d.get(key) for key in ("two", "three", "a")] == [b"x"] * 3

    play(trace)


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_h31_a_hint_ahead_of_the_log(checkpoint: int | None) -> None:
    """The hint was written, and the record that it names was not."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        branch = await a.branch()
        await base.write(objects.hint(branch.id), Hint(branch.id, 2, checkpoint).encode())
        opener = Process(base)
        await opener.put("opener")
        assert (await base.read(objects.log_slot(branch.id, 2))).state == "value"
        assert await b.get("opener") == b"x"

    play(trace)


class Cached(MemoryStore):
    """Goes on saying that slots are missing that were missing once."""

    def __init__(self, of: MemoryStore, times: int) -> None:
        super().__init__()
        self.of, self.times = of, times
        self.write, self.list = of.write, of.list  # type: ignore[method-assign]

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        if key.startswith("log/") and self.times:
            self.times -= 1
            return await self.of.read("missing", options)
        return await self.of.read(key, options)


@pytest.mark.parametrize("mine", [False, True])
def test_h31_a_slot_that_is_taken_and_not_shown_is_looked_at_again(mine: bool) -> None:
    """A 404 after a 412 is not an answer."""

    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        if mine:
            a.wire.deaf("write", "log/", served=True)
        else:
            await a.lose_once(d)
        a.wire.base = Cached(base, 3)
        proposal = await a.proposal({"a": b"1"})
        assert (await a.commit(proposal)).committed
        assert await d.outcomes(proposal.entry.txn) == ["commit"]

    play(trace)


def test_h31_a_cache_that_never_tells_leaves_it_unknown() -> None:
    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        a.wire.deaf("write", "log/", served=True)
        a.wire.base = Cached(base, 1000)
        proposal = await a.proposal({"a": b"1"})
        with pytest.raises(CommitUnknown):
            await a.commit(proposal)
        a.wire.base = base
        assert (await a.abort(proposal)).committed
        assert await d.get("a") == b"1"

    play(trace)

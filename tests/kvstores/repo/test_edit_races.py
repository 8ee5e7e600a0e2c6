"""What others commit between the look of whoever goes back, or folds, and its own record."""

from __future__ import annotations

import pytest

from asynctensor.errors import Aborted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.folding import fold_branch, folded
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from tests.kvstores.repo.holes.wire import Process, crew, play


async def ids(process: Process) -> list[str]:
    branch = await process.branch()
    return [snapshot_id(branch.id, (seq, 0)) for seq in range(1, branch.log.tail + 1)]


def test_a_reset_that_expects_a_commit_undoes_none_that_came_meanwhile() -> None:
    async def trace(base: MemoryStore) -> None:
        one, other = await crew(base, 2)
        await one.put("a", b"1")
        first, second = await ids(one)
        one.wire.before("write", "log/", lambda: other.put("b", b"2"))
        with pytest.raises(Aborted, match="newer commits"):
            await Edits(one.state).reset("main", first, second, None, None)
        assert (await one.get("a"), await one.get("b")) == (b"1", b"2")

    play(trace)


def test_a_reset_that_expects_nothing_undoes_it() -> None:
    async def trace(base: MemoryStore) -> None:
        one, other = await crew(base, 2)
        await one.put("a", b"1")
        first, _ = await ids(one)
        one.wire.before("write", "log/", lambda: other.put("b", b"2"))
        await Edits(one.state).reset("main", first, None, None, None)
        assert (await other.get("a"), await other.get("b")) == (None, None)

    play(trace)


def test_a_revert_undoes_nothing_that_was_written_meanwhile() -> None:
    async def trace(base: MemoryStore) -> None:
        one, other = await crew(base, 2)
        await one.put("a", b"1")
        _, second = await ids(one)
        one.wire.before("write", "log/", lambda: other.put("a", b"2"))
        with pytest.raises(Aborted):
            await Edits(one.state).revert("main", second, None, None)
        assert await one.get("a") == b"2"

    play(trace)


def test_of_two_who_fold_the_first_is_believed() -> None:
    """The pages of the second are named by nobody (R20)."""

    async def trace(base: MemoryStore) -> None:
        one, other = await crew(base, 2)
        await one.put("a", b"1")
        branch = await one.branch()
        await fold_branch(branch, one.state.place)
        await other.get("a")
        late = await other.branch()
        record = await late.record(late.newest().version[0])
        given = await folded(late.newest(), record, other.state.place)
        name = objects.checkpoint(branch.id, record.seq)
        assert given == Checkpoint.decode((await base.read(name)).value, object=name)

    play(trace)


def test_a_fold_that_ends_behind_a_reset_brings_nothing_back() -> None:
    async def trace(base: MemoryStore) -> None:
        (one,) = await crew(base, 1)
        await one.put("a", b"1")
        await one.put("a", b"2")
        branch = await one.branch()
        _, second, _ = await ids(one)
        record = await branch.record(branch.newest().version[0])
        late = await folded(branch.newest(), record, one.state.place)
        await Edits(one.state).reset("main", second, None, None, None)
        await branch.rest_on(late)
        assert await one.get("a") == b"1"
        await one.put("b", b"3")
        assert (await one.get("a"), await one.get("b")) == (b"1", b"3")

    play(trace)


def test_an_intent_under_another_name_is_left_to_its_owner() -> None:
    """Else a transaction whose own intent was withdrawn could be offered by a copy of it."""

    async def trace(base: MemoryStore) -> None:
        one, other = await crew(base, 2)
        name = await one.offer(await one.proposal({"a": b"1"}))
        body = (await base.read(name)).value
        branch = await other.branch()
        copied = objects.intent(branch.id, bytes(16))
        elsewhere = objects.intent("0" * 12, (await one.proposal({})).entry.txn)
        await base.write(copied, body)
        await base.write(elsewhere, body)
        found = await Intents(other.state.place, branch.id).load([name, copied, elsewhere])
        assert len(found) == 1
        stranger = Intents(other.state.place, "0" * 12)
        assert await stranger.load([name, elsewhere]) == []

    play(trace)

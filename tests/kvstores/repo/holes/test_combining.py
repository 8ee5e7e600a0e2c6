"""Holes of combining, abort and resolve (H1 to H15), each replayed as the trace that showed it."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    CommitUnknown,
    PermissionDenied,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo import frame
from asynctensor.kvstores.repo.frame import Kind
from asynctensor.kvstores.repo.objects import log_slot
from asynctensor.kvstores.repo.record import branch_bytes
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from tests.kvstores.repo.holes.wire import Process, crew, play


@pytest.mark.parametrize("deletes", [False, True])
def test_h1_h3_an_abort_between_the_look_and_the_record(deletes: bool) -> None:
    """C has looked for aborts and found none; B is aborted; C's record must not land with B."""

    async def trace(base: MemoryStore) -> None:
        c, b, d = await crew(base, 3)
        offered = await b.proposal({"b": b"1"})
        intent = await b.offer(offered)
        await c.lose_once(d)

        async def withdraw() -> None:
            if deletes:
                await base.write(intent, None)
            assert not (await b.abort(offered)).committed

        c.wire.before("write", "log/", withdraw, skip=1)
        await c.put("c")
        assert await c.outcomes(offered.entry.txn) == ["abort"]
        assert [await d.get(key) for key in "bc"] == [None, b"x"]

    play(trace)


def test_h1_who_withdraws_after_the_record_is_told_that_it_landed() -> None:
    async def trace(base: MemoryStore) -> None:
        c, b, d = await crew(base, 3)
        offered = await b.proposal({"b": b"1"})
        intent = await b.offer(offered)
        await c.lose_once(d)
        await c.put("c")
        await base.write(intent, None)
        assert (await b.abort(offered)).committed
        assert await d.get("b") == b"1"

    play(trace)


def test_h2_filling_the_slot_aborts_nothing_that_was_offered() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b, c, d = await crew(base, 4)
        offered = await a.proposal({"a": b"1"})
        await a.offer(offered)
        await b.put("fills the slot")
        assert not (await a.abort(offered)).committed
        await c.lose_once(d)
        await c.put("c")
        assert await c.outcomes(offered.entry.txn) == ["abort"]

    play(trace)


def test_h2_an_abort_and_an_intent_of_one_transaction_in_one_record() -> None:
    """Whoever resolves under contention must not adopt what it aborts."""

    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        offered = await a.proposal({"a": b"1"})
        await a.offer(offered)
        await c.lose_once(d)
        aborted = await c.abort(offered)
        outcomes = await c.outcomes(offered.entry.txn)
        assert outcomes == ["commit" if aborted.committed else "abort"]
        assert await d.get("a") == (b"1" if aborted.committed else None)

    play(trace)


@pytest.mark.parametrize("answered", [False, True])
def test_h4_what_was_offered_is_not_reported_as_failed(answered: bool) -> None:
    """The answer to the intent is lost, the store fails then, the intent lands: C commits it."""

    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        await a.lose_once(d)
        if not answered:
            a.wire.late("intent/")

        async def refused() -> None:
            raise PermissionDenied("the key has expired")

        a.wire.before("write", "log/", refused, skip=1)
        with pytest.raises(CommitUnknown) as caught:
            await a.put("a", b"1")
        await a.wire.land()
        # Whoever was told that nobody knows may have died: the intent is still there.
        await c.lose_once(d)
        await c.put("c")
        assert caught.value.resolve is not None
        answer = await caught.value.resolve()
        assert (await d.get("a") == b"1") is (answer == "committed")
        assert len(await c.outcomes(bytes.fromhex(caught.value.transaction_id))) == 1
        if not answered:
            assert answer == "committed"

    play(trace)


def test_h4_what_was_not_offered_fails_plainly() -> None:
    async def trace(base: MemoryStore) -> None:
        a, *_ = await crew(base, 1)

        async def refused() -> None:
            raise PermissionDenied("the key has expired")

        a.wire.before("write", "log/", refused)
        with pytest.raises(PermissionDenied):
            await a.put("a", b"1")

    play(trace)


def test_h5_nothing_is_offered_before_its_data_is_stored() -> None:
    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        await a.lose_once(d)
        a.wire.late("data/")
        a.wire.sent.clear()
        await a.put("large", bytes(20_000))
        sent = a.wire.sent
        stored = [i for i, (what, key) in enumerate(sent) if what == "write" and "data/" in key]
        named = [i for i, (what, key) in enumerate(sent) if what == "write" and "data/" not in key]
        # The first attempt was not answered: another name was taken, and that answer awaited.
        assert len(stored) == 2
        assert max(stored) < min(named)
        lost, kept = (sent[i][1] for i in stored)
        assert [(await base.read(key)).state for key in (lost, kept)] == ["missing", "value"]
        branch = await a.branch()
        found = await branch.newest().find("large")
        assert found is not None
        assert found[1].object == kept
        await a.wire.land()
        assert await d.get("large") == bytes(20_000)

    play(trace)


def test_h6_intents_are_checked_against_each_other() -> None:
    """A reads x and writes y, B reads y and writes x: one record must not hold both."""

    async def trace(base: MemoryStore) -> None:
        a, b, c, d = await crew(base, 4)
        skewed = [await a.proposal({"y": b"a"}, ("x",)), await b.proposal({"x": b"b"}, ("y",))]
        await a.offer(skewed[0])
        await b.offer(skewed[1])
        await c.lose_once(d)
        await c.put("c")
        landed = [await c.outcomes(each.entry.txn) for each in skewed]
        assert sorted(landed) == [[], ["commit"]]

    play(trace)


@pytest.mark.parametrize("conflicting", ["read", "written", "listed", "cleared"])
def test_h6_an_intent_is_checked_against_the_combiners_own(conflicting: str) -> None:
    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        if conflicting == "read":
            offered = await a.proposal({"y": b"a"}, ("x",))
        elif conflicting == "listed":
            offered = await a.proposal({"y": b"a"}, ranges=(KeyRange("w", "z"),))
        else:
            offered = await a.proposal({"x": b"a"})
        await a.offer(offered)
        await c.lose_once(d)
        if conflicting == "cleared":
            await c.store.delete_range(KeyRange("w", "z"))
        else:
            await c.put("x", b"c")
        assert await c.outcomes(offered.entry.txn) == []

    play(trace)


def test_h6_two_of_one_process_do_not_fail_for_what_did_not_land() -> None:
    """B stands behind A in one group; A is found to conflict with a stranger: B commits."""

    async def trace(base: MemoryStore) -> None:
        p, d = await crew(base, 2)
        a = await p.proposal({"y": b"a"}, ("x",))
        b = await p.proposal({"z": b"b"}, ("y",))
        p.wire.before("write", "log/", lambda: d.put("x", b"d"))
        outcomes = await asyncio.gather(p.commit(a), p.commit(b), return_exceptions=True)
        assert isinstance(outcomes[0], Aborted)
        assert not isinstance(outcomes[1], BaseException)
        assert await d.get("z") == b"b"

    play(trace)


def test_h7_an_intent_that_landed_is_not_applied_again() -> None:
    """It stands in the log before the combiner's base, and its intent is still there."""

    async def trace(base: MemoryStore) -> None:
        a, b, d = await crew(base, 3)
        offered = await a.proposal({"a": b"1"})
        await a.offer(offered)
        await a.commit(offered)
        await a.put("a", b"2")
        late = Process(base)
        await late.lose_once(d)
        await late.put("late")
        assert await b.outcomes(offered.entry.txn) == ["commit"]
        assert await b.get("a") == b"2"

    play(trace)


def test_h7_an_intent_is_judged_from_its_own_base() -> None:
    """What it read was changed behind its base, and before that of the combiner."""

    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)
        offered = await a.proposal({"a": b"1"}, ("x",))
        await a.offer(offered)
        await d.put("x", b"changed")
        late = Process(base)
        await late.lose_once(d)
        await late.put("late")
        assert await late.outcomes(offered.entry.txn) == []

    play(trace)


def test_h8_strangers_skip_all_that_is_not_plainly_disjoint() -> None:
    """Both write one key, and neither read it: the owner may say what becomes of that."""

    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        offered = await a.proposal({"k": b"a"})
        await a.offer(offered)
        await d.put("k", b"d")
        await c.lose_once(d)
        await c.put("c")
        assert await c.outcomes(offered.entry.txn) == []
        assert await c.get("k") == b"d"

    play(trace)


def test_h9_nobody_waits_for_a_dead_owner() -> None:
    """Its intent has the least name, and nobody may adopt it: the others write all the same."""

    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        dead = await a.proposal({"x": b"1"}, ("x",), txn=bytes(16))
        await d.put("x", b"2")
        await a.offer(dead)
        await c.lose_once(d)
        began = asyncio.get_running_loop().time()
        await c.put("c")
        assert asyncio.get_running_loop().time() - began < 20 * 0.02
        assert await c.outcomes(dead.entry.txn) == []

    play(trace)


@pytest.mark.parametrize(("age", "outcome"), [(30.0, ["commit"]), (90.0, [])])
def test_h9_what_a_dead_process_offered_is_not_committed_hours_later(
    age: float, outcome: list[str]
) -> None:
    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        dead = await a.proposal({"a": b"1"})
        await a.offer(dead)
        await asyncio.sleep(age)
        await c.lose_once(d)
        await c.put("c")
        await c.lose_once(d)
        await c.put("c")
        assert await c.outcomes(dead.entry.txn) == outcome

    play(trace)


def test_h10_resolve_writes_the_abort_that_it_answers() -> None:
    """A's record is on its way, B finds the log empty and says "aborted"; the record arrives."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        a.wire.late("log/", times=4)
        proposal = await a.proposal({"a": b"1"})
        with pytest.raises(CommitUnknown):
            await a.commit(proposal)
        assert not (await b.abort(proposal)).committed
        await a.wire.land()
        assert await b.get("a") is None
        assert await b.outcomes(proposal.entry.txn) == ["abort"]

    play(trace)


def test_h12_one_id_and_two_bodies() -> None:
    """A coordinator that began again has more to commit, and finds the id in the log."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        txn = random_bytes(16)
        part = await a.proposal({"1": b"1"}, txn=txn)
        whole = await b.proposal({"1": b"1", "2": b"2"}, txn=txn)
        await a.commit(part)
        with pytest.raises(AlreadyExists, match="other contents"):
            await b.commit(whole)
        # The same body is found, and reported as what it is.
        again = await b.commit(part)
        assert again.committed
        assert await b.outcomes(txn) == ["commit"]

    play(trace)


def test_h13_the_base_is_older_than_the_id() -> None:
    """Who sees the id in a name aborts it; the owner must look where that abort stands."""

    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        tail = (await a.branch()).log.tail

        async def collect() -> None:
            (name,) = [key for what, key in a.wire.sent if key.startswith("data/")]
            txn = bytes.fromhex(name.split("/")[3])
            seen = await b.proposal({}, txn=txn)
            assert not (await b.abort(seen)).committed
            await a.get("first")

        a.wire.after("write", "data/", collect)
        with pytest.raises(Aborted):
            await a.put("large", bytes(20_000))
        assert (await a.branch()).log.tail == tail + 1
        assert await b.get("large") is None

    play(trace)


def test_h13_the_base_is_older_than_values_that_are_stored_while_it_is_staged() -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        domain = a.store.commit_domain
        assert domain is not None
        stash = domain.stash()
        stored = await stash.store({"large": bytes(20_000)})
        seen = await b.proposal({}, txn=stash.txn)
        assert not (await b.abort(seen)).committed
        await a.get("first")
        with pytest.raises(Aborted):
            await domain.commit(Commit({}, dict(stored), stash=stash))
        assert await b.get("large") is None

    play(trace)


async def stranger_entry(base: MemoryStore, process: Process) -> None:
    """Puts a record with an entry of a later version into the next slot."""
    branch = await process.branch()
    await branch.refresh()
    seq = branch.log.tail + 1
    payload = [branch_bytes(branch.id), seq, branch.log.digest, 2**60, [[77, b"news"]]]
    await base.write(log_slot(branch.id, seq), frame.encode(Kind.RECORD, payload), NO_VALUE)


@pytest.mark.parametrize("opened", [False, True])
def test_h15_nothing_is_composed_behind_an_entry_that_is_not_understood(opened: bool) -> None:
    async def trace(base: MemoryStore) -> None:
        a, b = await crew(base, 2)
        before = await a.proposal({"a": b"1"})
        await stranger_entry(base, b)
        late = a if opened else Process(base)
        with pytest.raises(Unimplemented, match="upgrade"):
            await late.commit(before if opened else await late.proposal({"late": b"1"}))
        tail = (await late.branch()).log.tail
        assert (await base.read(log_slot((await a.branch()).id, tail + 1))).state == "missing"

    play(trace)


def test_h15_an_intent_that_is_not_understood_is_skipped() -> None:
    async def trace(base: MemoryStore) -> None:
        a, c, d = await crew(base, 3)
        offered = await a.proposal({"a": b"1"})
        name = await a.offer(offered)
        body = bytearray((await base.read(name)).value)
        body[6:8] = b"\x7f\x7f"
        await base.write(name, bytes(body))
        await c.lose_once(d)
        await c.put("c")
        assert await c.outcomes(offered.entry.txn) == []
        assert await c.get("c") == b"x"

    play(trace)


def test_lost_answers_are_not_failures() -> None:
    """The record landed, and so did another behind it, before anybody was told."""

    async def trace(base: MemoryStore) -> None:
        a, d = await crew(base, 2)

        async def overtaken() -> None:
            await d.get("a")
            await d.put("d")
            raise Unavailable("no answer")

        a.wire.after("write", "log/", overtaken)
        proposal = await a.proposal({"a": b"1"})
        assert (await a.commit(proposal)).committed
        assert await d.outcomes(proposal.entry.txn) == ["commit"]
        assert [await a.get(key) for key in "ad"] == [b"1", b"x"]

    play(trace)

"""`UnreliableStore`: each fault does what it says; without faults it is a store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from asynctensor.errors import Aborted, Unavailable
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.fault_presets import KINDS, LOSSY, PRESETS, Faults
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from asynctensor.testing.store_faults import UnreliableStore

ALL = KeyRange()


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> UnreliableStore:
        return UnreliableStore(MemoryStore(), Faults(latency=0.0), seed=1)


def run(
    body: Callable[[UnreliableStore], Awaitable[object]], faults: Faults, seed: int = 1
) -> UnreliableStore:
    """Runs `body` in virtual time on a store with `faults` over an empty one."""
    store = UnreliableStore(MemoryStore(), faults, seed=seed)

    async def main() -> None:
        await body(store)
        await store.settled()

    simulate(main, seed)
    return store


async def value(store, key: str) -> bytes | None:
    found = await store.read(key)
    return found.value if found.state == "value" else None


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_lost_request_has_no_effect_and_takes_patience() -> None:
    async def body(store) -> None:
        began = now()
        with pytest.raises(Unavailable):
            await store.write("k", b"v")
        assert now() - began > 5
        assert await value(store.base, "k") is None

    assert run(body, Faults(lost_request=1, patience=10)).counts == {"lost_request": 1}


def test_a_lost_answer_has_its_effect() -> None:
    async def body(store) -> None:
        for act in (store.write("k", b"v"), store.read("k"), store.delete_range(ALL)):
            with pytest.raises(Unavailable):
                await act
        assert await value(store.base, "k") is None

    assert run(body, Faults(lost_answer=1)).counts == {"lost_answer": 3}


def test_a_late_write_lands_after_the_caller_was_told_that_it_is_unknown() -> None:
    async def body(store) -> None:
        with pytest.raises(Unavailable):
            await store.write("k", b"v")
        assert await value(store.base, "k") is None
        await store.settled()
        assert await value(store.base, "k") == b"v"
        with pytest.raises(Unavailable):
            await store.delete_range(ALL)
        await store.settled()
        assert await value(store.base, "k") is None

    assert run(body, Faults(late=1, latest=100, patience=0.01)).counts == {"late": 2}


def test_a_late_write_keeps_its_condition() -> None:
    async def body(store) -> None:
        with pytest.raises(Unavailable):
            await store.write("k", b"late", NO_VALUE)
        await store.base.write("k", b"first")
        await store.settled()
        assert await value(store.base, "k") == b"first"

    run(body, Faults(late=1, latest=100, patience=0.01))


def test_a_duplicate_lands_again_and_may_undo_what_came_between() -> None:
    async def body(store) -> None:
        await store.write("k", b"old")
        await store.base.write("k", b"new")
        await store.settled()
        assert await value(store.base, "k") == b"old"

    assert run(body, Faults(duplicated=1)).counts == {"duplicated": 1}


def test_a_write_may_be_refused_because_of_itself() -> None:
    async def body(store) -> None:
        stamp = await store.write("k", b"v", NO_VALUE)
        assert stamp.generation == UNKNOWN
        assert await value(store.base, "k") == b"v"
        # No condition, no refusal; and a condition that does not hold is no fault.
        assert (await store.write("k", b"w")).generation != UNKNOWN
        assert (await store.write("k", b"x", NO_VALUE)).generation == UNKNOWN
        assert await value(store.base, "k") == b"w"

    assert run(body, Faults(refused_own=1)).counts == {"refused_own": 1}


@pytest.mark.parametrize(
    ("kind", "error"),
    [("conflict", Aborted), ("unavailable", Unavailable), ("throttled", Unavailable)],
)
def test_refusals_change_nothing(kind, error) -> None:
    async def body(store) -> None:
        with pytest.raises(error, match=kind):
            await store.write("k", b"v", NO_VALUE)
        assert await value(store.base, "k") is None

    assert run(body, Faults(**{kind: 1})).counts == {kind: 1}


def test_one_write_of_a_key_per_second() -> None:
    async def body(store) -> None:
        await store.write("k", b"1")
        await store.write("other", b"1")
        with pytest.raises(Unavailable, match="throttled"):
            await store.write("k", b"2")
        await asyncio.sleep(1.1)
        await store.write("k", b"3")
        assert await value(store, "k") == b"3"

    assert run(body, Faults(writes_per_second=1)).counts == {"throttled": 1}


def test_a_new_key_may_seem_to_be_missing_for_a_while() -> None:
    async def body(store) -> None:
        await store.write("k", b"v", NO_VALUE)
        assert await value(store, "k") is None
        await asyncio.sleep(10)
        assert await value(store, "k") == b"v"
        assert await value(store, "none") is None

    assert run(body, Faults(hidden=1, memory=5)).counts == {"hidden": 1}


def test_stale_reads_are_of_one_past_version() -> None:
    seen: list[bytes | None] = []

    async def body(store) -> None:
        for number in range(10):
            await store.write("k", b"%d" % number)
            found = await store.read("k", ReadOptions(byte_range=ByteRange(0, 1)))
            seen.append(found.value if found.state == "value" else None)
        await asyncio.sleep(10)
        assert await value(store, "k") == b"9"

    store = run(body, Faults(stale_read=1, memory=0.2))
    assert 0 < store.counts["stale_read"] <= 10
    behind = [n - (-1 if v is None else int(v)) for n, v in enumerate(seen)]
    assert min(behind) >= 0 < max(behind)


def test_a_stale_read_keeps_to_the_conditions_of_the_read() -> None:
    async def body(store) -> None:
        first = await store.write("k", b"1")
        await asyncio.sleep(5)
        second = await store.write("k", b"2")
        for _ in range(20):
            found = await store.read("k", ReadOptions(if_not_equal=first.generation))
            assert (found.state, found.value) in {("unspecified", b""), ("value", b"2")}
            found = await store.read("k", ReadOptions(if_equal=second.generation))
            assert (found.state, found.value) in {("unspecified", b""), ("value", b"2")}

    assert run(body, Faults(stale_read=1, memory=2)).counts["stale_read"] > 0


def test_torn_values_differ_from_what_was_written() -> None:
    whole = bytes(range(100))
    seen = []

    async def body(store) -> None:
        await store.write("k", whole)
        for _ in range(50):
            seen.append(await value(store, "k"))

    assert run(body, Faults(torn_read=1)).counts == {"torn_read": 50}
    assert whole not in seen
    assert {len(torn) == 100 for torn in seen} == {True, False}


def test_stale_listings_show_the_past() -> None:
    seen = []

    async def body(store) -> None:
        await store.base.write("old", b"")
        await store.write("gone", b"")
        await asyncio.sleep(10)
        await store.write("gone", None)
        await store.write("new", b"")
        for _ in range(30):
            seen.append(tuple([entry.key async for entry in store.list(ALL)]))
        await asyncio.sleep(10)
        assert [entry.key async for entry in store.list(ALL)] == ["new", "old"]

    assert run(body, Faults(stale_list=1, memory=1)).counts["stale_list"] > 0
    assert {("gone", "old"), ("new", "old")} <= set(seen)


def test_listings_without_order() -> None:
    async def body(store) -> None:
        assert not store.capabilities.lists_in_order
        for number in range(9):
            await store.write(str(number), b"")
        found = [entry.key async for entry in store.list(ALL)]
        assert sorted(found) == [*"012345678"] != found

    run(body, Faults(unordered_list=True))


def test_a_store_that_lies_about_create_if_absent() -> None:
    async def body(store) -> None:
        await store.write("k", b"1", NO_VALUE)
        assert (await store.write("k", b"2", NO_VALUE)).generation != UNKNOWN
        assert await value(store, "k") == b"2"

    assert run(body, PRESETS["lying"]).counts["overwrites"] == 2


def test_a_store_that_creates_on_condition_of_a_version() -> None:
    async def body(store) -> None:
        stamp = await store.base.write("k", b"1")
        assert (await store.write("k", b"2", b"other")).generation == UNKNOWN
        await store.base.write("k", None)
        assert (await store.write("k", b"3", stamp.generation)).generation != UNKNOWN
        assert await value(store.base, "k") == b"3"

    assert run(body, Faults(creates=1)).counts == {"creates": 1}


@pytest.mark.parametrize("kind", ["lost_request", "lost_answer", "late", "unavailable"])
def test_commits_over_many_keys_fail_as_writes_do(kind) -> None:
    commit = Commit({"a": NO_VALUE}, {"a": b"1", "b": b"1"})

    async def body(store) -> None:
        assert store.commit_domain.identity == store.base.commit_domain.identity
        with pytest.raises(Unavailable):
            await store.commit_domain.commit(commit)
        await store.settled()
        landed = [await value(store.base, key) for key in "ab"]
        assert landed == [b"1" if kind in ("lost_answer", "late") else None] * 2

    assert run(body, Faults(**{kind: 1})).counts == {kind: 1}


def test_a_commit_that_lands_too_late_is_dropped() -> None:
    async def body(store) -> None:
        with pytest.raises(Unavailable):
            await store.commit_domain.commit(Commit({"a": NO_VALUE}, {"a": b"late"}))
        await store.base.write("a", b"first")
        await store.settled()
        assert await value(store.base, "a") == b"first"

    run(body, Faults(late=1, latest=100, patience=0.01))


def test_only_the_keys_that_are_meant() -> None:
    async def body(store) -> None:
        await store.write("b", b"1")
        await store.read("a")
        with pytest.raises(Unavailable):
            await store.write("a", b"1")

    faults = Faults(unavailable=1, when=lambda operation, key: (operation, key) == ("write", "a"))
    assert run(body, faults).counts == {"unavailable": 1}


def test_a_cancelled_write_has_happened_or_never_will() -> None:
    async def body(store) -> None:
        for delay in range(1, 60):
            task = asyncio.create_task(store.write(str(delay), b"v"))
            await asyncio.sleep(delay / 1000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
                raise asyncio.CancelledError
            before = await value(store.base, str(delay))
            await asyncio.sleep(10)
            assert await value(store.base, str(delay)) == before

    run(body, Faults(slow=0))


def test_processes_share_the_store_and_not_its_identity() -> None:
    async def body(store) -> None:
        other = store.another()
        await store.write("k", b"v")
        assert await value(other, "k") == b"v"
        assert other.identity != store.identity
        assert other.requests == store.requests == {"write": 1, "read": 1}

    run(body, Faults())


def test_the_same_seed_gives_the_same_faults_at_the_same_moments() -> None:
    def world(seed: int) -> tuple[list[object], Counter[str]]:
        events: list[object] = []

        async def client(store, name: str) -> None:
            for number in range(20):
                try:
                    stamp = await store.write("k", f"{name}{number}".encode(), NO_VALUE)
                    events.append((now(), name, stamp.generation))
                    found = await store.read("k")
                    events.append((now(), name, found.value))
                except (Unavailable, Aborted) as error:
                    events.append((now(), name, str(error.message)))

        async def body(store) -> None:
            await asyncio.gather(*(client(store, name) for name in "abc"))

        counts = run(body, LOSSY, seed).counts
        return events, counts

    assert world(1) == world(1)
    assert world(1) != world(2)
    assert sum([world(seed)[1] for seed in range(5)], Counter()).keys() <= set(KINDS)


def test_presets_scale() -> None:
    assert LOSSY.scaled(0).scaled(2) == LOSSY.scaled(0)
    assert LOSSY.scaled(0.5).late == LOSSY.late / 2
    assert LOSSY.scaled(0.5).latency == LOSSY.latency
    assert set(PRESETS) >= {"gcs", "tigris", "express", "old_minio", "lying", "s3"}

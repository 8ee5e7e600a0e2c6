"""A store as one transaction sees it."""

from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import Aborted, FailedPrecondition, OutOfRange, Unimplemented
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.kvstore_calls import entries, keys, read, write
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction


@pytest.fixture(params=[True, False], ids=["atomic", "isolated"])
def txn(request: pytest.FixtureRequest) -> Transaction:
    return Transaction(atomic=request.param)


@pytest.fixture
def base() -> MemoryStore:
    return MemoryStore()


async def delete(store: KeyValueStore, key_range: KeyRange) -> None:
    await start(store.delete_range, key_range)


async def test_what_was_staged_is_read_and_listed(base: MemoryStore, txn: Transaction) -> None:
    for name in ("a", "b", "c"):
        await write(base, name, name.encode())
    view = StagedStore(base, txn)
    await write(view, "b", b"changed")
    await write(view, "c", None)
    await write(view, "d", b"new")
    assert [(await read(view, k)).state for k in "abcd"] == ["value", "value", "missing", "value"]
    assert (await read(view, "b")).value == b"changed"
    assert {(e.key, e.size) for e in await entries(view)} == {("a", 1), ("b", 7), ("d", 3)}
    assert await keys(view, KeyRange("b", "d")) == ["b"]
    assert await keys(base) == ["a", "b", "c"]
    await txn.commit_async()
    assert await keys(base) == ["a", "b", "d"]
    assert (await read(base, "b")).value == b"changed"


async def test_options_of_reads(base: MemoryStore, txn: Transaction) -> None:
    view = StagedStore(base, txn)
    await write(base, "k", b"0123456789")
    for _ in range(2):
        stamp = (await read(view, "k")).stamp.generation
        assert (await read(view, "k", ReadOptions(ByteRange(2, 5)))).value == b"234"
        assert (await read(view, "k", ReadOptions(if_not_equal=stamp))).state == "unspecified"
        assert (await read(view, "k", ReadOptions(if_equal=stamp))).state == "value"
        assert (await read(view, "k", ReadOptions(if_equal=b"other"))).state == "unspecified"
        with pytest.raises(OutOfRange):
            await read(view, "k", ReadOptions(ByteRange(5, 11)))
        await write(view, "k", b"0123456789")


async def test_conditions_of_writes(base: MemoryStore, txn: Transaction) -> None:
    view = StagedStore(base, txn)
    made = (await write(view, "k", b"1", NO_VALUE)).generation
    assert made not in (UNKNOWN, NO_VALUE)
    assert (await write(view, "k", b"2", NO_VALUE)).generation == UNKNOWN
    changed = (await write(view, "k", b"2", made)).generation
    assert changed not in (UNKNOWN, NO_VALUE, made)
    assert (await write(view, "k", b"3", made)).generation == UNKNOWN
    assert (await read(view, "k")).value == b"2"


async def test_a_condition_must_still_hold_at_the_commit(
    base: MemoryStore, txn: Transaction
) -> None:
    view = StagedStore(base, txn)
    await write(view, "k", b"mine", NO_VALUE)
    await write(view, "other", b"mine")
    await write(base, "k", b"theirs")
    with pytest.raises(Aborted) as caught:
        await txn.commit_async()
    assert caught.value.key == "k"
    assert (await read(base, "k")).value == b"theirs"
    if txn.atomic:
        assert await keys(base) == ["k"]


async def test_ranges_are_deleted(base: MemoryStore, txn: Transaction) -> None:
    for name in ("a", "b/1", "b/2", "c"):
        await write(base, name, b"stored")
    view = StagedStore(base, txn)
    await write(view, "b/3", b"staged")
    await delete(view, KeyRange.prefix("b/"))
    await write(view, "b/2", b"again")
    assert await keys(view) == ["a", "b/2", "c"]
    assert (await read(view, "b/1")).state == "missing"
    # Not seen by the transaction, but in the range.
    await write(base, "b/4", b"later")
    await txn.commit_async()
    assert await keys(base) == ["a", "b/2", "c"]
    assert (await read(base, "b/2")).value == b"again"


async def test_atomic_reads_are_repeatable(base: MemoryStore) -> None:
    txn = Transaction()
    view = StagedStore(base, txn)
    await write(base, "k", b"1")
    assert (await read(view, "k")).value == b"1"
    await write(base, "k", b"2")
    with pytest.raises(Aborted) as caught:
        await read(view, "k")
    assert caught.value.key == "k"


async def test_a_read_of_nothing_is_checked_too(base: MemoryStore) -> None:
    txn = Transaction()
    view = StagedStore(base, txn)
    assert (await read(view, "k")).state == "missing"
    await write(view, "x", b"because k was missing")
    await write(base, "k", b"1")
    with pytest.raises(Aborted):
        await txn.commit_async()
    assert await keys(base) == ["k"]


async def test_abort_and_close(base: MemoryStore, txn: Transaction) -> None:
    view = StagedStore(base, txn)
    await write(view, "k", b"1")
    txn.abort()
    assert await keys(base) == []
    with pytest.raises(FailedPrecondition, match="aborted"):
        await read(view, "k")
    with pytest.raises(FailedPrecondition):
        await txn.commit_async()
    with pytest.raises(Aborted):
        await txn.future


async def test_stores_without_a_commit_domain() -> None:
    base = MemoryStore(atomic=False)
    with pytest.raises(Unimplemented, match=r"memory://.*atomic=False"):
        await write(StagedStore(base, Transaction()), "k", b"1")
    txn = Transaction(atomic=False)
    await write(StagedStore(base, txn), "k", b"1")
    await txn.commit_async()
    assert await keys(base) == ["k"]


async def test_a_domain_without_a_url_is_refused_by_its_spec(base: MemoryStore) -> None:
    class Nameless(MemoryStore):
        def url(self, path: str) -> str:
            raise Unimplemented("it has none")

    txn = Transaction()
    await write(StagedStore(base, txn), "k", b"1")
    with pytest.raises(FailedPrecondition, match=r'memory:// and \{"driver": "memory"\}: nothing'):
        await write(StagedStore(Nameless(), txn), "k", b"1")
    txn.abort()


async def test_two_domains_are_refused_by_name(base: MemoryStore) -> None:
    txn = Transaction()
    await write(StagedStore(base, txn), "k", b"1")
    with pytest.raises(FailedPrecondition, match="span memory:// and memory://, opened with"):
        await write(StagedStore(MemoryStore(), txn), "k", b"1")
    assert txn.open
    await write(StagedStore(MemoryStore(base.values), txn), "j", b"1")
    await txn.commit_async()
    assert await keys(base) == ["j", "k"]


async def test_commit_is_asked_for_once(base: MemoryStore, txn: Transaction) -> None:
    await write(StagedStore(base, txn), "k", b"1")
    await asyncio.gather(*(txn.commit_async() for _ in range(3)))
    await txn.commit_async()
    await txn.future
    with pytest.raises(FailedPrecondition, match="committed"):
        txn.abort()
    assert (txn.open, txn.commit_started, txn.aborted) == (False, True, False)

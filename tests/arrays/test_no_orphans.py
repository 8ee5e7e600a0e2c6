"""When an error or a cancellation is delivered, no request is in flight, and none starts later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import DeadlineExceeded, Unavailable
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore

Over = Callable[..., Awaitable[ts.TensorStore]]
BOOM = "the store is on fire"
#: Seconds; what ends at all ends in a small part of it.
PATIENCE = 60


async def settled() -> None:
    """Gives the I/O loop and the workers every chance to start something."""

    async def turns() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    for _ in range(3):
        await start(turns)


async def ended(future: Any, faulty: FaultyStore) -> Any:
    """The outcome of a future that must end without a gate being opened for it."""
    task = asyncio.ensure_future(_result(future))
    await asyncio.wait([task], timeout=PATIENCE)
    hangs = not task.done()
    if hangs:
        faulty.open_gates()
        await asyncio.wait([task])
    assert not hangs, "it waits for a store that hangs"
    return task.result()


async def _result(future: Any) -> Any:
    return await future


async def nothing_follows(faulty: FaultyStore) -> None:
    assert faulty.in_flight == []
    count = len(faulty.requests)
    await settled()
    assert len(faulty.requests) == count, faulty.requests[count:]


def is_chunk(key: str) -> bool:
    return "/c/" in key


async def test_failed_read(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(np.arange(40, dtype="i4"))
    faulty.fail("read", Unavailable(BOOM), when=lambda key: key.endswith("/3"))
    with pytest.raises(Unavailable, match=BOOM) as caught:
        await store.read()
    await nothing_follows(faulty)
    assert caught.value.key == "a/c/3"
    assert "a/" in (caught.value.array or "")
    assert (await store.read() == np.arange(40)).all()


@pytest.mark.parametrize("operation", ["read", "write"])
async def test_failed_write(over: Over, faulty: FaultyStore, operation: str) -> None:
    store = await over()
    await store.write(1)
    faulty.fail(operation, Unavailable(BOOM), when=lambda key: key.endswith("/3"))
    with pytest.raises(Unavailable, match=BOOM) as caught:
        await store[::2].write(2)
    await nothing_follows(faulty)
    assert caught.value.key == "a/c/3"
    data = await store.read()
    for cell in range(10):
        part = data[4 * cell : 4 * cell + 4].tolist()
        assert part in ([1, 1, 1, 1], [2, 1, 2, 1]), "a chunk was written in part"
    assert data[12] == 1
    await store[::2].write(3)
    assert (await store[::2].read() == 3).all()


async def test_no_request_follows_an_error(over: Over, faulty: FaultyStore) -> None:
    """While one request fails others are held: the error waits for them, and no new one starts."""
    store = await over()
    await store.write(1)
    gate = faulty.hold("write", when=lambda key: is_chunk(key) and not key.endswith("/0"))
    failing = faulty.hold("write", when=lambda key: key.endswith("/0"))
    faulty.fail("write", Unavailable(BOOM), when=lambda key: key.endswith("/0"))
    written = store.write(2)
    await gate.reached()
    await failing.reached()
    failing.open()
    await settled()
    gate.open()
    with pytest.raises(Unavailable):
        await written
    await nothing_follows(faulty)


@pytest.mark.parametrize("held", ["read", "write"])
async def test_cancelled_write(over: Over, faulty: FaultyStore, held: str) -> None:
    store = await over()
    await store.write(1)
    gate = faulty.hold(held, when=is_chunk)
    task = asyncio.ensure_future(_written(store[::2], 2))
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended(task, faulty)
    await nothing_follows(faulty)
    gate.open()
    data = await store.read()
    for cell in range(10):
        assert data[4 * cell : 4 * cell + 4].tolist() in ([1, 1, 1, 1], [2, 1, 2, 1])


async def _written(store: ts.TensorStore, source: Any) -> None:
    await store.write(source)


async def test_what_waits_for_room_is_not_written_after_a_cancellation(
    over: Over, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynctensor.chunked.remote_write._WINDOW_VALUES", (3, 3))
    store = await over()
    gate = faulty.hold("write", when=is_chunk)
    writing = store.write(np.arange(40, dtype=np.int32))
    await gate.reached(3)
    await settled()
    # Encoded are more of them.
    assert faulty.count("write", is_chunk) == 3
    writing.commit.cancel()
    await settled()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await writing.commit
    assert faulty.count("write", is_chunk) == 3
    await nothing_follows(faulty)
    # Nothing holds a chunk.
    await store.write(np.arange(7, 47, dtype=np.int32))
    assert np.array_equal(await store.read(), np.arange(7, 47))


async def test_an_overwrite_on_its_way_is_waited_for(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    gate = faulty.hold("write", when=is_chunk, stubborn=True)
    written = store.write(2)
    await gate.reached()
    written.cancel()
    await settled()
    assert not written.done(), "it was said to be cancelled while it was being written"
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await written
    await nothing_follows(faulty)


async def test_cancelled_before_it_begins(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    count = len(faulty.requests)
    for begin in (store.read, lambda: store.write(1), store.vindex[[1] * 2000].read):
        future = begin()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        await nothing_follows(faulty)
    assert len(faulty.requests) == count


async def test_cancelled_read(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(1)
    gate = faulty.hold("read", when=is_chunk)
    future = store.read()
    await gate.reached()
    future.cancel()
    # The store answers to a cancellation at once: nobody has to open the gate.
    with pytest.raises(asyncio.CancelledError):
        await ended(future, faulty)
    await nothing_follows(faulty)
    gate.open()
    assert (await store.read() == 1).all()


async def test_a_cancelled_reader_leaves_the_others_alone(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(np.arange(40, dtype="i4"))
    gate = faulty.hold("read", when=is_chunk)
    one, two = store[3:9].read(), store[5:20].read()
    await gate.reached()
    one.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert (await two == np.arange(5, 20)).all()
    await nothing_follows(faulty)


async def test_a_cancelled_writer_leaves_the_others_alone(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    gate = faulty.hold("write", when=is_chunk)
    one = store[0:3].write(1)
    await gate.reached()
    two, three = store[1:4].write(2), store[2:6].write(3)
    await settled()
    two.cancel()
    gate.open()
    await one
    await three
    with pytest.raises(asyncio.CancelledError):
        await two
    await nothing_follows(faulty)
    assert (await store[:6].read()).tolist() == [1, 1, 3, 3, 3, 3]


async def test_the_last_waiter_cancels(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    gate = faulty.hold("read", when=is_chunk)
    future = store.read()
    tasks = [asyncio.ensure_future(_result(future)) for _ in range(2)]
    await gate.reached()
    tasks[0].cancel()
    await settled()
    assert not future.cancelled()
    tasks[1].cancel()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await ended(task, faulty)
    await nothing_follows(faulty)
    assert future.cancelled()


@pytest.mark.parametrize("held", ["read", "write"])
async def test_timeouts_are_kept_although_the_store_hangs(
    over: Over, faulty: FaultyStore, held: str
) -> None:
    store = await over()
    await store.write(1)
    gate = faulty.hold(held, when=is_chunk)
    operation = store.read if held == "read" else lambda **t: store[::2].write(2, **t)
    for limit in ({"timeout": 0.02}, {"deadline": 1.0}):
        future = operation(**limit)
        with pytest.raises(DeadlineExceeded, match=held):
            await ended(future, faulty)
        await nothing_follows(faulty)
    gate.open()


@pytest.mark.parametrize("operation", ["open", "resize", "resolve", "copy", "statistics"])
async def test_every_operation_keeps_its_timeout(
    over: Over, faulty: FaultyStore, operation: str
) -> None:
    store = await over()
    await store.write(1)
    gate = faulty.hold("read")
    calls: dict[str, Callable[[], Any]] = {
        "open": lambda: start(store._driver.refresh, timeout=0.02),
        "resize": lambda: store.resize(exclusive_max=[5], timeout=0.02),
        "resolve": lambda: store.resolve(timeout=0.02),
        "copy": lambda: store[:4].write(store[4:8], timeout=0.02),
        "statistics": lambda: store.storage_statistics(query_not_stored=True, timeout=0.02),
    }
    future = calls[operation]()
    with pytest.raises(TimeoutError):
        await ended(future, faulty)
    await nothing_follows(faulty)
    gate.open()


async def test_failed_and_cancelled_resize(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(1)
    faulty.fail("write", Unavailable(BOOM), when=lambda key: key.endswith("zarr.json"))
    with pytest.raises(Unavailable):
        await store.resize(exclusive_max=[8])
    await nothing_follows(faulty)
    assert (await store.resolve()).shape == (40,)
    gate = faulty.hold("write", when=is_chunk)
    resized = store.resize(exclusive_max=[8])
    await gate.reached()
    resized.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended(resized, faulty)
    await nothing_follows(faulty)
    gate.open()
    resolved = await store.resolve()
    assert resolved.shape == (8,)
    assert (await resolved.read() == 1).all()


async def test_failed_and_cancelled_copy(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(np.arange(40, dtype="i4"))
    faulty.fail("write", Unavailable(BOOM), when=lambda key: key.endswith("/1"))
    with pytest.raises(Unavailable):
        await store[:20].write(store[20:])
    await nothing_follows(faulty)
    gate = faulty.hold("read", when=is_chunk)
    copied = store[:20].write(store[20:])
    await gate.reached()
    copied.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended(copied, faulty)
    await nothing_follows(faulty)
    gate.open()


@pytest.mark.parametrize("reply", ["lost before", "lost after"])
async def test_a_lost_reply_loses_no_update(over: Over, faulty: FaultyStore, reply: str) -> None:
    """Whoever writes again after `Unavailable` gets what was meant, whether it was done or not."""
    store = await over()
    await store.write(np.arange(40, dtype="i4"))
    faulty.fail("write", Unavailable(BOOM), when=is_chunk, after=reply == "lost after")
    with pytest.raises(Unavailable):
        await store[5].write(100)
    await store[6].write(101)
    await store[5].write(100)
    assert (await store[4:8].read()).tolist() == [4, 100, 101, 7]


async def test_conflicts_are_tried_again(over: Over, faulty: FaultyStore) -> None:
    store = await over()
    await store.write(1)
    other = await over()
    gate = faulty.hold("write", when=is_chunk)
    written = store[0].write(2)
    await gate.reached()
    # Behind the back of the first, which knows the generation before this.
    value = await start(faulty.base.read, "a/c/0")
    await start(faulty.base.write, "a/c/0", value.value)
    gate.open()
    await written
    assert store.statistics().conflicts == 1
    assert (await other[:4].read()).tolist() == [2, 1, 1, 1]


async def test_what_was_read_before_a_write_is_not_cached_after_it(
    over: Over, faulty: FaultyStore
) -> None:
    """A reply that comes late must not hide a write that was done meanwhile."""
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    store = await over(context=context, recheck_data=False)
    await store.write(1)
    gate = faulty.hold("read", when=is_chunk, after=True)
    reading = store[:4].read()
    await gate.reached()
    await store[:4].write(2)
    gate.open()
    assert (await reading)[0] in (1, 2)
    assert (await store[:4].read() == 2).all()
    assert (await store[:4].read() == 2).all()


@pytest.mark.parametrize("step", ["staging", "preparing"])
async def test_a_commit_keeps_its_deadline(over: Over, faulty: FaultyStore, step: str) -> None:
    store = await over()
    await store.write(1)
    txn = ts.Transaction(atomic=False)
    staged = store.with_transaction(txn)
    if step == "staging":
        gate = faulty.hold("read")
        staged[:8].write(staged[8:16])
    else:
        await staged[::2].write(2)
        gate = faulty.hold("read", when=is_chunk)
    limit = {"timeout": 0.02} if step == "staging" else {"timeout": -1}
    with pytest.raises(DeadlineExceeded, match="commit"):
        await ended(txn.commit_async(**limit), faulty)
    assert txn.aborted
    gate.open()
    await nothing_follows(faulty)
    assert (await store.read() == 1).all()

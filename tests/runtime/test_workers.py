from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from asynctensor.errors import Aborted, InvalidArgument
from asynctensor.runtime import workers
from asynctensor.runtime.inbox import inbox_of
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.workers import (
    GIL_SLICE,
    WorkerPool,
    shared_pool,
    stop_all_pools,
    usable_cores,
    yield_gil,
)

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(2, "test")
    yield pool
    pool.stop(60)


class Gate:
    """Work that says when it has begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.open.wait()
        return "through"


def test_posted_work_runs_in_order() -> None:
    one, got, done = WorkerPool(1, "test"), [], threading.Event()
    for i in range(100):
        one.post(got.append, i)
    one.post(done.set)
    assert done.wait(60)
    assert got == list(range(100))


def test_threads_start_with_the_work_and_stay_within_the_size() -> None:
    def threads() -> int:
        return sum(t.name.startswith("asynctensor-counted-") for t in threading.enumerate())

    pool = WorkerPool(2, "counted")
    assert threads() == 0
    gates = [Gate() for _ in range(4)]
    for gate in gates:
        pool.post(gate)
    gates[0].begun.wait()
    gates[1].begun.wait()
    assert threads() == pool.size == 2
    assert not gates[2].begun.is_set()
    for gate in gates:
        gate.open.set()
        assert gate.begun.wait(60)


def test_an_error_of_posted_work_is_logged_and_the_worker_lives_on(caplog) -> None:
    one, done = WorkerPool(1, "test"), threading.Event()

    def fail() -> None:
        raise SystemExit("from the work")

    with caplog.at_level(logging.ERROR):
        one.post(fail)
        one.post(done.set)
        assert done.wait(60)
    assert "from the work" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_no_error_of_a_call_ends_the_loop_that_waits(run, pool, error) -> None:
    def fail() -> None:
        raise error("from the work")

    async def main() -> None:
        with pytest.raises(Aborted, match="from the work") as caught:
            await pool.run(fail)
        assert isinstance(caught.value.__cause__, error)

    run(main())


def test_a_call_is_awaited(run, pool) -> None:
    async def main() -> None:
        assert await pool.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 7, 0)
        assert await asyncio.gather(*(pool.run(abs, -i) for i in range(50))) == list(range(50))

    run(main())


def test_a_call_runs_in_the_callers_context(run, pool) -> None:
    async def main() -> None:
        VARIABLE.set("mine")
        call = asyncio.ensure_future(pool.run(VARIABLE.get))
        assert await call == "mine"

    run(main())


def test_results_of_a_burst_wake_the_loop_once(pool) -> None:
    class CountingLoop(asyncio.SelectorEventLoop):
        wakes = 0

        def call_soon_threadsafe(self, *args, **kwargs):
            self.wakes += 1
            return super().call_soon_threadsafe(*args, **kwargs)

    loop = CountingLoop()

    async def main() -> None:
        gates = [Gate(), Gate()]
        for gate in gates:
            pool.post(gate)
        calls = [asyncio.ensure_future(pool.run(abs, -i)) for i in range(50)]
        await asyncio.sleep(0)
        for gate in gates:
            gate.open.set()
        # The loop stands still until all of them have come back.
        while len(inbox_of(loop)) < 50:
            yield_gil()
        assert loop.wakes == 1
        await asyncio.gather(*calls)

    loop.run_until_complete(main())
    loop.close()


def test_a_cancelled_call_that_has_not_begun_never_does(run) -> None:
    one, gate, ran = WorkerPool(1, "test"), Gate(), []
    one.post(gate)

    async def main() -> None:
        call = asyncio.ensure_future(one.run(ran.append, 1))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.open.set()
        await one.run(int)

    run(main())
    assert not ran


def test_a_cancelled_call_that_has_begun_is_waited_for(run, pool) -> None:
    gate = Gate()

    async def main() -> None:
        call = asyncio.ensure_future(pool.run(gate))
        await asyncio.to_thread(gate.begun.wait)
        for _ in range(3):
            call.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not call.done()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(main())


class Buffer:
    pass


def test_a_waiting_worker_keeps_nothing_alive(run) -> None:
    pool = WorkerPool(1, "test")

    async def main() -> list[weakref.ref]:
        buffer, other = Buffer(), Buffer()
        references = [weakref.ref(buffer), weakref.ref(other)]
        await pool.run(id, buffer)
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        pool.post(lambda b: loop.call_soon_threadsafe(done.set), other)
        await done.wait()
        return references

    references = run(main())
    give_up = time.monotonic() + 60
    while any(reference() for reference in references) and time.monotonic() < give_up:
        yield_gil()  # the worker may still be on its way back to the queue
    assert [reference() for reference in references] == [None, None]


def test_threads_end_with_their_pool() -> None:
    pool, threads = WorkerPool(1, "test"), []
    done = threading.Event()
    pool.post(lambda: (threads.append(threading.current_thread()), done.set()))
    done.wait()
    del pool
    gc.collect()
    threads[0].join(60)
    assert not threads[0].is_alive()


def test_a_stopped_pool_starts_anew() -> None:
    pool, done = WorkerPool(1, "test"), threading.Event()
    pool.post(done.set)
    done.wait()
    pool.stop(60)
    done.clear()
    pool.post(done.set)
    assert done.wait(60)


def test_stopping_does_not_wait_for_stuck_work_for_ever() -> None:
    pool, gate = WorkerPool(1, "test"), Gate()
    pool.post(gate)
    gate.begun.wait()
    stop_all_pools(0.01)
    gate.open.set()


def test_the_process_shares_pools_by_name() -> None:
    assert shared_pool("test-shared", 2) is shared_pool("test-shared", 3)
    assert shared_pool("test-shared", 4).size == 2
    assert repr(shared_pool("test-shared", 2)) == "WorkerPool(2, 'test-shared')"


@pytest.mark.parametrize("size", [0, -1])
def test_a_pool_without_threads_is_refused(size) -> None:
    with pytest.raises(InvalidArgument):
        WorkerPool(size, "test")


def test_the_gil_is_given_up_when_its_time_is_over(monkeypatch, in_thread) -> None:
    now, given = [1000.0], []
    monkeypatch.setattr(SOURCES, "monotonic", lambda: now[0])
    monkeypatch.setattr(workers, "sleep", given.append)

    def work() -> None:
        yield_gil()
        assert given == [0]
        for step in (0.4, 0.4, 0.4):
            now[0] += step * GIL_SLICE
            yield_gil()

    in_thread(work).result()
    assert given == [0, 0]


def test_shared_pools_have_as_many_threads_as_processors_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64

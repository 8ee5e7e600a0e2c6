from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asynctensor.errors import Aborted, DeadlineExceeded, FailedPrecondition, InvalidArgument
from asynctensor.runtime.clock import NEVER
from asynctensor.runtime.event_loop import (
    at_exit,
    io_loop,
    on_io_loop,
    run_on,
    shutdown,
    start,
    start_begun,
)
from asynctensor.runtime.future import Future
from asynctensor.runtime.inbox import inbox_of
from asynctensor.runtime.job import Job
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.promise import Promise

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


@pytest.fixture(autouse=True)
def fresh_runtime() -> Iterator[None]:
    yield
    shutdown()


async def where() -> tuple[bool, str, asyncio.AbstractEventLoop]:
    return on_io_loop(), threading.current_thread().name, asyncio.get_running_loop()


async def add(a: int, b: int) -> int:
    return a + b


class Stuck:
    """Work that goes on until it is cancelled, and takes a few turns to unwind."""

    def __init__(self) -> None:
        self.begun, self.begin = Promise.new()
        self.unwound = False

    async def __call__(self) -> None:
        self.begun.set_result(None)
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.005)
            self.unwound = True


# -- Where work runs -------------------------------------------------------------------------


def test_work_runs_on_the_one_io_loop() -> None:
    assert not on_io_loop()
    on_it, name, loop = start(where).result()
    assert on_it
    assert name == "asynctensor-io"
    assert loop is io_loop()
    assert start(add, 1, 2).result() == 3


def test_the_loop_is_uvloop_where_it_can_be_imported() -> None:
    try:
        import uvloop
    except ImportError:
        kind = asyncio.AbstractEventLoop
    else:
        kind = uvloop.Loop
    assert isinstance(io_loop(), kind)


def test_every_thread_gets_the_same_loop(in_thread) -> None:
    barrier = threading.Barrier(8)

    def ask() -> asyncio.AbstractEventLoop:
        barrier.wait()
        return io_loop()

    threads = [in_thread(ask) for _ in range(8)]
    assert len({id(thread.result()) for thread in threads}) == 1


def test_work_started_on_the_io_loop_itself() -> None:
    async def outer() -> int:
        return await start(add, 3, 4)

    assert start(outer).result() == 7


def test_work_fails_with_its_error() -> None:
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        start(fail).result()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_error_of_the_work_ends_the_loop(error) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(error):
        start(fail).result()
    assert start(add, 1, 1).result() == 2


def test_a_function_that_cannot_be_called_fails_the_future() -> None:
    with pytest.raises(TypeError):
        start(add, 1).result()


def test_what_is_begun_while_the_loop_ends_is_ended_too() -> None:
    kept: list[Any] = []
    late: list[asyncio.Task[None]] = []

    async def last() -> Any:
        try:
            yield
        finally:
            # All others have been cancelled by then.
            late.append(asyncio.ensure_future(asyncio.sleep(3600)))

    async def begin() -> None:
        kept.append(last())
        await anext(kept[0])

    start(begin).result()
    shutdown()
    assert late[0].cancelled()


def test_context_variables_are_captured_at_submission(run) -> None:
    async def read() -> str:
        return VARIABLE.get()

    async def main() -> None:
        VARIABLE.set("first")
        future = start(read)
        VARIABLE.set("second")
        assert await future == "first"

    run(main())


def test_blocking_the_io_loop_is_refused() -> None:
    async def work() -> str:
        future = start(add, 1, 2)
        with pytest.raises(FailedPrecondition, match="await the Future instead"):
            future.result()
        await future
        assert future.result() == 3
        with pytest.raises(FailedPrecondition, match="own thread"):
            shutdown()
        return "done"

    assert start(work).result() == "done"


def test_result_inside_a_running_loop_works(run) -> None:
    async def main() -> None:
        assert start(add, 1, 2).result() == 3

    run(main())


# -- How it gets there -----------------------------------------------------------------------


def test_submissions_of_one_turn_cross_with_one_wake_up(run) -> None:
    async def main() -> None:
        inbox = inbox_of(io_loop())
        held, hold = threading.Event(), threading.Event()
        # The I/O loop stands still.
        inbox.post(lambda _: (held.set(), hold.wait()), None)
        held.wait()
        futures = [start(add, i, 1) for i in range(100)]
        assert len(inbox) == 0
        await asyncio.sleep(0)
        assert len(inbox) == 1
        hold.set()
        assert await asyncio.gather(*futures) == list(range(1, 101))

    run(main())


def test_force_ends_the_turn(run) -> None:
    async def main() -> None:
        done = threading.Event()

        async def work() -> None:
            done.set()

        future = start(work)
        future.force()
        assert done.wait(60)
        await future

    run(main())


# -- Cancelling ------------------------------------------------------------------------------


def test_cancel_is_done_when_the_work_has_unwound() -> None:
    work = Stuck()
    future = start(work)
    work.begin.result()
    assert future.cancel()
    with pytest.raises(asyncio.CancelledError):
        future.result()
    assert work.unwound


def test_work_cancelled_before_its_turn_never_runs(run) -> None:
    ran = []

    async def work() -> None:
        ran.append(1)

    async def main() -> None:
        future = start(work)
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    run(main())
    assert start(add, 1, 1).result() == 2
    assert not ran


def test_work_cancelled_on_its_loop_before_its_first_step() -> None:
    async def outer() -> str:
        future = start(add, 1, 1)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        return "cancelled"

    assert start(outer).result() == "cancelled"


def test_work_may_finish_in_spite_of_a_cancel() -> None:
    begun = threading.Event()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "finished"
        return ""

    future = start(stubborn)
    begun.wait()
    future.cancel()
    assert future.result() == "finished"


# -- Time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timeout", "deadline"])
def test_work_out_of_time_is_cancelled_and_unwound(name) -> None:
    work = Stuck()
    for seconds in (0.01, 0.1, 1.0, 10.0):
        limit = seconds if name == "timeout" else time.time() + seconds
        with pytest.raises(DeadlineExceeded) as caught:
            start(work, **{name: limit}).result()
        assert isinstance(caught.value, TimeoutError)
        if work.begin.done():
            break
        # A busy machine has let the time run out before the work began.
    assert work.unwound


@pytest.mark.parametrize("limit", [{"timeout": 0}, {"timeout": -1}, {"deadline": 5}])
def test_work_whose_time_is_over_never_runs(limit) -> None:
    ran = []

    async def work() -> None:
        ran.append(1)

    with pytest.raises(DeadlineExceeded, match="before the start"):
        start(work, **limit).result()
    assert not ran


def test_a_timeout_of_the_work_itself_stays_what_it_is() -> None:
    async def fail() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work") as caught:
        start(fail, timeout=60).result()
    assert not isinstance(caught.value, DeadlineExceeded)


def test_enough_time_changes_nothing() -> None:
    assert start(add, 1, 2, timeout=60, deadline=time.time() + 60).result() == 3


def test_nonsense_limits_are_refused_at_once() -> None:
    with pytest.raises(InvalidArgument):
        start(add, 1, 2, timeout=float("nan"))


# -- The end ---------------------------------------------------------------------------------


def test_shutdown_cancels_work_and_runs_the_closers_in_reverse() -> None:
    work, order = Stuck(), []
    future = start(work)
    work.begin.result()

    def closer(name: str):
        async def close() -> None:
            assert on_io_loop()
            assert work.unwound
            order.append(name)
            if name == "bad":
                raise OSError("it does not close")

        return close

    for name in ("first", "bad", "last"):
        at_exit(closer(name))
    loop = io_loop()
    shutdown()
    assert order == ["last", "bad", "first"]
    assert future.cancelled()
    assert loop.is_closed()
    assert start(add, 1, 1).result() == 2
    assert io_loop() is not loop
    shutdown()
    assert order == ["last", "bad", "first"]


def test_what_unwinds_may_still_work_on_the_loop() -> None:
    begun, got = threading.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            got.append(await start(add, 1, 2))

    start(work)
    begun.wait()
    shutdown()
    assert got == [3]


def test_submissions_while_it_ends_are_refused_and_not_forgotten(in_thread) -> None:
    ending, go_on = threading.Event(), threading.Event()

    async def closer() -> None:
        ending.set()
        await asyncio.to_thread(go_on.wait)

    at_exit(closer)
    start(add, 1, 1).result()
    thread = in_thread(shutdown)
    ending.wait()
    future = start(add, 1, 1)
    go_on.set()
    thread.result()
    with pytest.raises(FailedPrecondition, match="the runtime ended"):
        future.result(timeout=60)


def test_what_arrives_too_late_to_be_seen_is_refused() -> None:
    io_loop()
    future = Future._pending()
    PROCESS.io._arriving.append(Job(future, add, (1, 2), NEVER))
    shutdown()
    with pytest.raises(FailedPrecondition, match="the runtime ended"):
        future.result(timeout=60)


def test_shutdown_without_a_runtime_does_nothing() -> None:
    shutdown()
    shutdown()


# -- run_on ----------------------------------------------------------------------------------


def test_a_service_makes_its_own_loop_the_io_loop(run, in_thread) -> None:
    order: list[str] = []

    async def close() -> None:
        order.append("closed")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        run_on(loop)
        run_on(loop)
        at_exit(close)
        assert io_loop() is loop
        assert on_io_loop()
        future = start(where)
        with pytest.raises(FailedPrecondition, match="await the Future instead"):
            future.result()
        assert (await future)[2] is loop
        assert future.result()[0]
        thread = in_thread(lambda: start(add, 1, 2).result())
        assert await asyncio.to_thread(thread.result) == 3

    run(main())
    assert order == ["closed"]
    # The service's loop is closed: from here on the runtime has its own again.
    assert start(where).result()[1] == "asynctensor-io"


def test_run_on_before_the_loop_runs() -> None:
    loop = asyncio.new_event_loop()
    run_on(loop)
    try:
        assert loop.run_until_complete(start(where))[2] is loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_run_on_comes_too_late_once_the_runtime_runs(run) -> None:
    io_loop()

    async def main() -> None:
        with pytest.raises(FailedPrecondition, match="before anything is opened"):
            run_on(asyncio.get_running_loop())

    run(main())


def test_many_tasks_and_threads_at_once(run, in_thread) -> None:
    async def one(i: int) -> int:
        total = 0
        for k in range(5):
            total += await start(add, i, k)
        return total

    async def main() -> list[int]:
        return await asyncio.gather(*(one(i) for i in range(50)))

    expected = [5 * i + 10 for i in range(50)]
    threads = [in_thread(lambda: run(main())) for _ in range(4)]
    assert [thread.result() for thread in threads] == [expected] * 4


def test_future_of_a_coroutine_stays_on_the_callers_loop(run) -> None:
    async def main() -> None:
        assert (await Future(where()))[0] is False

    run(main())


# -- Work without a task ----------------------------------------------------------------------


class Begun:
    """Work that is begun without a task, and what became of it."""

    def __init__(self, *, begins: bool = True) -> None:
        self.begins = begins
        self.told: Any = None
        self.given_up = 0
        self.contexts: list[str] = []
        self._begun, self.has_begun = Promise.new()

    def __call__(self, a: int, b: int, told: Any) -> Any:
        assert on_io_loop()
        self.contexts.append(VARIABLE.get())
        self.told = told
        self._begun.set_result(None)
        return self.give_up if self.begins else None

    def give_up(self) -> None:
        assert on_io_loop()
        self.given_up += 1

    def tell(self, outcome: object) -> None:
        io_loop().call_soon_threadsafe(self.told, outcome)


async def test_begun_work_goes_without_its_coroutine() -> None:
    work = Begun()
    VARIABLE.set("caller's")
    found = start_begun(work, add, 1, 2)
    await work.has_begun
    work.tell(7)
    assert await found == 7
    assert work.contexts == ["caller's"]
    work = Begun()
    failing = start_begun(work, add, 1, 2)
    await work.has_begun
    work.tell(DeadlineExceeded("late"))
    with pytest.raises(DeadlineExceeded, match="late"):
        await failing


async def test_begun_work_takes_its_coroutine_where_it_must() -> None:
    assert await start_begun(Begun(begins=False), add, 1, 2) == 3
    work = Begun()
    found = start_begun(work, add, 1, 2)
    await work.has_begun
    work.tell(None)
    assert await found == 3

    def broken(*_: object) -> None:
        raise InvalidArgument("no such work")

    with pytest.raises(InvalidArgument, match="no such work"):
        await start_begun(broken, add, 1, 2)


async def test_begun_work_is_given_up() -> None:
    work = Begun()
    found = start_begun(work, add, 1, 2)
    await work.has_begun
    found.cancel()
    with pytest.raises(asyncio.CancelledError):
        await found
    assert work.given_up == 1
    # Before it crosses over, it is never begun; after it went over to its coroutine, that ends.
    work = Begun()
    found = start_begun(work, add, 1, 2)
    found.cancel()
    with pytest.raises(asyncio.CancelledError):
        await found
    assert work.contexts == []
    work, stuck = Begun(), Stuck()
    waiting = start_begun(work, lambda a, b: stuck(), 1, 2)
    await work.has_begun
    work.tell(None)
    await stuck.begin
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stuck.unwound
    assert work.given_up == 0


def test_whoever_waits_when_the_runtime_ends_is_told() -> None:
    work, late = Begun(), list[Future[None]]()
    untold = start_begun(work, add, 1, 2)
    work.has_begun.result(timeout=60)
    begun, has_begun = Promise.new()

    async def stubborn() -> None:
        begun.set_result(None)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def close() -> None:
        late.append(start(asyncio.sleep, 3600))

    stuck = start(stubborn)
    has_begun.result(timeout=60)
    at_exit(close)
    shutdown()
    for future in (untold, stuck):
        with pytest.raises(Aborted, match="ended during this operation"):
            future.result(timeout=60)
    with pytest.raises(asyncio.CancelledError):
        late[0].result(timeout=60)


def test_whoever_waits_when_a_services_loop_ends_is_told(run) -> None:
    work, untold = Begun(), list[Future[int]]()

    async def main() -> None:
        run_on(asyncio.get_running_loop())
        untold.append(start_begun(work, add, 1, 2))
        await work.has_begun

    run(main())
    with pytest.raises(Aborted, match="ended during this operation"):
        untold[0].result(timeout=60)

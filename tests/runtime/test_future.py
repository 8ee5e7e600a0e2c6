from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import pickle
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator

import pytest

from asynctensor.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
)
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise


class Oops(Exception):
    pass


def blocked(promise_future) -> None:
    """Returns once some waiter has entered the future."""
    while not promise_future._entries:
        time.sleep(0)  # lets the other thread run; ends as soon as it has


# -- States ----------------------------------------------------------------------------------


def test_a_resolved_future() -> None:
    future = Future.resolved(3)
    assert future.done()
    assert not future.cancelled()
    assert not future.cancel()
    assert future.result() == 3
    assert future.result(timeout=0) == 3
    assert future.exception() is None
    assert repr(future) == "<Future succeeded>"


def test_a_failed_future() -> None:
    error = Oops("no")
    future = Future.failed(error)
    assert future.done()
    assert future.exception() is error
    with pytest.raises(Oops) as caught:
        future.result()
    assert caught.value is error


def test_a_promise_is_kept_once() -> None:
    promise, future = Promise.new()
    assert not future.done()
    promise.set_result(1)
    promise.set_result(2)
    promise.set_exception(Oops())
    promise.set_cancelled()
    assert future.result() == 1


def test_a_promise_fails() -> None:
    promise, future = Promise[int].new()
    promise.set_exception(Oops("x"))
    with pytest.raises(Oops, match="x"):
        future.result()


@pytest.mark.parametrize("wrong", ["text", ValueError, None, 3])
def test_a_promise_fails_with_exceptions_only(wrong) -> None:
    promise, future = Promise.new()
    with pytest.raises(IncompatibleType, match="must be an instance of an exception"):
        promise.set_exception(wrong)
    assert not future.done()


def test_failing_with_a_cancellation_is_being_cancelled() -> None:
    promise, future = Promise.new()
    promise.set_exception(asyncio.CancelledError())
    assert future.cancelled()


def test_a_dropped_promise_leaves_nobody_waiting() -> None:
    promise, future = Promise.new()
    del promise
    gc.collect()
    assert isinstance(future.exception(timeout=1), Aborted)


def test_cancel_without_a_producer_that_must_unwind() -> None:
    promise, future = Promise.new()
    assert future.cancel()
    assert not future.cancel()
    assert future.cancelled()
    assert future.done()
    for ask in (future.result, future.exception):
        with pytest.raises(asyncio.CancelledError):
            ask()
    promise.set_result(1)
    assert future.cancelled()


def test_cancel_asks_the_producer_once_and_waits_for_it() -> None:
    asked: list[int] = []
    promise, future = Promise.new(lambda: asked.append(1))
    assert future.cancel()
    assert future.cancel()
    assert asked == [1]
    assert not future.done()
    assert not future.cancelled()
    promise.set_cancelled()
    assert future.cancelled()
    assert not future.cancel()


def test_a_producer_may_finish_in_spite_of_a_cancel() -> None:
    promise, future = Promise.new(lambda: None)
    future.cancel()
    promise.set_result(5)
    assert future.result() == 5


def test_an_error_keeps_its_traceback_short_however_often_it_is_raised() -> None:
    future = Future.failed(Oops())
    lengths = set()
    for _ in range(5):
        try:
            future.result()
        except Oops as error:
            traceback, length = error.__traceback__, 0
            while traceback is not None:
                traceback, length = traceback.tb_next, length + 1
            lengths.add(length)
    assert len(lengths) == 1


def test_a_future_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="wait for its result"):
        pickle.dumps(Future.resolved(1))


def test_type_parameters() -> None:
    assert Future[int] is not None
    assert Future[int](3).result() == 3


# -- Conversion ------------------------------------------------------------------------------


def test_a_future_of_a_value_and_of_a_future() -> None:
    future = Future(3)
    assert future.result() == 3
    assert Future(future) is future


def test_a_coroutine_needs_a_loop() -> None:
    async def value() -> int:
        return 1

    with pytest.raises(InvalidArgument, match="pass loop="):
        Future(value())


def test_a_coroutine_runs_on_the_running_loop(run) -> None:
    async def value() -> object:
        return asyncio.get_running_loop()

    async def main() -> None:
        future = Future(value())
        assert not future.done()
        assert await future is asyncio.get_running_loop()
        loop_future = asyncio.get_running_loop().create_future()
        loop_future.set_result(7)
        assert await Future(loop_future) == 7

    run(main())


def test_a_coroutine_runs_on_the_loop_given(run, in_thread) -> None:
    async def value() -> object:
        return asyncio.get_running_loop()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        thread = in_thread(lambda: Future(value(), loop=loop).result(timeout=60))
        assert await asyncio.to_thread(thread.result) is loop

    run(main())


def test_blocking_the_loop_that_does_the_work_is_refused(run) -> None:
    async def value() -> int:
        return 1

    async def main() -> None:
        future = Future(value())
        with pytest.raises(FailedPrecondition, match="await the Future instead"):
            future.result()
        assert await future == 1
        assert future.result() == 1

    run(main())


# -- Callbacks -------------------------------------------------------------------------------


def test_callbacks_are_called_in_order_and_at_once_when_done() -> None:
    got: list[object] = []
    promise, future = Promise.new()
    future.add_done_callback(lambda f: got.append(("first", f)))
    future.add_done_callback(lambda f: got.append(("second", f)))
    promise.set_result(1)
    future.add_done_callback(lambda f: got.append(("late", f)))
    assert got == [("first", future), ("second", future), ("late", future)]


def test_callbacks_are_removed_by_equality_and_counted() -> None:
    got: list[Future] = []
    promise, future = Promise.new()
    future.add_done_callback(got.append)
    future.add_done_callback(got.append)
    future.add_done_callback(lambda f: got.append(f))
    assert future.remove_done_callback(got.append) == 2
    assert future.remove_done_callback(got.append) == 0
    promise.set_result(1)
    assert got == [future]
    assert future.remove_done_callback(got.append) == 0


@pytest.mark.parametrize("error", [Oops, asyncio.CancelledError, SystemExit])
def test_a_callback_that_fails_is_logged_and_the_others_are_called(caplog, error) -> None:
    got: list[Future] = []
    promise, future = Promise.new()

    def fail(_: Future) -> None:
        raise error("in the callback")

    future.add_done_callback(fail)
    future.add_done_callback(got.append)
    with caplog.at_level(logging.ERROR):
        promise.set_result(1)
    assert got == [future]
    assert "in the callback" in caplog.text


def test_ctrl_c_in_a_callback_keeps_nobody_waiting() -> None:
    got: list[Future] = []
    promise, future = Promise.new()

    def interrupted(_: Future) -> None:
        raise KeyboardInterrupt

    future.add_done_callback(interrupted)
    future.add_done_callback(interrupted)
    future.add_done_callback(got.append)
    with pytest.raises(KeyboardInterrupt):
        promise.set_result(1)
    assert got == [future]


def test_what_a_callback_raises_ends_no_other_thread(in_thread, caplog) -> None:
    promise, future = Promise.new()

    def fail(_: Future) -> None:
        raise KeyboardInterrupt("in the callback")

    future.add_done_callback(fail)
    with caplog.at_level(logging.ERROR):
        in_thread(promise.set_result, 1).result()
    assert "in the callback" in caplog.text


def test_no_callback_is_lost_in_a_race(in_thread) -> None:
    for _ in range(200):
        promise, future = Promise.new()
        got: list[Future] = []
        barrier = threading.Barrier(2)

        def add(barrier=barrier, future=future, callback=got.append) -> None:
            barrier.wait()
            for _ in range(5):
                future.add_done_callback(callback)

        thread = in_thread(add)
        barrier.wait()
        promise.set_result(1)
        thread.result()
        assert len(got) == 5


def test_whoever_registers_while_it_is_settled_is_told() -> None:
    promise, future = Promise.new()

    class Racing(deque):
        def append(self, entry) -> None:
            promise.set_result(1)  # another thread, at the worst moment
            super().append(entry)

    future._entries = Racing()
    got: list[Future] = []
    future.add_done_callback(got.append)
    assert got == [future]


# -- Blocking --------------------------------------------------------------------------------


def test_result_blocks_until_another_thread_delivers(in_thread) -> None:
    promise, future = Promise.new()
    threads = [in_thread(future.result) for _ in range(3)]
    blocked(future)
    promise.set_result("x")
    assert [thread.result() for thread in threads] == ["x"] * 3


@pytest.mark.parametrize("limit", [{"timeout": 0.01}, {"timeout": -1}, {"deadline": 1}])
def test_waiting_ends_with_a_timeout_and_the_work_goes_on(limit) -> None:
    promise, future = Promise.new()
    for wait in (future.result, future.exception):
        with pytest.raises(DeadlineExceeded) as caught:
            wait(**limit)
        assert isinstance(caught.value, TimeoutError)
    assert not future.done()
    promise.set_result(1)
    assert future.result(**limit) == 1


@pytest.mark.parametrize("value", [float("nan"), True, "1"])
def test_nonsense_limits_are_refused(value) -> None:
    _promise, future = Promise.new()
    with pytest.raises(InvalidArgument):
        future.result(timeout=value)
    with pytest.raises(InvalidArgument):
        future.exception(deadline=value)


def test_a_timed_out_wait_leaves_nothing_behind() -> None:
    _promise, future = Promise.new()
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    assert not future._entries


# -- Awaiting --------------------------------------------------------------------------------


def test_it_is_a_coroutine_to_asyncio() -> None:
    assert asyncio.iscoroutine(Future.resolved(1))
    assert inspect.isawaitable(Future.resolved(1))


@pytest.mark.parametrize("when", ["before", "during"])
def test_every_way_of_asyncio_to_wait(run, when) -> None:
    def make(value: object) -> Future:
        if when == "before":
            return Future.resolved(value)
        promise, future = Promise.new()
        asyncio.get_running_loop().call_later(0.001, promise.set_result, value)
        return future

    async def main() -> None:
        assert await make(1) == 1
        assert await asyncio.create_task(make(2)) == 2
        assert await asyncio.ensure_future(make(3)) == 3
        assert await asyncio.wait_for(make(4), 60) == 4
        assert await asyncio.gather(make(5), make(6)) == [5, 6]
        async with asyncio.timeout(60):
            assert await make(7) == 7
        async with asyncio.TaskGroup() as group:
            task = group.create_task(make(8))
        assert task.result() == 8
        tasks = {asyncio.ensure_future(make(i)) for i in range(3)}
        done, _pending = await asyncio.wait(tasks)
        assert {task.result() for task in done} == {0, 1, 2}
        assert await asyncio.shield(make(9)) == 9
        assert await make((1, 2)) == (1, 2)
        assert await asyncio.create_task(make((1, 2))) == (1, 2)

    run(main())


def test_every_way_of_asyncio_to_fail(run) -> None:
    def make() -> Future:
        promise, future = Promise.new()
        asyncio.get_running_loop().call_later(0.001, promise.set_exception, Oops())
        return future

    async def main() -> None:
        for wait in (
            lambda: make(),
            lambda: Future.failed(Oops()),
            lambda: asyncio.create_task(make()),
            lambda: asyncio.create_task(Future.failed(Oops())),
            lambda: asyncio.wait_for(make(), 60),
            lambda: asyncio.gather(make(), Future.resolved(1)),
        ):
            with pytest.raises(Oops):
                await wait()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(make())
        assert isinstance(caught.value.exceptions[0], Oops)

    run(main())


def test_run_takes_a_future() -> None:
    async def three() -> int:
        return 3

    assert asyncio.run(start(three)) == 3
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(start(three)) == 3
    loop.close()


def test_two_tasks_over_one_future_both_get_the_result(run) -> None:
    async def main() -> None:
        promise, future = Promise.new()
        tasks = [asyncio.create_task(future) for _ in range(3)]

        async def plain() -> int:
            return await future

        tasks.append(asyncio.create_task(plain()))
        await asyncio.sleep(0)
        promise.set_result(4)
        assert await asyncio.gather(*tasks) == [4] * 4
        assert future._drives == {}

    run(main())


def test_two_loops_await_one_future(run, in_thread) -> None:
    promise, future = Promise.new()

    async def wait() -> int:
        return await future

    threads = [in_thread(lambda: run(wait())) for _ in range(2)]
    blocked(future)
    promise.set_result(6)
    assert [thread.result() for thread in threads] == [6, 6]


def test_completions_from_another_thread_wake_a_loop_once(in_thread) -> None:
    class CountingLoop(asyncio.SelectorEventLoop):
        wakes = 0

        def call_soon_threadsafe(self, *args, **kwargs):
            self.wakes += 1
            return super().call_soon_threadsafe(*args, **kwargs)

    loop = CountingLoop()

    async def main() -> list[int]:
        pairs = [Promise.new() for _ in range(100)]
        tasks = [asyncio.ensure_future(future) for _, future in pairs]
        await asyncio.sleep(0)
        before = loop.wakes
        # This loop stands still meanwhile, so that all of it is one burst.
        in_thread(lambda: [p.set_result(i) for i, (p, _) in enumerate(pairs)]).result()
        assert loop.wakes == before + 1
        return await asyncio.gather(*tasks)

    assert loop.run_until_complete(main()) == list(range(100))
    loop.close()


def test_a_done_future_is_awaited_without_a_turn_most_of_the_time(run) -> None:
    async def main() -> None:
        turns = 0
        stop = False
        loop = asyncio.get_running_loop()

        def count() -> None:
            nonlocal turns
            turns += 1
            if not stop:
                loop.call_soon(count)

        count()
        future = Future.resolved(1)
        for _ in range(1000):
            await future
        stop = True
        assert turns < 500

    run(main())


def test_a_task_that_awaits_only_finished_futures_lets_its_loop_run(run) -> None:
    async def main() -> None:
        fired = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, fired.set_result, None)
        future = Future.resolved(1)
        while not fired.done():  # hangs unless the loop gets a turn
            await future

    run(main())


def test_driving_it_by_hand() -> None:
    future = Future.resolved(1)
    with pytest.raises(StopIteration) as caught:
        future.send(None)
    assert caught.value.value == 1
    future.close()
    with pytest.raises(Oops):
        future.throw(Oops())
    with pytest.raises(Oops):
        future.throw(Oops, None, None)
    with pytest.raises(Oops):
        future.throw(Oops, "text")
    _promise, pending = Promise.new()
    pending.close()
    with pytest.raises(RuntimeError):
        pending.send(None)


# -- Cancelling waiters ----------------------------------------------------------------------


def cancellations() -> list[Callable[[Future], Coroutine]]:
    async def task_cancel(future: Future) -> None:
        task = asyncio.create_task(future)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def before_the_first_step(future: Future) -> None:
        task = asyncio.create_task(future)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def timeout(future: Future) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await future

    async def wait_for(future: Future) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)

    async def gather(future: Future) -> None:
        # asyncio's gather ends with the first of its children that ends; here there is one.
        gathered = asyncio.gather(future)
        await asyncio.sleep(0)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered

    async def task_group(future: Future) -> None:
        async def fail() -> None:
            raise Oops

        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(future)
                group.create_task(fail())

    return [task_cancel, before_the_first_step, timeout, wait_for, gather, task_group]


@pytest.mark.parametrize("way", cancellations(), ids=lambda way: way.__name__)
def test_cancelling_the_last_waiter_cancels_the_work(run, way) -> None:
    async def main() -> None:
        _promise, future = Promise.new()
        await way(future)
        assert future.cancelled()

    run(main())


@pytest.mark.parametrize("way", cancellations(), ids=lambda way: way.__name__)
def test_a_cancellation_is_delivered_after_the_work_has_unwound(run, way) -> None:
    async def main() -> None:
        events: list[str] = []
        loop = asyncio.get_running_loop()

        def unwound() -> None:
            events.append("unwound")
            promise.set_cancelled()

        def on_cancel() -> None:
            events.append("asked")
            loop.call_later(0.005, unwound)

        promise, future = Promise.new(on_cancel)
        await way(future)
        assert events == ["asked", "unwound"]
        assert future.cancelled()

    run(main())


def test_further_cancellations_do_not_cut_the_unwinding_short(run) -> None:
    async def main() -> None:
        promise, future = Promise.new(lambda: None)
        task = asyncio.create_task(future)
        await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not task.done()
        promise.set_result("too late")
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_cancelled_waiter_leaves_the_others_alone(run) -> None:
    async def main() -> None:
        asked: list[int] = []
        promise, future = Promise.new(lambda: asked.append(1))
        one, two = asyncio.create_task(future), asyncio.create_task(future)
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert not asked
        assert not future.done()
        promise.set_result(3)
        assert await two == 3

    run(main())


def test_a_done_callback_keeps_the_work_going(run) -> None:
    async def main() -> None:
        got: list[Future] = []
        promise, future = Promise.new()
        future.add_done_callback(got.append)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        assert not future.done()
        promise.set_result(1)
        assert got == [future]

    run(main())


def test_a_blocked_thread_keeps_the_work_going(run, in_thread) -> None:
    promise, future = Promise.new()
    thread = in_thread(future.result)
    blocked(future)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        assert not future.done()

    run(main())
    promise.set_result(1)
    assert thread.result() == 1


def test_the_cancellation_of_the_work_reaches_every_waiter(run) -> None:
    async def main() -> None:
        _promise, future = Promise.new()
        tasks = [asyncio.create_task(future) for _ in range(2)]
        await asyncio.sleep(0)
        future.cancel()
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_cancelling_across_loops_waits_for_delivery(run) -> None:
    async def main() -> None:
        events: list[str] = []
        begun = threading.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.005)
                events.append("unwound")

        task = asyncio.create_task(start(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == ["unwound"]

    run(main())


def test_a_task_dropped_with_its_loop_is_no_cancellation() -> None:
    promise, future = Promise.new()
    iteration = future.__await__()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        iteration.send(None)

    loop.run_until_complete(begin())
    iteration.close()
    assert not future.done()
    assert not future._entries
    promise.set_result(1)
    loop.close()


# -- What stays alive ------------------------------------------------------------------------


class Buffer:
    """Stands for an array that must not outlive its use."""


def io_loop_at_rest() -> None:
    """Returns when the I/O loop has put down what it did before."""

    async def nothing() -> None:
        await asyncio.sleep(0)

    start(nothing).result()
    start(nothing).result()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_result_dies_with_its_future(run) -> None:
    async def produce() -> Buffer:
        return Buffer()

    async def main() -> weakref.ref:
        future = start(produce)
        buffer = await future
        reference = weakref.ref(buffer)
        assert await asyncio.create_task(future) is buffer
        return reference

    reference = run(main())
    io_loop_at_rest()
    assert reference() is None


@pytest.mark.usefixtures("no_collector")
def test_arguments_die_with_the_work(run, in_thread) -> None:
    async def consume(buffer: Buffer) -> int:
        return 1

    def block() -> weakref.ref:
        buffer = Buffer()
        future = start(consume, buffer)
        future.result()
        return weakref.ref(buffer)

    reference = in_thread(block).result()
    io_loop_at_rest()
    assert reference() is None


@pytest.mark.usefixtures("no_collector")
def test_failed_work_dies_with_its_error(run) -> None:
    async def fail(buffer: Buffer) -> None:
        raise Oops

    async def main() -> weakref.ref:
        buffer = Buffer()
        reference = weakref.ref(buffer)
        with contextlib.suppress(Oops):
            await start(fail, buffer)
        return reference

    reference = run(main())
    io_loop_at_rest()
    assert reference() is None


@pytest.mark.usefixtures("no_collector")
def test_a_cancelled_wait_leaves_no_ring(run) -> None:
    async def wait(future: Future, buffer: Buffer) -> None:
        await future

    async def main() -> weakref.ref:
        _promise, future = Promise.new()
        buffer = Buffer()
        reference = weakref.ref(buffer)
        task = asyncio.create_task(wait(future, buffer))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return reference

    assert run(main())() is None


@pytest.mark.usefixtures("no_collector")
def test_errors_that_nobody_asks_for_are_not_printed(run, capfd) -> None:
    async def main() -> None:
        promise, _future = Promise.new()
        promise.set_exception(Oops())
        del promise, _future
        Future.failed(Oops())

    run(main())
    gc.collect()
    assert capfd.readouterr() == ("", "")

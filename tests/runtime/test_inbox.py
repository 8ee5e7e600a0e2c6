from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextlib import suppress

import pytest

from asynctensor.runtime.event_loop import start
from asynctensor.runtime.inbox import (
    PATIENCE,
    LoopInbox,
    WakingAfterCalls,
    WakingAtOnce,
    WakingTogether,
    inbox_of,
    wake_now,
)
from asynctensor.runtime.sources import SOURCES


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread woke it."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def call_soon_threadsafe(self, *args, **kwargs) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def test_a_loop_has_one_inbox(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert inbox_of(loop) is inbox_of(loop)
        assert inbox_of(loop).is_of(loop)
        assert not inbox_of(loop).is_of(None)

    run(main())


def test_a_burst_wakes_the_loop_once_and_keeps_its_order() -> None:
    loop = CountingLoop()
    inbox = LoopInbox(loop)
    got: list[int] = []
    for i in range(5000):
        inbox.post(got.append, i)
    assert loop.wakes == 1
    assert len(inbox) == 5000
    while len(got) < 5000:
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert got == list(range(5000))
    inbox.post(got.append, 1)
    assert loop.wakes == 2
    loop.close()


def test_a_long_burst_lets_the_loop_run_in_between() -> None:
    loop = CountingLoop()
    inbox = LoopInbox(loop)
    order: list[str] = []

    def slow(i: int) -> None:
        # Takes longer than the slice without sleeping: it reads the clock.
        end = loop.time() + 0.0006
        while loop.time() < end:
            pass
        order.append("posted")

    for i in range(130):
        inbox.post(slow, i)
    loop.call_soon(order.append, "timer")
    while order.count("posted") < 130:
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert order.index("timer") < 70
    loop.close()


def test_posts_from_many_threads_all_arrive(run) -> None:
    got: list[int] = []

    async def main() -> None:
        inbox = inbox_of(asyncio.get_running_loop())
        done = asyncio.Event()

        def count(i: int) -> None:
            got.append(i)
            if len(got) == 4000:
                done.set()

        def post(start: int) -> None:
            for i in range(start, start + 1000):
                inbox.post(count, i)

        threads = [threading.Thread(target=post, args=(n * 1000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        await done.wait()
        for thread in threads:
            thread.join()

    run(main())
    assert sorted(got) == list(range(4000))


def test_a_closed_loop_is_told_nothing() -> None:
    loop = asyncio.new_event_loop()
    inbox = LoopInbox(loop)
    loop.close()
    inbox.post(print, "never")
    assert len(inbox) == 0
    del loop
    gc.collect()
    inbox.post(print, "never")
    assert len(inbox) == 0


def test_a_call_that_fails_does_not_keep_the_others(caplog) -> None:
    loop = CountingLoop()
    inbox = LoopInbox(loop)
    got: list[int] = []
    inbox.post(lambda _: 1 / 0, None)
    inbox.post(got.append, 1)
    with caplog.at_level(logging.ERROR):
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert got == [1]
    assert "ZeroDivisionError" in caplog.text
    loop.close()


def counting() -> tuple[CountingLoop, LoopInbox, list[int]]:
    loop = CountingLoop()
    return loop, LoopInbox(loop), []


def test_a_stretch_wakes_a_loop_once_at_its_end() -> None:
    loop, inbox, got = counting()
    with WakingTogether():
        inbox.post(got.append, 1)
        inbox.post(got.append, 2)
        assert loop.wakes == 0
    assert loop.wakes == 1
    with WakingTogether():
        inbox.post(got.append, 3)
        wake_now()
        assert loop.wakes == 1  # it has not run since it was woken
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert got == [1, 2, 3]
    loop.close()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, in its only element."""
    now = [1000.0]
    monkeypatch.setattr(SOURCES, "monotonic", lambda: now[0])
    return now


@pytest.mark.usefixtures("now")
def test_what_one_turn_of_a_loop_posts_wakes_another_loop_once() -> None:
    other, inbox, got = counting()
    loop = CountingLoop()
    waking = WakingAfterCalls(loop)
    try:
        for k in range(5):
            loop.call_soon(inbox.post, got.append, k)
        assert other.wakes == 0
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert other.wakes == 0  # after the calls that were due then
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert other.wakes == 1
        other.call_soon(other.stop)
        other.run_forever()
        assert got == [0, 1, 2, 3, 4]
        inbox.post(got.append, 5)
    finally:
        waking.end()
    assert other.wakes == 2
    other.call_soon(other.stop)
    other.run_forever()
    inbox.post(got.append, 6)
    assert other.wakes == 3
    loop.close()
    other.close()


def test_a_loop_with_much_to_do_keeps_nobody_waiting_for_long(now: list[float]) -> None:
    other, inbox, got = counting()
    loop = CountingLoop()
    waking = WakingAfterCalls(loop)
    try:
        inbox.post(got.append, 1)
        inbox.post(got.append, 2)
        assert other.wakes == 0
        now[0] += 0.9 * PATIENCE
        inbox.post(got.append, 3)
        assert other.wakes == 0
        now[0] += 0.2 * PATIENCE
        inbox.post(got.append, 4)
        assert other.wakes == 1
    finally:
        waking.end()
    loop.close()
    other.close()


def test_a_stretch_that_fails_wakes_the_loop_all_the_same() -> None:
    loop, inbox, got = counting()
    with suppress(KeyError), WakingTogether():
        inbox.post(got.append, 1)
        raise KeyError
    assert loop.wakes == 1
    inbox.post(got.append, 2)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert got == [1, 2]
    inbox.post(got.append, 3)
    assert loop.wakes == 2
    loop.close()


def test_a_worker_that_waits_for_a_result_wakes_whoever_works_it_out() -> None:
    async def work() -> int:
        return 7

    with WakingTogether():
        assert start(work).result(timeout=60) == 7


def test_what_may_wait_finds_the_loops_woken_and_wakes_them_itself() -> None:
    loop, inbox, got = counting()
    with WakingTogether():
        inbox.post(got.append, 1)
        with WakingAtOnce():
            assert loop.wakes == 1
            loop.call_soon(loop.stop)
            loop.run_forever()
            inbox.post(got.append, 2)
            assert loop.wakes == 2
        loop.call_soon(loop.stop)
        loop.run_forever()
        inbox.post(got.append, 3)
        assert loop.wakes == 2
    assert loop.wakes == 3
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert got == [1, 2, 3]
    loop.close()


def test_an_interrupt_in_a_posted_call_leaves_the_others_to_be_made() -> None:
    loop, inbox, got = counting()

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    inbox.post(got.append, 1)
    inbox.post(interrupted, None)
    inbox.post(got.append, 2)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    assert got == [1, 2]
    loop.close()

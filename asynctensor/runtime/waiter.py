"""Who is told when a `Future` is settled: a task, a blocked thread, or a callback."""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop
from asyncio import Future as LoopFuture
from asyncio.events import _get_running_loop
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any, Protocol

from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.inbox import LoopInbox, WakingAtOnce, inbox_of
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.works_for import held_up

#: Seconds for which a blocked loop may keep coroutines of users waiting that only it can run.
PATIENCE = 3.0

_log = logging.getLogger(__name__)


class Waiter(Protocol):
    """Somebody to tell when a future is settled."""

    def fire(self, future: Any) -> None:
        """Tells it; called once, in whichever thread settled the future."""
        ...


class WaitingTask:
    """A task of some loop, suspended on a future of that loop."""

    __slots__ = ("inbox", "waiter")

    def __init__(self, inbox: LoopInbox, waiter: LoopFuture[None]) -> None:
        self.inbox = inbox
        self.waiter = waiter

    def fire(self, future: Any) -> None:
        """See `Waiter`."""
        if self.inbox.is_of(_get_running_loop()):
            _wake(self.waiter)
        else:
            self.inbox.post(_wake, self.waiter)


def _wake(waiter: LoopFuture[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class BlockedThread:
    """A thread that waits for a lock to be released.

    Attributes:
        lock: The lock.
        loop: The loop that runs on this thread, and does nothing meanwhile.
    """

    __slots__ = ("lock", "loop")

    def __init__(self, loop: AbstractEventLoop | None) -> None:
        self.loop = loop
        self.lock = threading.Lock()
        self.lock.acquire()

    def fire(self, future: Any) -> None:
        """See `Waiter`."""
        self.lock.release()

    def wait(self, limit: Deadline) -> bool:
        """Waits until `fire` is called; False if the time is over before.

        Raises:
            FailedPrecondition: A user's coroutine has waited for the loop of this thread meanwhile,
                for as long as it may.
        """
        loop = self.loop
        if loop is None:
            seconds = -1.0 if limit.never else min(limit.remaining(), threading.TIMEOUT_MAX)
            return self.lock.acquire(timeout=seconds)
        awaited, since = inbox_of(loop).awaited, SOURCES.monotonic()
        while True:
            seconds = PATIENCE if limit.never else min(limit.remaining(), PATIENCE)
            if self.lock.acquire(timeout=seconds):
                return True
            if not limit.never and limit.expired():
                return False
            # Whether the result needs that coroutine, nobody knows: its work goes on either way.
            before = SOURCES.monotonic() - PATIENCE
            if any(max(began, since) <= before for began in list(awaited.values())):
                raise held_up()


class Callback:
    """A function to be called with the future."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function

    def fire(self, future: Any) -> None:
        """See `Waiter`."""
        try:
            with WakingAtOnce():
                self.function(future)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                raise  # Ctrl-C, and no error of the callback
            _log.exception("A done callback of a Future failed: %r", self.function)

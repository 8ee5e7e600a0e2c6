"""Who is told when a `Future` is settled: a task, a blocked thread, or a callback."""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop
from asyncio import Future as LoopFuture
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Any, Protocol

from asynctensor.runtime.inbox import LoopInbox, WakingAtOnce

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
        except KeyboardInterrupt:
            raise  # the main thread's, and no error of the callback
        except BaseException:  # noqa: BLE001 -- whoever settles the future is not to blame
            _log.exception("A done callback of a Future failed: %r", self.function)

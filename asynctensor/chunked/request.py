"""The life of one read or write of many chunks: counted, failed, cancelled and settled.

::

    planning --(last cell begun)--> draining --(last cell finished)--> settled
        `--(error or cancel: no cell begins any more)--/

Its future is settled only when no cell is being worked on: when an error or a cancellation is
delivered, no request of the operation is still on its way.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from asynctensor.errors import Aborted, Error, FailedPrecondition, from_memory_error
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import has_ended, io_loop
from asynctensor.runtime.future import Future
from asynctensor.runtime.inbox import WakingAtOnce, inbox_of
from asynctensor.runtime.last_trouble import LastTrouble
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.unfinished import begun, ended

T = TypeVar("T")


class Request(Generic[T]):
    """Counts the cells of one operation; thread-safe.

    Attributes:
        future: What the caller awaits.
        loop: The loop on which cells are fetched or written; None: workers do all of it.
        stopped: Whether no further cell should begin: it failed or was cancelled.
        what: ``"read"`` or ``"write"``; None if nobody said it.
        array: Of which array, as errors name it; likewise.
        trouble: Where whoever works on its cells notes what failed lately.
    """

    __slots__ = (
        "__weakref__",
        "_active",
        "_cancelled",
        "_disarm",
        "_done",
        "_error",
        "_lock",
        "_mark",
        "_planned",
        "_promise",
        "_report",
        "_reporting",
        "_result",
        "_settled",
        "_untold",
        "_watchers",
        "_watchers_seen",
        "array",
        "future",
        "loop",
        "stopped",
        "trouble",
        "what",
    )

    def __init__(self, result: Callable[[], T] | None) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._done = 0
        self._report: Callable[[int], object] | None = None
        self._reporting = False
        self._planned = False
        self._settled = False
        #: Stops the timer of its limit. No callback of the future does that: as long as one waits,
        #: the work is not cancelled with whoever awaits it.
        self._disarm: Callable[[], object] | None = None
        #: By a number each: many come and go while a request of many chunks is served.
        self._watchers: dict[int, Callable[[], object]] = {}
        self._watchers_seen = 0
        self._cancelled = False
        self._error: BaseException | None = None
        self._result = result
        self.stopped = False
        self.what: str | None = None
        self.array: str | None = None
        self.trouble: LastTrouble | None = None
        promise: Promise[T]
        future: Future[T]
        promise, future = Promise.new(on_cancel=self.cancel)
        self._promise = promise
        self.future = future
        self.loop: asyncio.AbstractEventLoop | None = None
        self._mark = begun(self)

    def _outcome(self) -> T:
        """What the future gives where no function was given that tells."""
        raise NotImplementedError

    def watch(self, report: Callable[[int], object]) -> None:
        """Has ``report(cells done)`` called as cells are done, by one worker at a time."""
        self._untold: deque[int] = deque()
        self._report = report

    def limit(self, limit: Deadline) -> None:
        """Fails it with `DeadlineExceeded` when `limit` has passed."""
        if limit.never:
            return
        if limit.expired():
            self._run_out()
            return
        loop = io_loop()

        def arm() -> None:
            with self._lock:
                if not self._settled:
                    timer = loop.call_later(limit.remaining(), self._run_out)
                    self._disarm = partial(inbox_of(loop).post, _cancel, timer)

        loop.call_soon_threadsafe(arm)

    def begin(self, cells: int = 1) -> bool:
        """Says that `cells` are about to be worked on; False if they must not."""
        with self._lock:
            if self.stopped:
                return False
            self._active += cells
            return True

    def finish(self, cells: int = 1) -> None:
        """Says that `cells` begun before are done, well or not."""
        report = self._report
        if report is not None:
            self._tell(report, cells)
        with self._lock:
            self._active -= cells
            if self._active:
                return
        self._settle_if_over()

    def _tell(self, report: Callable[[int], object], cells: int) -> None:
        """Calls `report`; while it is being called already, leaves that to who calls it.

        Who calls it has cells of its own to finish: all is told before the future is settled.
        """
        with self._lock:
            self._done += cells
            self._untold.append(self._done)
            if self._reporting:
                return
            self._reporting = True
        while True:
            with self._lock:
                if not self._untold:
                    self._reporting = False
                    return
                done = self._untold.popleft()
            if self.stopped:
                continue
            try:
                with WakingAtOnce():
                    report(done)
            except BaseException as error:  # noqa: BLE001
                self.fail(error)

    def planned(self) -> None:
        """Says that no further cell will begin."""
        with self._lock:
            self._planned = True
        self._settle_if_over()

    def fail(self, error: BaseException) -> None:
        """Stops it; the first error is the one delivered."""
        if isinstance(error, MemoryError):
            cause, error = error, from_memory_error(error, "a chunk, or for planning")
            error.__cause__ = cause
        with self._lock:
            if self._error is None:
                self._error = error
            self.stopped = True
            watchers, self._watchers = self._watchers, {}
        for watcher in watchers.values():
            watcher()

    def cancel(self) -> None:
        """Stops it, and settles it as cancelled once nothing is under way."""
        with self._lock:
            self._cancelled = True
            self.stopped = True
            watchers, self._watchers = self._watchers, {}
        for watcher in watchers.values():
            watcher()
        self._settle_if_over()

    def on_stop(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Has `watcher` called once when it stops, in any thread; at once if it has.

        Returns:
            What takes that back.
        """
        with self._lock:
            if not self.stopped:
                number = self._watchers_seen = self._watchers_seen + 1
                self._watchers[number] = watcher
                return lambda: self._forget(number)
        watcher()
        return lambda: None

    def _forget(self, number: int) -> None:
        with self._lock:
            self._watchers.pop(number, None)

    def _run_out(self) -> None:
        """Stops it: its time is over."""
        trouble = self.trouble or LastTrouble()
        self.expire(
            trouble.too_late(f"the time given by timeout= or deadline= ran out during {self.what}")
        )

    def expire(self, error: Error) -> None:
        """Stops it with `error`, and settles it once nothing is under way."""
        self.fail(error.located(array=self.array, operation=self.what))
        self._settle_if_over()

    def abandon(self, error: Error) -> None:
        """Settles it at once, as nobody works on its cells any more."""
        error.located(array=self.array, operation=self.what)
        with self._lock:
            self.stopped = True
            self._watchers = {}
            if self._settled:
                return
            self._settled = True
            self._result = None
        ended(self._mark)
        self._promise.set_exception(error if self._error is None else self._error)

    def _settle_if_over(self) -> None:
        with self._lock:
            over = self._active == 0 and (self._planned or self.stopped)
            if not over or self._settled:
                return
            self._settled = True
            result, self._result = self._result, None
            disarm, self._disarm = self._disarm, None
        ended(self._mark)
        if disarm is not None:
            with suppress(RuntimeError):  # The loop has ended, and the timer with it.
                disarm()
        if self._error is not None:
            self._promise.set_exception(self._error)
        elif self._cancelled and not (self._planned and not self.stopped):
            self._promise.set_cancelled()
        else:
            try:
                self._promise.set_result(self._outcome() if result is None else result())
            except BaseException as error:  # noqa: BLE001
                self._promise.set_exception(error)


def _cancel(timer: asyncio.TimerHandle) -> None:
    timer.cancel()


def soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Has `function` called on `loop`, which may have ended: then nothing is left to be told."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def hand_over(
    requests: Sequence[Request[Any]], function: Callable[..., object], *args: object
) -> None:
    """Has ``function(*args)`` work on `requests` on the I/O loop, which they need from now on."""
    try:
        loop = io_loop()
    except FailedPrecondition as error:
        for request in requests:
            request.expire(error)
        return
    for request in requests:
        request.loop = loop
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
    # Looked at afterwards: whoever ends the loop looks at those that need it after saying so.
    if has_ended(loop):
        for request in requests:
            request.abandon(Aborted("the I/O loop ended before this operation began"))


class Stopped(Exception):
    """Nobody wants the outcome of a store request any more, and it has ended."""


async def unless_stopped(
    requests: Sequence[Request[Any]], work: Coroutine[Any, Any, T], *, first: bool = False
) -> T:
    """Does `work`, on the running loop, as long as one of `requests` still wants it.

    Args:
        requests: Who wants it.
        work: To be done.
        first: As long as all of them want it.

    Raises:
        Stopped: They stopped first; the work was cancelled, and has ended.
    """
    enough = any if first else all
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    is_over = stopping = False

    def look() -> None:
        nonlocal stopping
        if not is_over and not stopping and enough([request.stopped for request in requests]):
            stopping = True
            task.cancel()

    takebacks = [r.on_stop(partial(soon, loop, look)) for r in requests]
    try:
        return await work
    except asyncio.CancelledError:
        # Somebody else may want the task to end, too.
        if stopping and task.uncancel() == 0:
            stopping = False
            raise Stopped from None
        raise
    finally:
        is_over = True
        if stopping:
            task.uncancel()
        for takeback in takebacks:
            takeback()

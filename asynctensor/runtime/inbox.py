"""What other threads hand to an event loop, woken once for however much they hand over."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.sources import SOURCES

#: Longest stretch of posted calls, in seconds, before the loop's own callbacks get their turn: a
#: caller's timers are promised to be at most a millisecond or two late.
SLICE = 0.0005
#: Longest time, in seconds, for which a loop with much to do keeps another waiting that it has
#: something for. A quarter of it costs a tenth more of both threads' time.
PATIENCE = 0.002
#: Posted calls between two looks at the clock; each takes well under a microsecond or so.
_BETWEEN_LOOKS = 64

_log = logging.getLogger(__name__)


class LoopInbox:
    """Calls to be made on one event loop, in the order in which they were posted.

    A burst of posts costs one wake-up of the loop. Lock-free: only `deque.append`, `popleft` and
    plain assignments, so that a finaliser which runs in the middle of a post may post too.
    """

    __slots__ = ("__weakref__", "_armed", "_loop", "_queue", "awaited")

    def __init__(self, loop: AbstractEventLoop) -> None:
        #: Since when others wait for coroutines that only this loop can run, by what they wait for.
        self.awaited: dict[object, float] = {}
        # Weak, because the map of inboxes is keyed by the loop.
        self._loop = ref(loop)
        self._queue: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._armed = False

    def post(self, function: Callable[[Any], object], argument: Any) -> None:
        """Has ``function(argument)`` called on the loop. From any thread; never blocks.

        Nothing happens if the loop is closed: nobody is left there to be told.
        """
        self._queue.append((function, argument))
        # Not armed means that the drain, if it is running, will not look at the queue again
        # before it is armed anew; two threads may both arm it, which costs one idle wake-up.
        if not self._armed:
            unwoken = PROCESS.local.unwoken
            if unwoken is not None:
                unwoken.append(self)
                return
            self.wake()

    def wake(self) -> None:
        """Has the loop make the calls, if it is not going to already."""
        if not self._armed and self._queue:
            self._armed = True
            self._wake()

    def _wake(self) -> None:
        loop = self._loop()
        try:
            if loop is None:
                raise RuntimeError("the loop is gone")
            loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            self._armed = False
            self._queue.clear()

    def _drain(self) -> None:
        self._armed = False
        queue = self._queue
        until = SOURCES.monotonic() + SLICE
        while queue:
            for _ in range(_BETWEEN_LOOKS):
                if not queue:
                    return
                function, argument = queue.popleft()
                try:
                    function(argument)
                except Exception:  # noqa: BLE001 -- the other calls still have to be made
                    _log.exception("A call posted to an event loop failed: %r", function)
                except BaseException:
                    # Ctrl-C ends this run of the loop, and not what others wait for in the next.
                    self._go_on_later()
                    raise
            if SOURCES.monotonic() >= until:
                self._go_on_later()
                return

    def _go_on_later(self) -> None:
        loop = self._loop()
        if self._queue and not self._armed and loop is not None:
            self._armed = True
            loop.call_soon(self._drain)

    def is_of(self, loop: AbstractEventLoop | None) -> bool:
        """Whether `loop` is the loop that this inbox belongs to."""
        return loop is not None and self._loop() is loop

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"LoopInbox({self._loop()!r}, {len(self._queue)} waiting)"


class WakingTogether:
    """A stretch of a worker's work in which loops are woken at its end, or by `wake_now`.

    A worker that finishes many small things one after the other would otherwise wake the caller's
    loop for each, and then wait for the GIL that the loop has taken.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        PROCESS.local.unwoken = []

    def __exit__(self, *_: object) -> None:
        wake_now()
        PROCESS.local.unwoken = None


class WakingAtOnce:
    """A part of such a stretch that may wait, such as a call of a user's function.

    What it waits for may depend on a loop that this very thread has yet to wake.
    """

    __slots__ = ("_outer",)

    def __enter__(self) -> None:
        local = PROCESS.local
        self._outer: list[LoopInbox] | None = local.unwoken
        wake_now()
        local.unwoken = None

    def __exit__(self, *_: object) -> None:
        PROCESS.local.unwoken = self._outer


class WakingAfterCalls(list[LoopInbox]):
    """What a loop's own thread posted to: other loops, woken when the calls that are due are made.

    Answers that came together are told together: each wake-up is a system call that gives the GIL
    away, and the loop that is woken takes it, for one answer at a time.

    Args:
        loop: The loop, run by the current thread until `end`.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._until = 0.0
        PROCESS.local.unwoken = self

    def append(self, inbox: LoopInbox) -> None:
        """Has an inbox woken when the calls that are due are made, or `PATIENCE` is over."""
        now = SOURCES.monotonic()
        if not self:
            self._until = now + PATIENCE
            self._loop.call_soon(wake_now)
        super().append(inbox)
        if now >= self._until:
            wake_now()

    def end(self) -> None:
        """Wakes them now, and from now on at once."""
        wake_now()
        PROCESS.local.unwoken = None


def wake_now() -> None:
    """Wakes the loops that this thread has posted to and not woken."""
    unwoken = PROCESS.local.unwoken
    while unwoken:
        unwoken.pop().wake()


def inbox_of(loop: AbstractEventLoop) -> LoopInbox:
    """The inbox of `loop`, the same one every time."""
    local = PROCESS.local
    inbox: LoopInbox | None = local.inbox
    if inbox is not None and inbox.is_of(loop):
        return inbox
    inbox = PROCESS.inboxes.get(loop)
    if inbox is None:
        with PROCESS.lock:
            inbox = PROCESS.inboxes.get(loop)
            if inbox is None:
                inbox = PROCESS.inboxes[loop] = LoopInbox(loop)
    local.inbox = inbox
    return inbox

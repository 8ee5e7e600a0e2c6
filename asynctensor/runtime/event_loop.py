"""The one I/O event loop: where all requests, timers and connections of the process live."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import logging
import threading
from asyncio import AbstractEventLoop, Task
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from asynctensor.errors import DeadlineExceeded, FailedPrecondition
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.first_collection import collect_early
from asynctensor.runtime.future import Future
from asynctensor.runtime.guest_loop import close_guest_loop, guest_loop_made_by
from asynctensor.runtime.inbox import WakingAfterCalls, inbox_of
from asynctensor.runtime.job import BegunJob, Job, abandon_all
from asynctensor.runtime.loose_tasks import end_loose_tasks
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.threads import start_thread
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.unfinished import abandon_requests, stop_requests
from asynctensor.runtime.workers import stop_all_pools

T = TypeVar("T")

#: Seconds for which the end of the runtime waits for cancelled work, and for each closer. Work
#: that is stuck longer (in a worker, in a system call) is left behind: exit must not hang.
GRACE = 1.0

#: Turns in which what is begun while the loop ends is ended, too.
_LAST_TURNS = 8

_log = logging.getLogger(__name__)


def _new_loop() -> AbstractEventLoop:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: AbstractEventLoop = uvloop.new_event_loop()
    return loop


class IoLoop:
    """The I/O loop and what keeps it going.

    Args:
        loop: A service's own loop; None: a new one, on a thread of its own.
    """

    __slots__ = (
        "_arriving",
        "_closers_run",
        "_ending",
        "_over",
        "_stuck",
        "_thread",
        "_watch",
        "collector",
        "loop",
    )

    def __init__(self, loop: AbstractEventLoop | None = None) -> None:
        own = loop is None
        self.loop = _new_loop() if loop is None else loop
        self.collector: TurnCollector[Job] = TurnCollector(self._submit)
        self._arriving: deque[Job] = deque()
        self._ending = False
        self._closers_run = False
        self._over = False
        self._stuck: set[Task[Any]] = set()
        self._watch: AsyncGenerator[None, None] | None = None
        self._thread: threading.Thread | None = None
        if own:
            self._thread = start_thread(self._serve, name="asynctensor-io")

    @property
    def is_own(self) -> bool:
        """Whether the runtime made the loop."""
        return self._thread is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing that is handed to the loop now is done, nor told by who ended it."""
        return self._over or self.loop.is_closed()

    def _serve(self) -> None:
        waking = WakingAfterCalls(self.loop)
        try:
            self.loop.run_forever()
        finally:
            waking.end()
            try:
                self._end_latecomers()
            finally:
                self.loop.close()
                self.forsake()

    def _submit(self, jobs: list[Job]) -> None:
        self._arriving.extend(jobs)
        inbox_of(self.loop).post(self._begin, None)
        # Looked at afterwards: whoever ends the loop looks at what arrived after saying so, so
        # between the two of them nobody is forgotten.
        if self.is_over:
            self._refuse_arriving()

    def _begin(self, _: None) -> None:
        if self._ending:
            self._refuse_arriving()
        local, arriving = PROCESS.local, self._arriving
        local.together = object()
        try:
            # No more than there are now: each was asked for before any of them begins. Whoever
            # comes meanwhile calls this again.
            for _count in range(len(arriving)):
                arriving.popleft().begin(self.loop)
        finally:
            local.together = None

    def _refuse_arriving(self) -> None:
        error = FailedPrecondition(
            "the runtime ended before this operation started: start it again, if the interpreter "
            "is not exiting"
        )
        while True:
            try:
                job = self._arriving.popleft()
            except IndexError:
                return
            job.refuse(error)

    # -- The end -----------------------------------------------------------------------------

    def close_down(self) -> None:
        """Cancels the work, runs the closers, stops the loop; waits for that, but not for ever."""
        if self._thread is None or self.loop.is_closed():
            return
        end = self._end()
        try:
            self.loop.call_soon_threadsafe(self.loop.create_task, end)
        except RuntimeError:
            end.close()
            return
        self._thread.join(3 * GRACE)

    async def _end(self) -> None:
        loop = self.loop
        self._ending = True
        # What is stuck is destroyed while pending; the loop would print that.
        loop.set_exception_handler(_say_nothing)
        stop_requests()
        stuck = await self._cancel_tasks(set())
        await self.run_closers()
        if stuck:
            # What hung in connections ends with them, after a few turns.
            await asyncio.wait(stuck, timeout=GRACE / 10)
        # What arrived meanwhile, on connections that were open until then, may have begun others.
        self._stuck = stuck | await self._cancel_tasks(stuck)
        await loop.shutdown_asyncgens()
        self.forsake()
        loop.stop()

    def _end_latecomers(self) -> None:
        """Ends tasks that were begun in the last turn of the loop, and have not made a step."""
        for _ in range(_LAST_TURNS):
            if not asyncio.all_tasks(self.loop) - self._stuck:
                return
            self._stuck |= self.loop.run_until_complete(self._cancel_tasks(self._stuck))

    def forsake(self) -> None:
        """Has nobody wait for what the loop, at its end, has not brought to an end."""
        self._over = True
        self._refuse_arriving()
        abandon_all(self.loop)
        abandon_requests(self.loop)

    async def _cancel_tasks(self, stuck: set[Task[Any]]) -> set[Task[Any]]:
        """Cancels all others but those that are `stuck`; returns those that did not end of it."""
        tasks = asyncio.all_tasks(self.loop) - stuck - {asyncio.current_task(self.loop)}
        for task in tasks:
            task.cancel()
        return (await asyncio.wait(tasks, timeout=GRACE))[1] if tasks else set()

    async def run_closers(self) -> None:
        """Runs what `at_exit` registered, the latest first; once."""
        if self._closers_run:
            return
        self._closers_run = True
        closers, PROCESS.closers = PROCESS.closers, []
        for closer in reversed(closers):
            try:
                async with asyncio.timeout(GRACE):
                    await closer()
            except Exception:  # noqa: BLE001 -- the other closers still have to run
                _log.debug("Closing %r failed", closer, exc_info=True)

    async def watch_for_end(self) -> None:
        """Has the closers run when a service's loop shuts its asynchronous generators down."""
        self._watch = self._close_with_loop()
        # A loop knows of an asynchronous generator from its first step on.
        await anext(self._watch)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            stop_requests(self.loop)
            await self.run_closers()
            await end_loose_tasks(GRACE)
            self.forsake()


def _say_nothing(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.debug("While the I/O loop ended: %s", context.get("message"))


def _io() -> IoLoop:
    io = PROCESS.io
    if isinstance(io, IoLoop) and not io.loop.is_closed():
        return io
    # Not under the lock: it may run finalisers of whoever.
    collect_early()
    with PROCESS.lock:
        before = PROCESS.io
        if isinstance(before, IoLoop) and not before.loop.is_closed():
            return before
        if PROCESS.exiting:
            raise FailedPrecondition("the interpreter is exiting: nothing can be started any more")
        io = PROCESS.io = IoLoop()
        _end_with_interpreter()
    _forsake(before)
    return io


def _forsake(before: object) -> None:
    """Tells who still waits for a service's loop that was closed without a word."""
    if isinstance(before, IoLoop):
        before.forsake()


def _end_with_interpreter() -> None:
    # atexit and not threading's own hook: that one runs before threads that still use us end.
    if not PROCESS.ends_with_interpreter:
        PROCESS.ends_with_interpreter = True
        atexit.register(_at_interpreter_exit)


def _at_interpreter_exit() -> None:
    PROCESS.exiting = True
    shutdown()


def io_loop() -> AbstractEventLoop:
    """The I/O loop, started if need be.

    Raises:
        FailedPrecondition: The interpreter is exiting.
    """
    return _io().loop


def io_loop_if_any() -> AbstractEventLoop | None:
    """The I/O loop, started if need be; None: the interpreter is exiting."""
    try:
        return _io().loop
    except FailedPrecondition:
        return None


def has_ended(loop: AbstractEventLoop) -> bool:
    """Whether what is handed to `loop`, an I/O loop, is not done any more."""
    io = PROCESS.io
    if isinstance(io, IoLoop) and io.loop is loop:
        return io.is_over
    return loop.is_closed()


def is_own_io_loop(loop: AbstractEventLoop) -> bool:
    """Whether `loop` is the I/O loop, and no service's own (`run_on`)."""
    io = PROCESS.io
    return isinstance(io, IoLoop) and io.loop is loop and io.is_own


def guest_loop() -> AbstractEventLoop:
    """The loop for users' coroutines without one of their own, started if need be.

    Raises:
        FailedPrecondition: The interpreter is exiting.
    """
    loop = guest_loop_made_by(_new_loop)
    _end_with_interpreter()
    return loop


def on_io_loop() -> bool:
    """Whether the caller runs on the I/O loop."""
    io = PROCESS.io
    return io is not None and _get_running_loop() is io.loop


def start(
    function: Callable[..., Awaitable[T]],
    *args: Any,
    timeout: float | None = None,
    deadline: float | None = None,
) -> Future[T]:
    """Runs ``function(*args)`` as a task of the I/O loop, in the caller's context.

    What is started during one turn of the caller's loop crosses over together at its end; without
    a running loop it crosses at once. When the Future is cancelled, the task is; the Future is
    done when the task is, so a cancellation delivered means that nothing of it is still going on.

    Args:
        function: A coroutine function; it is called on the I/O loop.
        args: Its arguments.
        timeout: Seconds from now after which the work is cancelled.
        deadline: The same as a Unix time; the earlier of both counts.

    Returns:
        The Future of its result. It fails with `DeadlineExceeded` when the time runs out (after
        the work has unwound), with `FailedPrecondition` when the interpreter is exiting, and
        with whatever the work raises.

    Raises:
        InvalidArgument: `timeout` or `deadline` is not a number.
    """
    limit = Deadline.of(timeout, deadline)
    if not limit.never and limit.expired():
        return Future.failed(
            DeadlineExceeded("the time given by timeout= or deadline= was over before the start")
        )
    future: Future[Any] = Future._pending()
    return _started(future, Job(future, function, args, limit))


def start_begun(
    begin: Callable[..., Callable[[], object] | None],
    function: Callable[..., Awaitable[T]],
    *args: Any,
) -> Future[T]:
    """Like ``start(function, *args)``, without a task where `begin` can do it (`BegunJob`).

    Args:
        begin: Begins the work on the I/O loop; called with `args` and whom to tell.
        function: As for `start`.
        args: As for `start`.

    Returns:
        As `start` does.
    """
    future: Future[Any] = Future._pending()
    return _started(future, BegunJob(future, begin, function, args))


def _started(future: Future[T], job: Job) -> Future[T]:
    """Has a job begin on the I/O loop."""
    try:
        io = _io()
    except FailedPrecondition as error:
        return Future.failed(error)
    future._on_cancel = [job.cancel]
    if _get_running_loop() is io.loop:
        job.begin(io.loop)
    else:
        io.collector.add(job)
    return future


def run_on(loop: AbstractEventLoop) -> None:
    """Makes `loop`, a service's own, the I/O loop, as long as it is not closed.

    Registered closers run when it shuts down its asynchronous generators (``asyncio.run`` does).

    Raises:
        FailedPrecondition: There is an I/O loop already: call this before anything else.
    """
    with PROCESS.lock:
        io = PROCESS.io
        if io is not None and not io.loop.is_closed():
            if io.loop is loop:
                return
            raise FailedPrecondition(
                "run_on() came too late, the runtime already has its I/O loop: call it before "
                "anything is opened"
            )
        PROCESS.io = own = IoLoop(loop)
    _forsake(io)
    if _get_running_loop() is loop:
        loop.create_task(own.watch_for_end())
    else:
        loop.call_soon_threadsafe(lambda: loop.create_task(own.watch_for_end()))


def at_exit(closer: Callable[[], Awaitable[object]]) -> None:
    """Has ``await closer()`` done on the I/O loop before it stops, the latest registered first.

    What it raises is logged at debug level; after `GRACE` seconds it is given up.
    """
    PROCESS.closers.append(closer)


def shutdown() -> None:
    """Ends the runtime: cancels its work, runs the closers, stops the loop and the workers.

    Takes a few seconds at most, even with stuck workers. The next use starts it again, except at
    the exit of the interpreter. A loop given to `run_on` is merely let go.

    Raises:
        FailedPrecondition: Called on the I/O loop's own thread.
    """
    if on_io_loop():
        raise FailedPrecondition("shutdown() would wait for its own thread: call it elsewhere")
    io = PROCESS.io
    if isinstance(io, IoLoop):
        # Still the I/O loop while it ends: what unwinds on it may start and await things there.
        io.close_down()
    with PROCESS.lock:
        if PROCESS.io is io:
            PROCESS.io = None
    close_guest_loop(GRACE)
    stop_all_pools(GRACE)

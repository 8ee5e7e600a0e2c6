"""Worker threads: where Python code, codecs and blocking system calls run."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from asyncio import CancelledError
from asyncio import Future as LoopFuture
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from time import sleep
from typing import Any, TypeAlias, TypeVar, cast
from weakref import finalize

from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument, from_ending
from asynctensor.runtime.inbox import LoopInbox, inbox_of, wake_now
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.threads import start_thread
from asynctensor.runtime.unfinished import abandon_requests, stop_requests

T = TypeVar("T")
_Work: TypeAlias = "tuple[Callable[..., object], tuple[Any, ...]]"

#: Longest time, in seconds, for which worker code keeps the GIL (measured: a caller's 1 ms timer
#: is then 0.1 ms late, instead of the 5 ms of the interpreter's own switch interval).
GIL_SLICE = 0.0005

#: Seconds for which the exit of the interpreter waits for work that is going on.
GRACE = 1.0

_log = logging.getLogger(__name__)


def yield_gil() -> None:
    """Gives up the GIL if this thread has not done so for `GIL_SLICE` seconds.

    Cheap enough to be called between any two pieces of work.
    """
    local = PROCESS.local
    now = SOURCES.monotonic()
    if now - local.gil_given > GIL_SLICE:
        if local.unwoken:
            wake_now()
        sleep(0)
        local.gil_given = SOURCES.monotonic()


def _work(queue: SimpleQueue[_Work | None]) -> None:
    get = queue.get
    local = PROCESS.local
    while True:
        item = get()
        if item is None:
            return
        function, args = item
        # Waiting for work was time without the GIL.
        local.gil_given = SOURCES.monotonic()
        try:
            function(*args)
        except BaseException:  # noqa: BLE001 -- the worker lives on
            _log.exception("Work on a worker thread failed: %r", function)
        # While the worker waits, nothing of what it did stays alive.
        del item, function, args


def _stop(queue: SimpleQueue[_Work | None], threads: list[threading.Thread]) -> None:
    for _ in threads:
        queue.put(None)


def _drop(queue: SimpleQueue[_Work | None]) -> None:
    """Empties a queue whose threads are stuck."""
    with suppress(Empty):
        while True:
            item = queue.get_nowait()
            if item is not None and isinstance(item[0], _Call):
                item[0].refuse()


class _Call:
    """A function call whose result a task waits for."""

    __slots__ = (
        "_args",
        "_claim",
        "_context",
        "_error",
        "_finished",
        "_function",
        "_inbox",
        "_result",
        "waiter",
    )

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], inbox: LoopInbox
    ) -> None:
        self._function = function
        self._args = args
        self._inbox = inbox
        self._context: Context = copy_context()
        self._claim = [None]  # popped by the worker that begins, or by whoever calls it off
        self._result: Any = None
        self._error: BaseException | None = None
        self._finished = False
        self.waiter: LoopFuture[None] | None = None

    def _claimed(self) -> bool:
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True

    def finished(self) -> bool:
        """Whether the function has returned or raised."""
        return self._finished

    def call_off(self) -> bool:
        """Keeps it from beginning; False if it has begun."""
        if not self._claimed():
            return False
        # It stays in the queue for a while, and what it would have worked on need not.
        del self._function, self._args
        return True

    def __call__(self) -> None:
        if not self._claimed():
            return
        try:
            self._result = self._context.run(self._function, *self._args)
        except Exception as error:  # noqa: BLE001 -- raised where the call is awaited
            self._error = error
        except BaseException as error:  # noqa: BLE001 -- a task that raised it would end its loop
            self._error = from_ending(error, repr(self._function))
            self._error.__cause__ = error
        del self._function, self._args
        self._finished = True
        self._inbox.post(_Call._wake, self)

    def refuse(self) -> None:
        """Says that it will never begin."""
        if self.call_off():
            self._error = Aborted("the runtime ended before this call began")
            self._finished = True
            self._inbox.post(_Call._wake, self)

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def outcome(self) -> Any:
        """What the function returned; raises what it raised. To be asked once."""
        error, self._error = self._error, None
        result, self._result = self._result, None
        if error is None:
            return result
        try:
            raise error
        finally:
            del error


class WorkerPool:
    """Up to `size` threads that take work from one queue, first come, first served.

    The threads are daemons, started by the first pieces of work, and end with the pool. A pool
    that is used in a forked child has threads of its own there, and an empty queue.

    Args:
        size: Number of threads.
        name: For the names of the threads.

    Raises:
        InvalidArgument: `size` is less than 1.
    """

    __slots__ = ("__weakref__", "_epoch", "_full", "_name", "_queue", "_size", "_threads")

    def __init__(self, size: int, name: str) -> None:
        if size < 1:
            raise InvalidArgument(f"a worker pool needs at least one thread, but size is {size}")
        self._size = size
        self._name = name
        self._epoch = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._full = False
        self._epoch = PROCESS.epoch
        finalize(self, _stop, self._queue, self._threads).atexit = False

    @property
    def size(self) -> int:
        """Number of threads at most."""
        return self._size

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Has ``function(*args)`` called on a worker; what it raises is logged.

        Raises:
            FailedPrecondition: No thread can be started: the interpreter is exiting.
        """
        instead = PROCESS.instead_of_workers
        if instead is not None:
            instead(function, args)
            return
        if not self._full or self._epoch != PROCESS.epoch:
            self._grow()
        self._queue.put((function, args))

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Calls ``function(*args)`` on a worker, in the caller's context; gives what it returns.

        A cancelled call that has not begun never does; one that has is waited for, so that what
        it writes to is at rest when the cancellation is delivered.

        Raises:
            FailedPrecondition: No thread can be started: the interpreter is exiting.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, args, inbox_of(loop))
        self.post(call)
        cancelled: list[CancelledError] = []
        while not call.finished():
            waiter = call.waiter = loop.create_future()
            if call.finished():
                break  # before the worker could see the waiter: nobody would wake it
            try:
                await waiter
            except CancelledError as error:
                cancelled.append(error)
                if call.call_off():
                    break
        if cancelled:
            try:
                raise cancelled[0]
            finally:
                cancelled.clear()  # the error's traceback holds this frame
        return cast("T", call.outcome())

    def _grow(self) -> None:
        with PROCESS.lock:
            if self._epoch != PROCESS.epoch:
                self._begin_anew()
            if len(self._threads) < self._size:
                self._start_one()
            self._full = len(self._threads) >= self._size

    def _start_one(self) -> None:
        name = f"asynctensor-{self._name}-{len(self._threads)}"
        try:
            self._threads.append(start_thread(_work, self._queue, name=name))
            PROCESS.pools.add(self)
            if not PROCESS.pools_end_with_interpreter:
                PROCESS.pools_end_with_interpreter = True
                atexit.register(stop_all_pools, GRACE)
        except RuntimeError as error:
            if not self._threads:
                raise FailedPrecondition(f"no worker thread can be started: {error}") from error

    def stop(self, grace: float) -> None:
        """Lets the threads end after what they are doing, and what waits for them.

        Args:
            grace: Seconds to wait for them at most. What they have not begun by then is dropped,
                and calls that are awaited fail with `Aborted`.
        """
        if self._epoch != PROCESS.epoch:
            return
        with PROCESS.lock:
            queue, threads = self._queue, self._threads
            self._begin_anew()
        _stop(queue, threads)
        until = SOURCES.monotonic() + grace
        for thread in threads:
            thread.join(max(0.0, until - SOURCES.monotonic()))
        if any([thread.is_alive() for thread in threads]):
            _drop(queue)
            _stop(queue, threads)

    def __repr__(self) -> str:
        return f"WorkerPool({self._size}, {self._name!r})"


def shared_pool(name: str, size: int) -> WorkerPool:
    """The worker pool of that name that the whole process shares.

    Args:
        name: Which.
        size: Number of threads, if it does not exist yet.
    """
    with PROCESS.lock:
        pool = PROCESS.shared.get(name)
        if not isinstance(pool, WorkerPool):
            pool = PROCESS.shared[name] = WorkerPool(size, name)
        return pool


def usable_cores() -> int:
    """The number of processors that this process may use; more threads than that are in the way."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def data_copy_pool() -> WorkerPool:
    """The shared pool of those who decode, encode and copy."""
    return shared_pool("data_copy", usable_cores())


def file_io_pool() -> WorkerPool:
    """The shared pool of those who wait for local storage."""
    # Disks answer several requests at once, and waiting threads cost no processor.
    return shared_pool("file_io", max(4, usable_cores()))


def stop_all_pools(grace: float) -> None:
    """Stops every pool of the process, and the requests whose work they do.

    Waits `grace` seconds at most. They start anew if used.
    """
    stop_requests()
    until = SOURCES.monotonic() + grace
    with PROCESS.lock:
        pools = list(PROCESS.pools)
    for pool in pools:
        pool.stop(max(0.0, until - SOURCES.monotonic()))
    # Before anybody is told, and perhaps begins again.
    PROCESS.pools_ended += 1
    abandon_requests()

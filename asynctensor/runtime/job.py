"""A coroutine that runs as a task of some loop, and settles a future when it ends."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, CancelledError, Task
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Protocol

from asynctensor.errors import Aborted, from_memory_error
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.inbox import inbox_of
from asynctensor.runtime.last_trouble import watched
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.works_for import work_for

# The states of a future. Legal moves: PENDING to each of the others, once; nothing else.
PENDING, SUCCEEDED, FAILED, CANCELLED = range(4)


class Settles(Protocol):
    """What can be told how a job ended; `Future` is."""

    def _settle(self, status: int, value: Any) -> bool: ...


class Job:
    """One piece of work: which coroutine to run, where, in which context, until when.

    Args:
        future: Told how it ended, once everything that the work did has ended.
        function: Called on the loop with `args`; gives the awaitable to wait for.
        deadline: When to cancel the work and report `DeadlineExceeded`.
    """

    __slots__ = (
        "_args",
        "_cancelled",
        "_context",
        "_deadline",
        "_function",
        "_future",
        "_loop",
        "_task",
    )

    def __init__(
        self,
        future: Settles,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        deadline: Deadline,
    ) -> None:
        self._future: Settles | None = future
        self._function = function
        self._args = args
        self._deadline = deadline
        self._context: Context = copy_context()
        self._loop: AbstractEventLoop | None = None
        self._task: Task[None] | None = None
        self._cancelled = False

    def begin(self, loop: AbstractEventLoop) -> None:
        """Starts the work; called on `loop`."""
        self._loop = loop
        if self._cancelled:
            self._settle(CANCELLED, None)
            return
        PROCESS.jobs.add(self)
        self._task = task = loop.create_task(self._run(), context=self._context)
        # A task that is cancelled before its first step never enters its coroutine.
        task.add_done_callback(self._ended)

    @property
    def begun(self) -> bool:
        """Whether it was started. One that was cancelled before that never runs."""
        return self._loop is not None

    def refuse(self, error: BaseException) -> None:
        """Ends the work before it began."""
        self._settle(FAILED, error)

    def abandon(self) -> None:
        """Ends the work because its loop runs no more."""
        self._settle(
            FAILED,
            Aborted("the runtime ended during this operation: whether it was done is not known"),
        )

    def cancel(self) -> None:
        """Asks the work to stop. From any thread; the future is settled when it has."""
        self._cancelled = True
        loop = self._loop
        # Without a loop it has not begun yet, and `begin` will see the flag.
        if loop is None:
            return
        if _get_running_loop() is loop:
            self._cancel_task(None)
        else:
            inbox_of(loop).post(self._cancel_task, None)

    def _cancel_task(self, _: None) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        function, args = self._function, self._args
        del self._function, self._args
        if self._future is not None:
            work_for(self._future)
        try:
            if self._deadline.never:
                result = await function(*args)
            else:
                result = await _until(self._deadline, function, args)
        except CancelledError:
            self._settle(CANCELLED, None)
        except MemoryError as error:
            failure = from_memory_error(error, "this operation")
            failure.__cause__ = error
            self._settle(FAILED, failure)
        except BaseException as error:  # noqa: BLE001 -- whoever awaits the future gets it
            self._settle(FAILED, error)
        else:
            self._settle(SUCCEEDED, result)

    def _ended(self, task: Task[None]) -> None:
        self._task = None
        if self._future is not None:
            self._settle(CANCELLED, None)

    def _settle(self, status: int, value: Any) -> None:
        # Let go of the future: an error's traceback holds this job's frames, and the future the
        # error; the ring would keep the buffers of the work alive.
        future, self._future = self._future, None
        PROCESS.jobs.discard(self)
        if future is not None:
            future._settle(status, value)


class BegunJob(Job):
    """A job that does without its coroutine, and a task for that, where it can.

    Args:
        begin: Called on the loop first, in the caller's context, with `args` and whom to tell:
            returns what gives the work up, leaving nothing behind; None where it takes the
            coroutine. It is told a result, an error, or None where it takes the coroutine after
            all; once, after `begin` has returned.
    """

    __slots__ = ("_begin", "_give_up")

    def __init__(
        self,
        future: Settles,
        begin: Callable[..., Callable[[], object] | None],
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
    ) -> None:
        super().__init__(future, function, args, NEVER)
        self._begin = begin
        self._give_up: Callable[[], object] | None = None

    def begin(self, loop: AbstractEventLoop) -> None:
        """Starts the work; called on `loop`."""
        if not self._cancelled:
            self._loop = loop
            PROCESS.jobs.add(self)
            try:
                self._give_up = self._context.run(self._begin, *self._args, self._told)
            except Exception as error:  # noqa: BLE001 -- whoever awaits the future gets it
                self._settle(FAILED, error)
                return
        if self._give_up is None:
            super().begin(loop)

    def _told(self, outcome: Any) -> None:
        self._give_up = None
        if outcome is None:
            assert self._loop is not None
            super().begin(self._loop)
        elif isinstance(outcome, BaseException):
            self._settle(FAILED, outcome)
        else:
            self._settle(SUCCEEDED, outcome)

    def _cancel_task(self, _: None) -> None:
        give_up, self._give_up = self._give_up, None
        if give_up is None:
            super()._cancel_task(None)
            return
        give_up()
        self._settle(CANCELLED, None)


def abandon_all(loop: AbstractEventLoop) -> None:
    """Has nobody wait for what `loop`, which is about to stop, has not brought to its end."""
    for job in [job for job in list(PROCESS.jobs) if job._loop is loop]:
        job.abandon()


async def _until(
    deadline: Deadline, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
) -> Any:
    limit, trouble = asyncio.timeout(deadline.remaining()), watched()
    try:
        async with limit:
            return await function(*args)
    except TimeoutError as error:
        if not limit.expired():
            raise
        text = "the time given by timeout= or deadline= ran out; the work was cancelled"
        raise trouble.too_late(text) from (trouble.failure or error)

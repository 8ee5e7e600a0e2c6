"""A coroutine that runs as a task of some loop, and settles a future when it ends."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, CancelledError, Task
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Protocol

from asynctensor.errors import DeadlineExceeded, from_memory_error
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.inbox import inbox_of

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
        if future is not None:
            future._settle(status, value)


async def _until(
    deadline: Deadline, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
) -> Any:
    limit = asyncio.timeout(deadline.remaining())
    try:
        async with limit:
            return await function(*args)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            "the time given by timeout= or deadline= ran out; the work was cancelled"
        ) from error

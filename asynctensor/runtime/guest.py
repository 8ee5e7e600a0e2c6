"""Calling code that users wrote: in its own place, and with nothing of ours at its mercy.

=====================  ===========================================================================
what it is             where it runs
=====================  ===========================================================================
a plain function       a thread of the guest pool
a coroutine function   the loop given; else the loop that was running when it was handed to us;
                       else the guest loop, which has a thread of its own
=====================  ===========================================================================

Never on the I/O loop that the runtime owns. Errors arrive as they were raised, the very object. A
cancelled call cancels the coroutine, and is over when that is; a plain function that has begun is
waited for.
"""

from __future__ import annotations

import inspect
import itertools
from asyncio import AbstractEventLoop, CancelledError
from asyncio.events import _get_running_loop
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from asynctensor.errors import Aborted, FailedPrecondition, IncompatibleType, from_ending
from asynctensor.runtime.clock import NEVER
from asynctensor.runtime.event_loop import guest_loop, is_own_io_loop
from asynctensor.runtime.future import Future
from asynctensor.runtime.guest_pool import guest_pool
from asynctensor.runtime.inbox import inbox_of
from asynctensor.runtime.job import CANCELLED, FAILED, Job
from asynctensor.runtime.lookout import looking
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.works_for import held_up, holds_up

#: Seconds between two looks whether a user's loop was closed under a call, or is held up by who
#: waits for it: nobody tells us.
_LOOK = 0.25
#: Items of an iteration that cross over at once.
_PIECE = 1000


def is_coroutine_function(function: object) -> bool:
    """Whether calling `function` gives a coroutine, however it is wrapped."""
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 -- of the class, as calls are
    return inspect.iscoroutinefunction(call)


class Guest:
    """Where the functions of one user run; remembers the loop that is running when it is made.

    Args:
        loop: Where coroutines run; by default see the module.

    Raises:
        IncompatibleType: `loop` is no event loop.
    """

    __slots__ = ("_epoch", "_loop")

    def __init__(self, loop: AbstractEventLoop | None = None) -> None:
        if loop is not None and not isinstance(loop, AbstractEventLoop):
            raise IncompatibleType(f"loop must be an asyncio event loop, but is: {loop!r}")
        chosen = _get_running_loop() if loop is None else loop
        self._loop = None if chosen is not None and is_own_io_loop(chosen) else chosen
        self._epoch = PROCESS.epoch

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The user's own loop; None for the guest loop."""
        return self._loop

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls ``function(*args)``; gives what it returns, or what that gives when awaited.

        Raises:
            FailedPrecondition: The loop is closed, or stayed behind in a parent process.
            Aborted: The coroutine was cancelled by somebody else, or ended by what is no
                `Exception` (`SystemExit`), which is the cause.
            Exception: Whatever it raises.
        """
        if is_coroutine_function(function):
            return await self._on_loop(function, args)
        result = await guest_pool().run(_plainly, function, args)
        if inspect.isawaitable(result):
            return await self._on_loop(_awaited, (result,))
        return result

    async def iterate(self, function: Callable[..., Any], *args: Any) -> AsyncGenerator[Any, None]:
        """The items that ``function(*args)`` gives: a generator of either kind, or a collection.

        Raises:
            Exception: As `call`.
        """
        if inspect.isasyncgenfunction(function):
            found: Any = function(*args)
        else:
            found = await self.call(function, *args)
        if isinstance(found, AsyncIterator):
            async with aclosing(self._iterate_async(found)) as pieces:
                async for item in pieces:
                    yield item
            return
        if not isinstance(found, Iterable):
            raise IncompatibleType(f"{function!r} must give an iterable, but gave: {found!r}")
        items = await guest_pool().run(_plainly, iter, (found,))
        while piece := await guest_pool().run(_plainly, _taken, (items,)):
            for item in piece:
                yield item

    async def _iterate_async(self, items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        try:
            while piece := await self._on_loop(_taken_async, (items,)):
                for item in piece:
                    yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and self._is_usable:
                await self._on_loop(close, ())

    @property
    def _is_usable(self) -> bool:
        return self._loop is None or not (self._loop.is_closed() or self._epoch != PROCESS.epoch)

    def usable_loop(self) -> AbstractEventLoop:
        """Where coroutines run now.

        Raises:
            FailedPrecondition: That loop is closed, or stayed behind in a parent process.
        """
        loop = self._loop
        if loop is None:
            return guest_loop()
        if self._epoch != PROCESS.epoch:
            raise FailedPrecondition(
                "the event loop that this asynchronous function runs on stayed in the parent "
                "process: hand the function over again in this process"
            )
        if loop.is_closed():
            raise _closed()
        return loop

    async def _on_loop(self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        call = _LoopCall(self.usable_loop(), function, args)
        return await call.outcome()


class _LoopCall:
    """One coroutine on another loop."""

    __slots__ = ("_asked", "_future", "_home", "_job")

    def __init__(
        self,
        home: AbstractEventLoop,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
    ) -> None:
        self._home = home
        self._asked = False
        self._future: Future[Any] = Future._pending(self._cancel, home)
        self._job = Job(self._future, _guarded, (function, args), NEVER)
        if _get_running_loop() is home:
            self._job.begin(home)
        else:
            inbox_of(home).post(self._job.begin, home)

    def _cancel(self) -> None:
        self._asked = True
        self._job.cancel()
        if not self._job.begun:
            # Its loop may not be running, and never begins it now.
            self._future._settle(CANCELLED, None)

    async def outcome(self) -> Any:
        """What it returns, once it has; raises what it raises."""
        awaited = inbox_of(self._home).awaited
        awaited[self] = SOURCES.monotonic()
        try:
            with looking(self._look, _LOOK):
                # The loop may be held up, or may have been closed since the call was posted there.
                self._look()
                return await self._future
        except CancelledError:
            if self._asked:
                raise
            raise Aborted(
                "the user's coroutine was cancelled by somebody else; was its event loop ended?"
            ) from None
        finally:
            awaited.pop(self, None)

    def _look(self) -> bool:
        if self._home.is_closed():
            self._future._settle(FAILED, _closed())
            return False
        if holds_up(self._home):
            self._future._settle(FAILED, held_up())
            # It may have begun, and wait for its loop; or begin when that goes on.
            self._job.cancel()
            return False
        return True


def _closed() -> FailedPrecondition:
    return FailedPrecondition(
        "the event loop that this asynchronous function runs on is closed: pass loop= a loop that "
        "lives as long as the function is used, or hand it over where none is running, for a loop "
        "of its own"
    )


def _plainly(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except StopIteration as error:  # no coroutine can raise it
        raise from_ending(error, repr(function)) from error
    except Exception:
        raise
    except BaseException as error:
        raise from_ending(error, repr(function)) from error


async def _guarded(function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
    try:
        return await function(*args)
    except (Exception, CancelledError):
        raise
    except BaseException as error:
        raise from_ending(error, repr(function)) from error


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _taken(items: Iterator[Any]) -> list[Any]:
    return list(itertools.islice(items, _PIECE))


async def _taken_async(items: AsyncIterator[Any]) -> list[Any]:
    piece: list[Any] = []
    async for item in items:
        piece.append(item)
        if len(piece) == _PIECE:
            break
    return piece

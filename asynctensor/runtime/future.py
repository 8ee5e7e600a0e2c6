"""`Future`: the result of an operation, for any number of waiters in any threads and loops."""

from __future__ import annotations

import inspect
from asyncio import AbstractEventLoop, CancelledError, current_task, get_running_loop
from asyncio import Future as LoopFuture
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

from asynctensor.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
)
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.inbox import inbox_of, wake_now
from asynctensor.runtime.job import CANCELLED, FAILED, PENDING, SUCCEEDED, Job
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.turn import breath_due, end_turn
from asynctensor.runtime.waiter import BlockedThread, Callback, Waiter, WaitingTask

T = TypeVar("T")
#: What may stand where a result is expected: the result, or something that will give it.
FutureLike: TypeAlias = "Future[T] | Awaitable[T] | T"

_STATUS_NAMES = ("pending", "succeeded", "failed", "cancelled")
_new = object.__new__


class Future(Coroutine[Any, Any, T]):
    """The result of an operation that may still be going on.

    Thread-safe. Any number of tasks, of any event loops, may await it at once; any thread but the
    I/O loop's may block on it; all get the same result. It is a coroutine to asyncio, so that
    ``create_task``, ``TaskGroup``, ``gather``, ``timeout``, ``wait_for`` and ``asyncio.run`` take
    it, each of several tasks over one Future included.

    **Cancellation.** When the last waiter (awaiting tasks, blocked threads, done callbacks) is a
    task that gets cancelled, the work is cancelled too, and the cancellation is delivered to that
    task only after the work has ended. A cancelled task that leaves others waiting just leaves.

    **Fork.** The work of a Future that was pending at a fork goes on in the parent; in the child
    it has failed, with `FailedPrecondition`.

    >>> future = at.array([1, 2]).read()
    >>> future.result(timeout=5), future.done()
    (array([1, 2]), True)
    >>> async def both():
    ...     one, two = at.array([1]).read(), at.array([2]).read()
    ...     return [int(each[0]) for each in await asyncio.gather(one, two)]
    >>> asyncio.run(both())
    [1, 2]

    Args:
        future: A Future (returned as it is), an awaitable (run on `loop`), or the result itself.
        loop: The event loop on which to run an awaitable; by default the running one.

    Raises:
        InvalidArgument: An awaitable, and neither `loop` nor a running loop.
    """

    __slots__ = (
        "__weakref__",
        "_claim",
        "_drives",
        "_entries",
        "_epoch",
        "_home",
        "_on_cancel",
        "_status",
        "_value",
    )

    # No lock guards these. Whoever settles pops the one element of `_claim`, fills in `_value`,
    # then `_status`, then takes the entries one by one; whoever registers appends an entry and
    # looks at `_status` afterwards. A lock could be held by the very thread in which the garbage
    # collector runs a finaliser that settles a future.
    _status: int
    _value: Any  # the result; or (error, its traceback when it arrived)
    _claim: list[None]
    _entries: deque[Waiter]
    _on_cancel: list[Callable[[], None]] | None
    _epoch: int  # of the process that does the work
    _home: AbstractEventLoop | None  # where the work runs, if not on the I/O loop
    _drives: dict[Any, Generator[Any, None, T]] | None  # by task: see `send`

    def __new__(cls, future: FutureLike[T], *, loop: AbstractEventLoop | None = None) -> Future[T]:
        """See the class; a Future is returned as it is."""
        if isinstance(future, Future):
            return cast("Future[T]", future)
        if inspect.isawaitable(future):
            return _run_on_loop(future, loop)
        return Future.resolved(future)

    @staticmethod
    def resolved(value: T) -> Future[T]:
        """A Future that is done, with this result."""
        self: Future[T] = _new(Future)
        self._status = SUCCEEDED
        self._value = value
        self._drives = None
        return self

    @staticmethod
    def failed(error: BaseException) -> Future[Any]:
        """A Future that is done, with this error."""
        self: Future[Any] = _new(Future)
        self._status = FAILED
        self._value = (error, error.__traceback__)
        self._drives = None
        return self

    @staticmethod
    def _pending(
        on_cancel: Callable[[], None] | None = None, home: AbstractEventLoop | None = None
    ) -> Future[Any]:
        self: Future[Any] = _new(Future)
        self._status = PENDING
        self._value = None
        self._claim = [None]
        self._entries = deque()
        self._on_cancel = None if on_cancel is None else [on_cancel]
        self._epoch = PROCESS.epoch
        self._home = home
        self._drives = {}
        return self

    # -- Producing ---------------------------------------------------------------------------

    def _settle(self, status: int, value: Any) -> bool:
        """Moves from pending to `status` and tells everybody; False if that happened before."""
        try:
            self._claim.pop()
        except IndexError:
            return False
        self._value = (value, value.__traceback__) if status == FAILED else value
        self._home = self._on_cancel = None
        self._status = status
        self._tell()
        return True

    def _tell(self) -> None:
        entries = self._entries
        while entries:
            try:
                entry = entries.popleft()
            except IndexError:
                break
            try:
                entry.fire(self)
            except BaseException:
                # Ctrl-C in a callback: the others wait all the same.
                self._tell()
                raise

    def _is_pending(self) -> bool:
        if self._status:
            return False
        if self._epoch == PROCESS.epoch:
            return True
        # Forked: nobody in this process will ever settle it.
        error = FailedPrecondition(
            "this Future was pending when the process forked, and its work goes on in the parent "
            "alone: start the operation again in this process"
        )
        self._entries.clear()
        self._value = (error, None)
        self._on_cancel = None
        self._status = FAILED
        return False

    def _enter(self, entry: Waiter) -> None:
        self._entries.append(entry)
        if self._status and self._leave(entry):
            entry.fire(self)

    def _leave(self, entry: Waiter) -> bool:
        try:
            self._entries.remove(entry)
        except ValueError:
            return False
        return True

    # -- Asking ------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has a result or an error, or was cancelled."""
        return not self._is_pending()

    def cancelled(self) -> bool:
        """Whether it ended by being cancelled."""
        return self._status == CANCELLED

    def cancel(self) -> bool:
        """Asks for the work to be cancelled.

        Returns:
            Whether it was still going on. Where the work must unwind first, the Future is
            cancelled only once it has (or finishes normally, if it was too late).
        """
        if not self._is_pending():
            return False
        on_cancel = self._on_cancel
        if on_cancel is None:
            return self._settle(CANCELLED, None)
        try:
            request = on_cancel.pop()
        except IndexError:  # asked before
            return not self._status
        request()
        return True

    def force(self) -> None:
        """Has the operation start now, where it would wait for the end of the loop's turn."""
        end_turn()

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Has ``callback(self)`` called once this is done; at once if it is.

        It runs in whichever thread completes the operation. What it raises is logged.
        """
        entry = Callback(callback)
        if self._is_pending():
            self._enter(entry)
        else:
            entry.fire(self)

    def remove_done_callback(self, callback: Callable[[Future[T]], object]) -> int:
        """Forgets a callback.

        Returns:
            How many times it had been added.
        """
        if self._status:
            return 0
        matching = [e for e in list(self._entries) if getattr(e, "function", None) == callback]
        return sum(self._leave(entry) for entry in matching)

    # -- Blocking ----------------------------------------------------------------------------

    def result(self, timeout: float | None = None, deadline: float | None = None) -> T:
        """Blocks until it is done; gives the result, or raises the error.

        Args:
            timeout: Longest wait, in seconds. The work is not cancelled when it runs out.
            deadline: The end of the wait, in seconds since the Unix epoch.

        Raises:
            DeadlineExceeded: The time ran out (a `TimeoutError`).
            FailedPrecondition: Called on the thread that is to do the work: ``await`` it there. Or
                on one whose event loop is to run a user's coroutine, which has waited for it for
                seconds: the result may need that, and the work goes on.
            asyncio.CancelledError: The operation was cancelled.
            KeyboardInterrupt: On the main thread, by Ctrl-C; the work goes on.
        """
        if not self._status:
            self._block(timeout, deadline)
        try:
            return self._take()
        finally:
            del self  # an error's traceback holds this frame

    def exception(
        self, timeout: float | None = None, deadline: float | None = None
    ) -> BaseException | None:
        """Blocks until it is done; gives the error, or None if there is a result.

        Arguments and errors are those of `result`.
        """
        if not self._status:
            self._block(timeout, deadline)
        if self._status == CANCELLED:
            raise CancelledError
        return cast("BaseException", self._value[0]) if self._status == FAILED else None

    def _block(self, timeout: float | None, deadline: float | None) -> None:
        limit = Deadline.of(timeout, deadline)
        if not self._is_pending():
            return
        loop = _get_running_loop()
        if loop is not None:
            owners = (PROCESS.io, PROCESS.guests)
            if loop is self._home or any(o is not None and o.loop is loop for o in owners):
                raise FailedPrecondition(
                    "result() would block the event loop that is to do the work, for ever: "
                    "await the Future instead"
                )
        entry = BlockedThread(loop)
        self._enter(entry)
        try:
            end_turn()
            # What it waits for may depend on a loop that this very thread has yet to wake.
            wake_now()
            if not entry.wait(limit) and self._is_pending():
                raise DeadlineExceeded(
                    "the result was not ready in the time given by timeout= or deadline=; "
                    "the operation goes on"
                )
        finally:
            self._leave(entry)

    def blocks(self, loop: AbstractEventLoop) -> bool:
        """Whether the thread on which `loop` runs waits in `result` or `exception`."""
        return any(
            isinstance(entry, BlockedThread) and entry.loop is loop
            for entry in self._entries.copy()
        )

    def _take(self) -> T:
        if self._status == SUCCEEDED:
            return cast("T", self._value)
        if self._status == CANCELLED:
            raise CancelledError
        error, traceback = self._value
        try:
            # Raised as it came, however often it is raised.
            raise error.with_traceback(traceback)
        finally:
            del error, traceback, self

    # -- Awaiting ----------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:
        try:
            if not self._status:
                yield from self._wait()
            elif breath_due():
                yield
            return self._take()
        finally:
            del self

    def _wait(self) -> Generator[Any, None, None]:
        loop = get_running_loop()
        inbox = inbox_of(loop)
        cancelled: CancelledError | None = None
        while self._is_pending():
            waiter: LoopFuture[None] = loop.create_future()
            entry = WaitingTask(inbox, waiter)
            self._enter(entry)
            try:
                yield from waiter.__await__()
            except CancelledError as error:
                self._leave(entry)
                if cancelled is None:
                    if self._entries:
                        raise  # the others still want it
                    cancelled = error
                    self.cancel()
                # Until the work has ended, further requests change nothing.
            except BaseException:
                self._leave(entry)
                raise
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled, self

    # asyncio takes a coroutine for something that one task drives to its end. Each task that
    # drives this one has an iteration of its own.

    def send(self, value: Any) -> Any:
        """Goes on with the iteration of the current task (`collections.abc.Coroutine`)."""
        drives = self._drives
        if drives is None:
            raise StopIteration(self._take())
        task = _current_task()
        drive = drives.get(task)
        if drive is None:
            drive = drives[task] = self.__await__()
        try:
            return drive.send(value)
        except BaseException:
            drives.pop(task, None)
            raise

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """Raises in the iteration of the current task (`collections.abc.Coroutine`)."""
        error = _instance(typ, val).with_traceback(tb)
        drives = self._drives
        if drives is None:
            raise error
        task = _current_task()
        drive = drives.get(task)
        try:
            if drive is None:
                if self._status:
                    raise error
                # Cancelled before its first step: it counts as a waiter all the same.
                drive = drives[task] = self.__await__()
                drive.send(None)
            return drive.throw(error)
        except StopIteration:
            drives.pop(task, None)
            raise error from None
        except BaseException:
            drives.pop(task, None)
            raise
        finally:
            del error

    def close(self) -> None:
        """Gives up the iteration of the current task; the work goes on."""
        drive = self._drives.pop(_current_task(), None) if self._drives else None
        if drive is not None:
            drive.close()

    def __reduce__(self) -> NoReturn:
        raise IncompatibleType("a Future cannot be pickled: wait for its result and pickle that")

    def __repr__(self) -> str:
        return f"<Future {_STATUS_NAMES[self._status]}>"


def _current_task() -> Any:
    loop = _get_running_loop()
    return None if loop is None else current_task(loop)


def _instance(typ: type[BaseException] | BaseException, val: object) -> BaseException:
    if isinstance(typ, BaseException):
        return typ
    if isinstance(val, BaseException):
        return val
    return typ() if val is None else typ(val)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _run_on_loop(awaitable: Awaitable[T], loop: AbstractEventLoop | None) -> Future[T]:
    running = _get_running_loop()
    home = loop or running
    if home is None:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise InvalidArgument(
            "no event loop to run the awaitable on: pass loop=, or call this where one is running"
        )
    future = Future._pending(home=home)
    job = Job(future, _await, (awaitable,), NEVER)
    future._on_cancel = [job.cancel]
    if running is home:
        job.begin(home)
    else:
        inbox_of(home).post(job.begin, home)
    return future

"""`Promise`: the producer's end of a `Future`."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from asynctensor.errors import Aborted, IncompatibleType
from asynctensor.runtime.future import Future
from asynctensor.runtime.job import CANCELLED, FAILED, SUCCEEDED

T_contra = TypeVar("T_contra", contravariant=True)


class Promise(Generic[T_contra]):
    """Says how an operation ended. Made together with its Future by `new`.

    Thread-safe. The first outcome counts; later ones are ignored. A Promise that is dropped
    without one fails its Future with `Aborted`, so that nobody waits for ever.

    >>> promise, future = at.Promise.new()
    >>> future.done()
    False
    >>> promise.set_result(5)
    >>> future.result()
    5
    """

    __slots__ = ("_future",)

    _future: Future[Any]

    def __init__(self) -> None:
        raise IncompatibleType("a Promise is made together with its Future: use Promise.new()")

    @staticmethod
    def new(
        on_cancel: Callable[[], None] | None = None,
    ) -> tuple[Promise[Any], Future[Any]]:
        """Makes the two ends.

        Args:
            on_cancel: Called once, in any thread, when cancellation is asked for; the Future
                then stays pending until the producer says how it ended (`set_cancelled`, or
                normally). Without it the Future is cancelled at once.
        """
        promise: Promise[Any] = Promise.__new__(Promise)
        promise._future = Future._pending(on_cancel)
        return promise, promise._future

    def set_result(self, result: T_contra) -> None:
        """The operation succeeded with `result`."""
        self._future._settle(SUCCEEDED, result)

    def set_exception(self, exception: BaseException) -> None:
        """The operation failed.

        Raises:
            IncompatibleType: It is not an exception.
        """
        if isinstance(exception, CancelledError):
            self._future._settle(CANCELLED, None)
            return
        if not isinstance(exception, BaseException):
            raise IncompatibleType(
                f"exception must be an instance of an exception class, but is: {exception!r}"
            )
        self._future._settle(FAILED, exception)

    def set_cancelled(self) -> None:
        """The operation ended because it was cancelled, and nothing of it is still going on."""
        self._future._settle(CANCELLED, None)

    def __del__(self) -> None:
        future = getattr(self, "_future", None)
        if future is not None and not future._status:
            future._settle(FAILED, Aborted("the Promise of this Future was dropped without result"))

    def __repr__(self) -> str:
        return f"<Promise of {self._future!r}>"

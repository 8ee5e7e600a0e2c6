"""`WriteFutures`: the two moments of a write that its caller may wait for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from asynctensor.runtime.future import Future


class WriteFutures(Coroutine[Any, Any, None]):
    """A write that is going on. Whatever is asked of it is asked of `commit`.

    >>> array, source = at.array(np.zeros(3)), np.ones(3)
    >>> writing = array.write(source)
    >>> writing.copy.result()
    >>> source[:] = 2
    >>> writing.result()
    >>> array.read().result()
    array([1., 1., 1.])

    Attributes:
        copy: Done when the source has been read, and may be changed.
        commit: Done when the write is visible to later reads and, outside a transaction, durable.
    """

    __slots__ = ("_commit", "_copy")

    def __init__(self, copy: Future[None], commit: Future[None]) -> None:
        self._copy = copy
        self._commit = commit

    @property
    def copy(self) -> Future[None]:
        """Done when the source has been read, and may be changed."""
        return self._copy

    @property
    def commit(self) -> Future[None]:
        """Done when the write is visible to later reads and, outside a transaction, durable."""
        return self._commit

    def __await__(self) -> Generator[Any, None, None]:
        return self._commit.__await__()

    def done(self) -> bool:
        """Whether the commit has ended."""
        return self._commit.done()

    def cancelled(self) -> bool:
        """Whether the commit was cancelled."""
        return self._commit.cancelled()

    def cancel(self) -> bool:
        """Asks for the write to be cancelled; see `Future.cancel`."""
        return self._commit.cancel()

    def force(self) -> None:
        """Has the write start now; see `Future.force`."""
        self._commit.force()

    def result(self, timeout: float | None = None, deadline: float | None = None) -> None:
        """Blocks until the commit has ended; see `Future.result`."""
        self._commit.result(timeout, deadline)

    def exception(
        self, timeout: float | None = None, deadline: float | None = None
    ) -> BaseException | None:
        """Blocks until the commit has ended; see `Future.exception`."""
        return self._commit.exception(timeout, deadline)

    def add_done_callback(self, callback: Callable[[Future[None]], object]) -> None:
        """Has ``callback(commit)`` called when the commit has ended."""
        self._commit.add_done_callback(callback)

    def remove_done_callback(self, callback: Callable[[Future[None]], object]) -> int:
        """Forgets a callback, and says how many times it had been added."""
        return self._commit.remove_done_callback(callback)

    def send(self, value: Any) -> Any:
        """See `Future.send`."""
        return self._commit.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """See `Future.throw`."""
        return self._commit.throw(typ, val, tb)

    def close(self) -> None:
        """See `Future.close`."""
        self._commit.close()

    def __repr__(self) -> str:
        return f"WriteFutures(copy={self._copy!r}, commit={self._commit!r})"

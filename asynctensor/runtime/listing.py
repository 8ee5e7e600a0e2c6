"""`Listing`: what an operation finds, one after the other or all at once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Generic, TypeVar

from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future

T = TypeVar("T")
#: Results that cross to the caller's loop at once, at most: an eighth of a hop each is cheap.
_PIECE = 64


class Listing(Generic[T]):
    """Results of a search: ``async for`` gives them as they are found, ``await`` all as a list.

    Each iteration, and each ``await``, looks again. From any event loop, and with `result` from
    any thread; an iteration that is given up leaves nothing behind.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], AsyncIterator[T]]) -> None:
        """Made by what searches.

        Args:
            make: The search itself: an asynchronous generator that runs on the I/O loop.
        """
        self._make = make

    def search(self) -> AsyncIterator[T]:
        """The search itself, for those who run on the I/O loop."""
        return self._make()

    def __aiter__(self) -> ListingIterator[T]:
        return ListingIterator(self._make())

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self.all().__await__()

    def all(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[T]]:
        """All results.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the list; it fails with what the search raises.
        """

        async def collected() -> list[T]:
            return [each async for each in self._make()]

        return start(collected, timeout=timeout, deadline=deadline)

    def result(self, timeout: float | None = None, deadline: float | None = None) -> list[T]:
        """Blocks until all results are there; see `Future.result`."""
        return self.all().result(timeout, deadline)


class ListingIterator(AsyncIterator[T]):
    """One iteration over a `Listing`."""

    __slots__ = ("_error", "_found", "_ready", "_size")

    def __init__(self, found: AsyncIterator[T]) -> None:
        self._found = found
        self._ready: deque[T] = deque()
        self._error: Exception | None = None
        # The first result is not kept waiting for others.
        self._size = 1

    def __aiter__(self) -> ListingIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._ready:
            if self._error is None:
                await start(self._more)
            if not self._ready:
                error, self._error = self._error, StopAsyncIteration()
                assert error is not None
                raise error
        return self._ready.popleft()

    async def _more(self) -> None:
        size, self._size = self._size, min(2 * self._size, _PIECE)
        try:
            while len(self._ready) < size:
                self._ready.append(await anext(self._found))
        except Exception as error:  # noqa: BLE001 -- raised after what was found before
            self._error = error

    async def aclose(self) -> None:
        """Ends the iteration, and waits until nothing of it is under way."""
        close = getattr(self._found, "aclose", None)
        if close is not None:
            await start(close)

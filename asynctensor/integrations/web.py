"""Async web services: clients that go away, budgets with load shedding, and errors as answers.

For Starlette, FastAPI and whatever speaks ASGI; `Budget` and `answer_to` need no framework.
"""

from __future__ import annotations

import asyncio
import math
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from asynctensor.errors import (
    DeadlineExceeded,
    Error,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

T = TypeVar("T")
Array: TypeAlias = npt.NDArray[Any]


#: Seconds that a request has been answered in before anybody looks whether its client is there:
#: most of those that wait for a store have been, and looking takes as long as routing a request.
_PATIENCE = 0.2
#: Bytes of a body that are handed over at once: copying and sending so much takes about 0.1 ms.
_PART_BYTES = 2**18


class Overloaded(ResourceExhausted):
    """The service has as much to do as it may have; the client should come again."""


class ClientDisconnected(Exception):
    """The client is gone: nobody waits for an answer."""


async def until_disconnect(request: Any, work: Awaitable[T]) -> T:
    """Awaits something as long as the client is there.

    A plain handler of Starlette or FastAPI runs to its end when its client goes away; with this,
    the reads that it awaits are cancelled then. The request's body must have been read.

    Args:
        request: A request of Starlette or FastAPI.
        work: What the answer needs, such as a Future.

    Raises:
        ClientDisconnected: The client is gone; the work was cancelled, and has ended.
        BaseException: What `work` raises.
    """
    if isinstance(work, Future) and work.done():
        # Of the cache, say: nothing is waited for, and nobody needs to watch.
        return cast("T", work.result())
    watch = _Watch(request)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.is_all():
            raise ClientDisconnected("the client went away before the answer was there") from None
        raise
    finally:
        await watch.end()


class _Watch:
    """Cancels the running task, until it says otherwise, when the client of a request goes away.

    Most answers are there before anybody looks: that costs a timer, and no task.
    """

    def __init__(self, request: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._request, self._task = request, task
        self._cancelled, self._others = False, task.cancelling()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    def is_all(self) -> bool:
        """Whether nobody else has cancelled the task; takes back that this has."""
        if not self._cancelled:
            return False
        self._cancelled = False
        return self._task.uncancel() <= self._others

    def _begin(self) -> None:
        self._watching = asyncio.ensure_future(self._watched())

    async def _watched(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._cancelled = True
        self._task.cancel()

    async def end(self) -> None:
        """Looks no more."""
        self.is_all()
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)


class Budget:
    """How many bytes a service reads at once; who comes while too much waits is sent away.

    ::

        budget = Budget(256 * 2**20, waiting=64 * 2**20)
        tile = await budget.read(store[0, :256, :256], timeout=2.0)

    It belongs to one event loop.
    """

    def __init__(self, reading: int, *, waiting: int | None = None) -> None:
        """An empty budget.

        Args:
            reading: Bytes of results that are read at the same time; one that is larger is read
                alone.
            waiting: Bytes of results that may wait for that; None: as many as may be read.

        Raises:
            InvalidArgument: A number is not positive.
        """
        # Written so that what is no number of bytes (``nan``) is none.
        if not _is_at_least(1, reading) or not (waiting is None or _is_at_least(0, waiting)):
            raise InvalidArgument(
                f"a budget needs positive numbers of bytes, got {reading!r} and {waiting!r}"
            )
        self._limit, self._most_waiting = reading, reading if waiting is None else waiting
        self._reading = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def reading(self) -> int:
        """Bytes that are being read."""
        return self._reading

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return sum(size for size, turn in self._waiting if not turn.done())

    def _fits(self, size: int) -> bool:
        return self._reading == 0 or self._reading + size <= self._limit

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Holds a part of the budget; who came before comes first.

        Raises:
            Overloaded: Too much waits already. Nothing was begun.
        """
        if self._waiting or not self._fits(size):
            if self.waiting + size > self._most_waiting:
                raise Overloaded(
                    f"{self._reading} bytes are being read and {self.waiting} wait already; "
                    "come again later"
                )
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self._release(size)
                else:
                    self._next()
                raise
        else:
            self._reading += size
        try:
            yield
        finally:
            self._release(size)

    def _release(self, size: int) -> None:
        self._reading -= size
        self._next()

    def _next(self) -> None:
        """Lets those in whose turn it is."""
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self._reading += size
                turn.set_result(None)
            self._waiting.popleft()

    def read(
        self,
        view: TensorStore,
        *,
        timeout: float | None = None,
        out: Array | None = None,
    ) -> Awaitable[Array]:
        """Reads a view within the budget; what is in the cache, at once.

        Args:
            view: What is read.
            timeout: Seconds for all of it, the wait for its turn as well.
            out: The array to fill.

        Returns:
            What to await: the array, or one of these errors. It is a Future that is done, if
            nothing has to be waited for.

            `Overloaded`: too much waits already. `DeadlineExceeded`: the time was over. And what
            `TensorStore.read` fails with.

        Raises:
            InvalidArgument: `out` does not fit, or `timeout` is no number of seconds.
        """
        # Also where nothing is waited for: what is wrong is wrong whatever the cache holds.
        Deadline.of(timeout)
        size = math.prod(view.shape) * view.dtype.numpy_dtype.itemsize
        if self._waiting or not self._fits(size) or _get_running_loop() is None:
            return self._read(view, size, timeout, out)
        begun = view.read(out=out)
        if begun.done():
            return begun
        return _awaited_within(timeout, begun, _Share(self, size, begun))

    async def _read(
        self,
        view: TensorStore,
        size: int,
        timeout: float | None,  # noqa: ASYNC109 -- as every operation here
        out: Array | None,
    ) -> Array:
        with _deadline(timeout):
            async with asyncio.timeout(timeout), self.hold(size):
                return await view.read(out=out)


def _is_at_least(least: int, number: object) -> bool:
    return isinstance(number, Real) and float(number) >= least


class _Share:
    """A part of a budget that a read has from when it begins.

    It is given back by who awaits the read, or else, where nobody does, when the read ends.
    """

    __slots__ = ("_begun", "_budget", "_loop", "_size")

    def __init__(self, budget: Budget, size: int, begun: Future[Array]) -> None:
        self._budget: Budget | None = budget
        self._size, self._begun = size, begun
        budget._reading += size
        self._loop = asyncio.get_running_loop()
        begun.add_done_callback(self._ended)

    def _ended(self, _: Future[Array]) -> None:
        with suppress(RuntimeError):  # The loop was closed: with it the budget is gone.
            self._loop.call_soon_threadsafe(self.give_back)

    def take_over(self) -> None:
        """From here on, whoever awaits the read gives it back.

        As long as somebody wants to be told of its end, a read goes on when who awaits it leaves.
        """
        self._begun.remove_done_callback(self._ended)

    def give_back(self) -> None:
        """Gives it back, once."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget._release(self._size)


async def _awaited_within(
    timeout: float | None,  # noqa: ASYNC109 -- as every operation here
    begun: Future[Array],
    share: _Share,
) -> Array:
    share.take_over()
    try:
        with _deadline(timeout):
            async with asyncio.timeout(timeout):
                return await begun
    finally:
        share.give_back()


@contextmanager
def _deadline(timeout: float | None) -> Iterator[None]:
    """Says of asyncio's `TimeoutError` how long it took."""
    try:
        yield
    except TimeoutError as error:
        if isinstance(error, Error):
            raise
        raise DeadlineExceeded(f"the read took longer than {timeout} s") from error


async def body(view: TensorStore, *, ahead: int = 1) -> AsyncIterator[memoryview]:
    """The elements of a view as bytes, block after block: the body of a `StreamingResponse`.

    Blocks are those of `TensorStore.stream`, in its order; each is handed over in parts, between
    which the loop serves others, and which are no copies.

    Args:
        view: What is read.
        ahead: Blocks that are read while one is sent.

    Yields:
        At most 256 KiB.

    Raises:
        InvalidArgument: As `TensorStore.stream` does.
        Error: As for `TensorStore.read`.

    When the client goes away, blocks that are being read are cancelled.
    """
    async with aclosing(view.stream(ahead=ahead)) as blocks:
        async for _, block in blocks:
            whole = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
            for begin in range(0, len(whole), _PART_BYTES):
                yield whole[begin : begin + _PART_BYTES]
                await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told instead.

    Attributes:
        status: Of HTTP.
        text: For people; names no key, place or secret of the service.
        headers: What else.
    """

    status: int
    text: str
    headers: Mapping[str, str]


#: From the special to the general.
_ANSWERS: tuple[tuple[type[BaseException], int, str], ...] = (
    (ClientDisconnected, 499, "the client went away"),
    (Overloaded, 503, "the service has too much to do; come again later"),
    (OutOfRange, 400, "there is no such region"),
    (InvalidArgument, 400, "the request makes no sense here"),
    (NotFound, 404, "there is no such array"),
    (PermissionDenied, 403, "this is not allowed"),
    (DeadlineExceeded, 504, "the data did not come in time"),
    (Unavailable, 503, "the store of the data cannot be reached; come again later"),
    (ResourceExhausted, 503, "the service has too much to do; come again later"),
)


def answer_to(error: BaseException) -> Answer:
    """What to answer where a read failed."""
    for kind, status, text in _ANSWERS:
        if isinstance(error, kind):
            return Answer(status, text, {"Retry-After": "1"} if status == 503 else {})
    return Answer(500, "the data could not be read", {})


def add_answers(app: Any) -> None:
    """Has an application of Starlette or FastAPI answer errors of reads as `answer_to` says.

    Args:
        app: The application.
    """
    from starlette.responses import PlainTextResponse

    async def answered(request: Any, error: Exception) -> PlainTextResponse:
        del request
        found = answer_to(error)
        return PlainTextResponse(found.text, found.status, dict(found.headers))

    for kind in (Error, ClientDisconnected):
        app.add_exception_handler(kind, answered)

"""`Exchange`: a request of a store, seen through to an answer that is worth something."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from asynctensor.errors import Aborted, Error
from asynctensor.kvstores._http.attempts import Attempts
from asynctensor.kvstores._http.errors import NoAnswer, ProblemReader, plain_problem
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.redirects import origin
from asynctensor.kvstores._http.resuming import Resuming
from asynctensor.kvstores._http.scheme_doubt import check_scheme
from asynctensor.kvstores._http.sent_request import ENDED, SentRequest
from asynctensor.kvstores._http.shared_transport import shared_transport
from asynctensor.kvstores._http.transport import Transport
from asynctensor.kvstores._http.wire_counters import retry_counter, wire_counters
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.last_trouble import WATCHED
from asynctensor.runtime.loose_tasks import loose_task
from asynctensor.runtime.rate_limits import RateLimits
from asynctensor.runtime.seen_through import seen_through
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.scheduler.admission import GREATEST, Ticket
from asynctensor.scheduler.flow import FLOW, WATCH
from asynctensor.scheduler.gate import shared_gate
from asynctensor.scheduler.rate_gate import rate_gate
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.kvstore import size_of

T = TypeVar("T")
#: Completes a request right before it is sent, each time anew: signs it, with fresh credentials.
Signer: TypeAlias = Callable[[Request], Awaitable[Request]]
#: The same without waiting for anything; None: that cannot be done.
SignerAtOnce: TypeAlias = Callable[[Request], Request | None]
DEFAULT_RETRIES = RetryPolicy()
#: Methods that change nothing: they are given up at once, and have the rate of reads.
_READS = frozenset({"GET", "HEAD"})
#: Statuses with which a host says that it has too much to do.
PUSHING_BACK = (429, 503)
_COUNTERS = wire_counters()
_VERBOSE = verbose_flag("http_transport")


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a store reaches its servers.

    Attributes:
        retries: How often and when a request is repeated.
        concurrency: Requests that the store allows at once at one host; None: as many as that
            turns out to bear.
        read_problem: Reads the service's own error bodies.
        sign: Completes each request right before it is sent; None: they are sent as they are.
        sign_at_once: The same, for requests that are begun without a task.
        transport: What sends them; None: the transport that all stores of the process share.
        rates: How many requests per second the store may send; None: as many as it likes.
        service: What its retries are counted as.
        resuming: How the rest of an answer is asked for that was cut off; None: all is asked for.
    """

    retries: RetryPolicy = DEFAULT_RETRIES
    concurrency: int | None = None
    read_problem: ProblemReader = plain_problem
    sign: Signer | None = field(default=None, repr=False)
    sign_at_once: SignerAtOnce | None = field(default=None, repr=False)
    transport: Transport | None = None
    rates: RateLimits | None = None
    service: str = "http"
    resuming: Resuming | None = None

    async def send(
        self,
        request: Request,
        *,
        idempotent: bool = True,
        weight: int = 0,
        limit: Deadline = NEVER,
    ) -> Response:
        """Sends a request, and again where that may help, until its answer is worth something.

        Args:
            request: What to send, unsigned.
            idempotent: Whether doing it twice does no more than doing it once. Others are repeated
                only if the server has certainly done nothing.
            weight: Bytes that the request and its answer are expected to have.
            limit: When to give up, whatever it waits for.

        Returns:
            An answer that would not change by asking again, whatever its status.

        Raises:
            OutcomeUnknown: `idempotent` is False, and it was perhaps done and perhaps not.
            Unavailable: No attempt brought an answer; the last cause is chained.
            DeadlineExceeded: `limit` has passed.
            Error: It cannot be sent (see `Transport.send`), or signing failed.

        Of a cancelled call, what reads is given up. What writes is waited for, and not repeated:
        when the cancellation is delivered, it has either happened or will never happen.
        """
        return await self._seen_through(self._attempts(request, idempotent, limit), weight)

    async def send_at_the_end(self, request: Request) -> Response:
        """Sends a request once, past all who wait for their turn: the runtime is about to end.

        Raises:
            Error: It brought no answer; or as `send`.
        """
        ready = request if self.sign is None else await self.sign(request)
        return await (self.transport or shared_transport()).send(ready)

    async def _seen_through(self, attempts: Attempts, weight: int) -> Response:
        """Makes one attempt after the other; see `send`."""
        while True:
            request = attempts.begin()
            answer = await self._attempt(attempts, request, weight)
            found = self._judged(attempts, answer)
            if isinstance(found, Response):
                return found
            await _waited(attempts, found)

    def _judged(self, attempts: Attempts, answer: Response | NoAnswer) -> Response | float:
        """See `Attempts.judged`; counts what is made again."""
        found = attempts.judged(answer)
        if not isinstance(found, Response):
            retry_counter(self.service).value += 1
        return found

    def _attempts(
        self, request: Request, idempotent: bool = True, limit: Deadline = NEVER
    ) -> Attempts:
        return Attempts(request, self.retries, self.read_problem, self.resuming, idempotent, limit)

    def begin(self, begun: BegunRequest, request: Request, weight: int) -> bool:
        """Sends a request without a task, where that can be done; for the I/O loop alone.

        Where it has to be sent again, there is a task for that.

        Args:
            begun: Is told what came of it (`BegunRequest.answered`), after this has returned.
            request: What to send, which only reads.
            weight: As for `send`.

        Returns:
            Whether it was begun; if not, it is for `send`.
        """
        transport = self.transport or shared_transport()
        is_signed_later = self.sign is not None and self.sign_at_once is None
        if _VERBOSE.level or is_signed_later or not isinstance(transport, FastTransport):
            return False
        if self.rates is not None and rate_gate(self.rates, writes=False) is not None:
            return False
        return begun.begin(self, transport, request, weight)

    async def _attempt(
        self, attempts: Attempts, request: Request, weight: int
    ) -> Response | NoAnswer:
        """The latest attempt, when it is its turn."""
        limit = attempts.limit
        most = GREATEST if self.concurrency is None else self.concurrency
        reads = request.method in _READS
        if self.rates is not None:
            # Before the gate: what waits here keeps nobody from being sent.
            rate = rate_gate(self.rates, writes=not reads)
            if rate is not None:
                await rate.turn(limit)
        asked = SOURCES.monotonic()
        async with shared_gate().admitted(origin(request.url), weight, most, limit) as outcome:
            begun = SOURCES.monotonic()
            _COUNTERS.request_started.value += 1
            answer: Response | NoAnswer
            try:
                ready = request if self.sign is None else await self.sign(request)
                transport = self.transport or shared_transport()
                if attempts.patiently and isinstance(transport, FastTransport):
                    transport = transport.behind
                answer = await (
                    transport.send(ready, limit) if reads else _written(transport, ready, limit)
                )
            except NoAnswer as error:
                answer = error
            finally:
                _COUNTERS.request_completed.value += 1
            is_answer = isinstance(answer, Response)
            outcome.pushed_back = isinstance(answer, Response) and answer.status in PUSHING_BACK
            outcome.ok = is_answer and not outcome.pushed_back
        took = SOURCES.monotonic() - begun
        self._tell(request, attempts.number, answer, begun - asked, took)
        return answer

    def _tell(
        self,
        request: Request,
        attempt: int,
        answer: Response | NoAnswer,
        waited: float,
        seconds: float,
    ) -> None:
        """Counts an attempt that is over, and logs it if that is switched on."""
        received, status = 0, 0
        if isinstance(answer, Response):
            received, status = len(answer.body), answer.status
        sent = size_of(request.body)
        _COUNTERS.request_bytes.value += sent
        _COUNTERS.response_bytes.value += received
        _COUNTERS.unanswered.value += status == 0
        _COUNTERS.pushed_back.value += status in PUSHING_BACK
        if _VERBOSE.level:
            # Of the URL, a request shows what is before the query, of an answer only the status.
            said = status if isinstance(answer, Response) else answer.message
            _VERBOSE.log(
                "%r attempt %d: %s, %d bytes sent, %d received, waited %.1f ms, took %.1f ms",
                *(request, attempt, said, sent, received, 1000 * waited, 1000 * seconds),
            )


class BegunRequest(SentRequest):
    """A request that `Exchange.begin` sent, or is going to when it is its turn."""

    __slots__ = (
        "_exchange", "_gate", "_is_sent", "_request", "_task", "_ticket", "_transport", "_watch",
        "_watched", "is_given_up",
    )  # fmt: skip

    _exchange: Exchange
    _transport: FastTransport
    _request: Request

    def __init__(self) -> None:
        super().__init__()
        self._task: asyncio.Task[Response] | None = None
        self._gate = shared_gate()
        self._ticket: Ticket | None = None
        self._watch = WATCH.get()
        # What tells of the answer has the context of whoever made the connection.
        self._watched = WATCHED.get()
        self._is_sent = False
        #: Whether nobody is told any more.
        self.is_given_up = False

    @abstractmethod
    def answered(self, answer: Response | Error | None) -> None:
        """Told once what came of it, unless it was given up.

        Args:
            answer: The answer, or what `Exchange.send` would have raised; None where that is for
                `send` to find out.
        """

    def begin(
        self, exchange: Exchange, transport: FastTransport, request: Request, weight: int
    ) -> bool:
        """Sends it, or waits for its turn; False if it cannot be sent from here."""
        self._exchange, self._transport, self._request = exchange, transport, request
        if self._watch is not None:
            self._watch.queued = True
        most = GREATEST if exchange.concurrency is None else exchange.concurrency
        self._ticket, is_now = self._gate.ask(origin(request.url), weight, most, self._go)
        return not is_now or self._go_out(self._ticket)

    def give_up(self) -> None:
        """Has nobody told; what was sent again ends in the next turn, and all else at once."""
        self.is_given_up = True
        ticket = self._ticket
        if self._task is not None:
            self._task.cancel()
        elif ticket is None:
            return
        elif self._is_sent:
            self.stop()
            self._end(None)
        else:
            self._ticket = None
            self._gate.withdraw(ticket)

    def _go(self) -> None:
        ticket = self._ticket
        assert ticket is not None
        if not self._go_out(ticket):
            self._go_on(ticket, self._attempts())

    def _go_out(self, ticket: Ticket) -> bool:
        request = self._signed()
        if request is None or not self._transport.begin(self, request):
            self._ticket = None
            self._gate.release(ticket, SOURCES.monotonic(), pushed_back=False, ok=False)
            return False
        self._is_sent = True
        _COUNTERS.request_started.value += 1
        if self._watch is not None:
            self._watch.start(SOURCES.monotonic())
        return True

    def _signed(self) -> Request | None:
        sign = self._exchange.sign_at_once
        if sign is None:
            return self._request
        try:
            return sign(self._request)
        except Error:
            # To be found again by `Exchange.send`, which tells it.
            return None

    def came(self, found: Response | Error | None) -> None:
        # First the next one is sent; then there is time for what this one brought.
        ticket = self._end(found)
        if isinstance(found, Response) and found.status < 400:
            self._tell(found)
            return
        attempts, wait = self._attempts(), 0.0
        attempts.patiently = found is None
        if isinstance(found, NoAnswer) and attempts.misunderstood(found):
            self._go_on(ticket, attempts)
            return
        if isinstance(found, Response | NoAnswer):
            attempts.begin()
            try:
                judged = self._exchange._judged(attempts, found)
            except Error as error:
                self._tell(error)
                return
            if isinstance(judged, Response):
                self._tell(judged)
                return
            wait = judged
        elif found is not None:
            self._tell(found)
            return
        self._go_on(ticket, attempts, wait)

    def _attempts(self) -> Attempts:
        attempts = self._exchange._attempts(self._request)
        attempts.watch = self._watched
        return attempts

    def _go_on(self, ticket: Ticket, attempts: Attempts, wait: float = 0.0) -> None:
        """Has a task make the attempts that are left."""
        self._task = loose_task(self._seen_through(ticket, attempts, wait), self._seen)

    async def _seen_through(self, ticket: Ticket, attempts: Attempts, wait: float) -> Response:
        # A task of its own has a context of its own: nobody else sees this.
        FLOW.set(ticket.flow)
        WATCH.set(self._watch)
        await _waited(attempts, wait)
        return await self._exchange._seen_through(attempts, ticket.weight)

    def _seen(self, task: asyncio.Task[Response]) -> None:
        self._task = None
        if task.cancelled():
            self._tell(Aborted(ENDED))
        elif (error := task.exception()) is None:
            self._tell(task.result())
        else:
            # What is no error of ours is raised again by whoever is asked next.
            self._tell(error if isinstance(error, Error) else None)

    def _tell(self, found: Response | Error | None) -> None:
        if not self.is_given_up:
            self.answered(found)

    def _end(self, answer: Response | Error | None) -> Ticket:
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        ok = pushed_back = False
        if isinstance(answer, Response):
            _COUNTERS.response_bytes.value += len(answer.body)
            pushed_back = answer.status in PUSHING_BACK
            _COUNTERS.pushed_back.value += pushed_back
            ok = not pushed_back
        else:
            _COUNTERS.unanswered.value += 1
        _COUNTERS.request_completed.value += 1
        now = SOURCES.monotonic()
        if self._watch is not None:
            self._watch.stop(now)
        self._gate.release(ticket, now, pushed_back=pushed_back, ok=ok)
        return ticket


async def _waited(attempts: Attempts, seconds: float) -> None:
    """Waits for the time of the next attempt, if there is to be one."""
    until = SOURCES.monotonic() + seconds
    if attempts.scheme_in_doubt:
        # Meanwhile: whoever is in trouble is not kept longer.
        await check_scheme(attempts.request.url, seconds)
    seconds = until - SOURCES.monotonic()
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _written(transport: Transport, request: Request, limit: Deadline) -> Response:
    """Sends what writes, and where cancelled, tells so only when it is over."""
    if not limit.never or not isinstance(transport, FastTransport):
        return await seen_through(transport.send(request, limit))
    loop = asyncio.get_running_loop()
    came: list[Response | Error] = []
    waiter: asyncio.Future[None] = loop.create_future()

    def told(found: Response | Error) -> None:
        came.append(found)
        if not waiter.done():
            waiter.set_result(None)

    if not transport.begin_write(request, told):
        return await seen_through(transport.send(request, limit))
    cancelled = False
    while not came:
        try:
            await waiter
        except asyncio.CancelledError:
            cancelled = True
            waiter = loop.create_future()
    if cancelled:
        raise asyncio.CancelledError
    (found,) = came
    if isinstance(found, Response):
        return found
    raise found

"""`Exchange`: a request of a store, seen through to an answer that is worth something."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from asynctensor.errors import DeadlineExceeded, Error, Unavailable
from asynctensor.kvstores._http.errors import (
    UNTOUCHED_STATUSES,
    NoAnswer,
    ProblemReader,
    is_passing,
    plain_problem,
    refusal,
)
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.redirects import origin
from asynctensor.kvstores._http.resuming import Part, gone_on
from asynctensor.kvstores._http.retry_after import retry_after
from asynctensor.kvstores._http.shared_transport import shared_transport
from asynctensor.kvstores._http.transport import Transport
from asynctensor.kvstores._http.wire_counters import retry_counter, wire_counters
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.entropy import uniform
from asynctensor.runtime.rate_limits import RateLimits
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.scheduler.admission import GREATEST, Ticket
from asynctensor.scheduler.flow import WATCH
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


class OutcomeUnknown(Unavailable):
    """What became of a write cannot be told from the answer: look at what is stored now."""


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
        resumes: Whether of an answer that was cut off the rest is asked for (`resuming`).
    """

    retries: RetryPolicy = DEFAULT_RETRIES
    concurrency: int | None = None
    read_problem: ProblemReader = plain_problem
    sign: Signer | None = field(default=None, repr=False)
    sign_at_once: SignerAtOnce | None = field(default=None, repr=False)
    transport: Transport | None = None
    rates: RateLimits | None = None
    service: str = "http"
    resumes: bool = False

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
        attempt, delay = 0, 0.0
        part: Part | None = None
        while True:
            attempt += 1
            asked_for = request if part is None else part.rest_of(request)
            answer = await self._attempt(asked_for, attempt, weight, limit)
            if self.resumes:
                answer, part = gone_on(part, answer)
            if not isinstance(answer, Response):
                # Whoever keeps the error is not to keep what came.
                answer.cut = None
            if isinstance(answer, Response):
                problem = self.read_problem(answer) if answer.status >= 400 else None
                if problem is None or not is_passing(answer, problem):
                    return answer
                failure: Error = refusal(request, answer, problem)
                untouched, passing = answer.status in UNTOUCHED_STATUSES, True
                asked = retry_after(answer.headers, SOURCES.time())
            else:
                failure, asked = answer, None
                untouched, passing = not answer.sent, answer.passing
            if not idempotent and not untouched:
                raise OutcomeUnknown(
                    f"{failure.message}; whether it was done is not known"
                ) from failure
            after = None
            if passing:
                after = self.retries.delay(attempt, delay, asked, limit.remaining(), uniform)
            if after is None:
                raise self._given_up(failure, attempt, limit) from failure
            delay = after
            retry_counter(self.service).value += 1
            # A connection that the server had closed meanwhile is no sign of trouble.
            if attempt > 1 or isinstance(answer, Response) or untouched:
                await asyncio.sleep(after)

    def begin(
        self, request: Request, weight: int, told: Callable[[Response | None], object]
    ) -> Callable[[], object] | None:
        """Sends a request once, without a task, where that can be done; for the I/O loop alone.

        Args:
            request: What to send, which only reads.
            weight: As for `send`.
            told: Called once, after this has returned, with any answer; with None where there is
                none, or where asking again may help and it is time to. That is for `send`.

        Returns:
            What gives it up: `told` is not called any more, and nothing is left behind. None: it is
            for `send`.
        """
        transport = self.transport or shared_transport()
        is_signed_later = self.sign is not None and self.sign_at_once is None
        if _VERBOSE.level or is_signed_later or not isinstance(transport, FastTransport):
            return None
        if self.rates is not None and rate_gate(self.rates, writes=False) is not None:
            return None
        begun = _Begun(self, transport, request, told)
        most = GREATEST if self.concurrency is None else self.concurrency
        return begun.give_up if begun.begin(weight, most) else None

    def wait_after(self, answer: Response) -> float | None:
        """Seconds after which a request that was sent once may be sent again; None: it need not."""
        if answer.status < 400 or not is_passing(answer, self.read_problem(answer)):
            return None
        asked = retry_after(answer.headers, SOURCES.time())
        return self.retries.delay(1, 0.0, asked, math.inf, uniform)

    async def _attempt(
        self, request: Request, attempt: int, weight: int, limit: Deadline
    ) -> Response | NoAnswer:
        """One attempt, when it is its turn."""
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
        self._tell(request, attempt, answer, begun - asked, SOURCES.monotonic() - begun)
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

    def _given_up(self, failure: Error, attempts: int, limit: Deadline) -> Error:
        if attempts <= self.retries.max_retries and not limit.never:
            return DeadlineExceeded(
                f"the time is over before attempt {attempts + 1}; the last one: {failure.message}"
            )
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return type(failure)(f"{failure.message} ({times})")


class _Begun:
    """One request that `Exchange.begin` sent, or is going to when it is its turn."""

    __slots__ = (
        "_exchange", "_gate", "_give_up", "_request", "_ticket", "_timer", "_told", "_transport",
        "_watch",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        transport: FastTransport,
        request: Request,
        told: Callable[[Response | None], object],
    ) -> None:
        self._transport, self._request, self._told = transport, request, told
        self._exchange = exchange
        self._timer: asyncio.TimerHandle | None = None
        self._give_up: Callable[[], object] | None = None
        self._gate = shared_gate()
        self._ticket: Ticket | None = None
        self._watch = WATCH.get()

    def begin(self, weight: int, most: int) -> bool:
        """Sends it, or waits for its turn; False if it cannot be sent from here."""
        if self._watch is not None:
            self._watch.queued = True
        host = origin(self._request.url)
        self._ticket, is_now = self._gate.ask(host, weight, most, self._go)
        return not is_now or self._sent()

    def give_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        ticket = self._ticket
        if ticket is None:
            return
        if self._give_up is None:
            self._ticket = None
            self._gate.withdraw(ticket)
        else:
            self._give_up()
            self._end(None)

    def _go(self) -> None:
        if not self._sent():
            self._told(None)

    def _sent(self) -> bool:
        request = self._signed()
        if request is not None:
            self._give_up = self._transport.begin(request, self._answered)
        if self._give_up is None:
            ticket, self._ticket = self._ticket, None
            assert ticket is not None
            self._gate.release(ticket, SOURCES.monotonic(), pushed_back=False, ok=False)
            return False
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

    def _answered(self, answer: Response | None) -> None:
        # First the next one is sent; then there is time for what this one brought.
        self._end(answer)
        wait = None if answer is None else self._exchange.wait_after(answer)
        if wait is None:
            self._told(answer)
            return
        retry_counter(self._exchange.service).value += 1
        self._timer = asyncio.get_running_loop().call_later(wait, self._told, None)

    def _end(self, answer: Response | None) -> None:
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        pushed_back = answer is not None and answer.status in PUSHING_BACK
        now = SOURCES.monotonic()
        if self._watch is not None:
            self._watch.stop(now)
        _COUNTERS.request_completed.value += 1
        if answer is None:
            _COUNTERS.unanswered.value += 1
        else:
            _COUNTERS.response_bytes.value += len(answer.body)
            _COUNTERS.pushed_back.value += pushed_back
        ok = answer is not None and not pushed_back
        self._gate.release(ticket, now, pushed_back=pushed_back, ok=ok)


async def _written(transport: Transport, request: Request, limit: Deadline) -> Response:
    """Sends what writes, and where cancelled, tells so only when it is over."""
    if not limit.never or not isinstance(transport, FastTransport):
        return await _to_its_end(transport.send(request, limit))
    loop = asyncio.get_running_loop()
    came: list[Response | Error] = []
    waiter: asyncio.Future[None] = loop.create_future()

    def told(found: Response | Error) -> None:
        came.append(found)
        if not waiter.done():
            waiter.set_result(None)

    if not transport.begin_write(request, told):
        return await _to_its_end(transport.send(request, limit))
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


async def _to_its_end(sending: Awaitable[T]) -> T:
    """Awaits, and where cancelled, tells so only when it is over."""
    task = asyncio.ensure_future(sending)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        task.exception()
        raise asyncio.CancelledError
    return task.result()

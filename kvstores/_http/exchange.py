"""`Exchange`: a request of a store, seen through to an answer that is worth something."""

from __future__ import annotations

import asyncio
import random
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
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.shared_transport import shared_transport
from asynctensor.kvstores._http.transport import Transport
from asynctensor.runtime.clock import NEVER, Deadline

T = TypeVar("T")
#: Completes a request right before it is sent, each time anew: signs it, with fresh credentials.
Signer: TypeAlias = Callable[[Request], Awaitable[Request]]


class OutcomeUnknown(Unavailable):
    """What became of a write cannot be told from the answer: look at what is stored now."""


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How often a request is repeated, and how long to wait before (TensorStore's defaults).

    Attributes:
        max_retries: Attempts beyond the first.
        initial_delay: Seconds before the first of them.
        max_delay: Seconds that a wait may grow to.
    """

    max_retries: int = 32
    initial_delay: float = 1.0
    max_delay: float = 32.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a store reaches its servers.

    Attributes:
        retries: How often and when a request is repeated.
        read_problem: Reads the service's own error bodies.
        sign: Completes each request right before it is sent; None: they are sent as they are.
        transport: What sends them; None: the transport that all stores of the process share.
    """

    retries: RetryOptions = RetryOptions()
    read_problem: ProblemReader = plain_problem
    sign: Signer | None = field(default=None, repr=False)
    transport: Transport | None = None

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
            weight: Bytes that the answer is expected to bring.
            limit: When to give up.

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
        reads = request.method in ("GET", "HEAD")
        attempt = 0
        while True:
            attempt += 1
            failure: Error
            try:
                ready = request if self.sign is None else await self.sign(request)
                sending = (self.transport or shared_transport()).send(ready, limit)
                answer = await (sending if reads else _to_its_end(sending))
            except NoAnswer as error:
                failure, after, again = error, None, error.passing
                untouched = not error.sent
            else:
                problem = self.read_problem(answer) if answer.status >= 400 else None
                if problem is None or not is_passing(answer, problem):
                    return answer
                failure, again = refusal(request, answer, problem), True
                after = _seconds(answer.headers.get("retry-after"))
                untouched = answer.status in UNTOUCHED_STATUSES
            if not idempotent and not untouched:
                raise OutcomeUnknown(f"{failure.message}; whether it was done is not known")
            if not again or attempt > self.retries.max_retries:
                raise _given_up(failure, attempt)
            await self._wait(attempt, after, limit, failure)

    async def _wait(
        self, attempt: int, after: float | None, limit: Deadline, failure: Error
    ) -> None:
        retries = self.retries
        longest = min(retries.max_delay, retries.initial_delay * 2 ** min(attempt - 1, 30))
        # A connection that the server closed meanwhile is no sign of trouble.
        delay = 0.0 if attempt == 1 and isinstance(failure, NoAnswer) else longest
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
        delay = max(delay, after or 0.0)
        if delay >= limit.remaining():
            raise DeadlineExceeded(
                f"the time is over before attempt {attempt + 1}; the last one: {failure.message}"
            ) from failure
        await asyncio.sleep(delay)


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


def _given_up(failure: Error, attempts: int) -> Error:
    if attempts == 1:
        return failure
    made = type(failure)(f"{failure.message} (attempt {attempts}, the last)")
    made.__cause__ = failure
    return made


def _seconds(text: str | None) -> float | None:
    """What ``Retry-After`` says, if it says seconds."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None

"""`Attempts`: what is asked again, when, and for how much of it; it waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynctensor.errors import DeadlineExceeded, Error, Unavailable
from asynctensor.kvstores._http.errors import (
    UNTOUCHED_STATUSES,
    NoAnswer,
    ProblemReader,
    is_passing,
    refusal,
)
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.resuming import Part, Resuming, gone_on
from asynctensor.kvstores._http.retry_after import retry_after
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.entropy import uniform
from asynctensor.runtime.last_trouble import WATCHED, Watch, found
from asynctensor.runtime.sources import SOURCES
from asynctensor.scheduler.retry import RetryPolicy


class OutcomeUnknown(Unavailable):
    """What became of a write cannot be told from the answer: look at what is stored now."""


@dataclass(slots=True)
class Attempts:
    """The attempts at one request, one after the other.

    Attributes:
        request: What is asked for, unsigned.
        retries: How often and when it is repeated.
        read_problem: Reads the service's own error bodies.
        resuming: How the rest of an answer is asked for that was cut off; None: all is asked for.
        idempotent: Whether doing it twice does no more than doing it once.
        limit: When to give up.
        number: How many have begun.
        watch: Where failures are noted.
        patiently: Whether the narrow reader is left out, which did not understand an answer: each
            attempt would be two requests.
        scheme_in_doubt: Whether it is time to ask if the server speaks the other scheme.
    """

    request: Request
    retries: RetryPolicy
    read_problem: ProblemReader
    resuming: Resuming | None = None
    idempotent: bool = True
    limit: Deadline = NEVER
    number: int = 0
    watch: Watch = field(default_factory=WATCHED.get, repr=False)
    patiently: bool = False
    scheme_in_doubt: bool = False
    _silences: int = 0
    _delay: float = 0.0
    _part: Part | None = None

    def begin(self) -> Request:
        """Begins the next one: what it asks for."""
        self.number += 1
        if self._part is None or self.resuming is None:
            return self.request
        return self._part.rest_of(self.request, self.resuming)

    def judged(self, answer: Response | NoAnswer) -> Response | float:
        """What the answer to the latest comes to.

        Returns:
            An answer that would not change by asking again, whatever its status; or the seconds
            after which to ask again.

        Raises:
            OutcomeUnknown: It is not idempotent, and was perhaps done and perhaps not.
            Unavailable: It is not to be asked again; the last cause is chained.
            DeadlineExceeded: There is no time left for that.
        """
        if self.resuming is not None and self.request.method == "GET":
            answer, self._part = gone_on(self._part, answer, self.resuming)
        if isinstance(answer, Response):
            problem = self.read_problem(answer) if answer.status >= 400 else None
            if problem is None or not is_passing(answer, problem):
                return answer
            failure: Error = refusal(self.request, answer, problem)
            untouched, passing = answer.status in UNTOUCHED_STATUSES, True
            asked = retry_after(answer.headers, SOURCES.time())
        else:
            # Whoever keeps the error is not to keep what came.
            answer.cut = None
            self.misunderstood(answer)
            failure, asked = answer, None
            self._hear(silent=answer.silent)
            untouched, passing = not answer.sent, answer.passing
        if not self.idempotent and not untouched:
            raise OutcomeUnknown(
                f"{failure.message}; whether it was done is not known"
            ) from failure
        after = None
        if passing:
            remaining = self.limit.remaining()
            after = self.retries.delay(self.number, self._delay, asked, remaining, uniform)
        if after is None:
            raise self._given_up(failure) from failure
        trouble = found(self.watch)
        if trouble is not None:
            trouble.tried(failure, self.number, self.request)
        self._delay = after
        # A connection that the server had closed meanwhile is no sign of trouble.
        is_harmless = self.number == 1 and not isinstance(answer, Response) and not untouched
        return 0.0 if is_harmless else after

    def misunderstood(self, answer: NoAnswer) -> bool:
        """Whether the narrow reader did not understand an answer: then that was an attempt, too."""
        if answer.patient:
            self.patiently = True
            self.number += 1
        return answer.patient

    def _hear(self, *, silent: bool) -> None:
        if silent:
            self._silences += 1
        # Without TLS, a connection may well be lost for another reason, and the next one be
        # answered; with it, each one that does not come about takes long.
        least = 1 if self.request.url.startswith("https:") else 2
        count = self._silences
        # Where the server did not say then, ever more rarely.
        self.scheme_in_doubt = silent and count >= least and not count & (count - 1)

    def _given_up(self, failure: Error) -> Error:
        if self.number <= self.retries.max_retries and not self.limit.never:
            return DeadlineExceeded(
                f"the time is over before attempt {self.number + 1}; the last one: "
                f"{failure.message}"
            )
        times = "1 attempt" if self.number == 1 else f"{self.number} attempts"
        return type(failure)(f"{failure.message} ({times})")

"""The shell around `Admission`: what a request awaits before it is sent.

One for the process, used on the I/O loop alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from asynctensor.errors import DeadlineExceeded
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.sources import SOURCES
from asynctensor.scheduler.admission import GREATEST, Admission, Ticket
from asynctensor.scheduler.flow import FLOW, WATCH

#: Bytes under way in one process.
BUDGET = 256 * 2**20


@dataclass(slots=True)
class Outcome:
    """How a request ended; whoever is admitted fills it in.

    Attributes:
        ok: Whether it was answered.
        pushed_back: Whether the host said that it has too much to do.
    """

    ok: bool = False
    pushed_back: bool = False


@dataclass(frozen=True, slots=True)
class GateStatistics:
    """What goes on at the gate: requests that wait, and bytes that are under way."""

    waiting: int
    bytes_under_way: int


class Gate:
    """Lets requests through, some at a time.

    Args:
        budget: Bytes under way at most.
        fixed: Requests under way at each host; None: as many as it turns out to bear.
    """

    def __init__(self, budget: int = BUDGET, fixed: int | None = None) -> None:
        self._admission = Admission(budget, fixed)
        #: What those who wait are called with when it is their turn.
        self._waiting: dict[Ticket, Callable[[], object]] = {}
        self._is_letting_through = False

    def admitted(
        self, host: Hashable, weight: int, most: int = GREATEST, limit: Deadline = NEVER
    ) -> _Turn:
        """Waits for a turn, and holds it inside.

        Args:
            host: Where the request goes: limits are per host.
            weight: Bytes that it brings or sends, about.
            most: Requests that its store allows at once at this host.
            limit: When to give up waiting.

        Raises:
            DeadlineExceeded: `limit` has passed.

        A cancelled wait leaves the queue. The `WATCH` of whoever enters runs inside.
        """
        return _Turn(self, Ticket(host, FLOW.get(), weight), most, limit)

    async def enter(self, ticket: Ticket, most: int, limit: Deadline) -> None:
        """Waits for the turn of a request; see `admitted`."""
        if not self._admission.admit_now(ticket, most):
            await self._turn(ticket, most, limit)
        ticket.began = SOURCES.monotonic()

    async def _turn(self, ticket: Ticket, most: int, limit: Deadline) -> None:
        future = asyncio.get_running_loop().create_future()

        def go() -> None:
            if not future.done():
                future.set_result(None)

        self._wait(ticket, most, go)
        try:
            async with asyncio.timeout(None if limit.never else limit.remaining()):
                await future
        except (asyncio.CancelledError, TimeoutError) as error:
            self.withdraw(ticket)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "the time was over before it was the request's turn at its host"
                ) from None
            raise

    def ask(
        self, host: Hashable, weight: int, most: int, go: Callable[[], object]
    ) -> tuple[Ticket, bool]:
        """Asks for a turn, without a task.

        Args:
            host: As for `admitted`.
            weight: As for `admitted`.
            most: As for `admitted`.
            go: Called when it is the request's turn, if that is not now. It must not raise.

        Returns:
            A ticket, to be given to `release` or `withdraw`; and whether its turn is now.
        """
        ticket = Ticket(host, FLOW.get(), weight)
        if self._admission.admit_now(ticket, most):
            ticket.began = SOURCES.monotonic()
            return ticket, True
        if not self._admission.ask(ticket, most):
            self._waiting[ticket] = go
            return ticket, False
        came: list[None] = []
        self._waiting[ticket] = lambda: came.append(None)
        self._let_through()
        if came:
            return ticket, True
        self._waiting[ticket] = go
        return ticket, False

    def _wait(self, ticket: Ticket, most: int, go: Callable[[], object]) -> None:
        self._waiting[ticket] = go
        if self._admission.ask(ticket, most):
            self._let_through()

    def withdraw(self, ticket: Ticket) -> None:
        """Gives a turn up, whether it has come or not."""
        self._waiting.pop(ticket, None)
        if not self._admission.withdraw(ticket):
            # It had just been let through.
            self.release(ticket, SOURCES.monotonic(), pushed_back=False, ok=False)

    def release(self, ticket: Ticket, now: float, *, pushed_back: bool, ok: bool) -> None:
        """Ends a turn; see `Admission.release`."""
        self._admission.release(ticket, now=now, pushed_back=pushed_back, ok=ok)
        if self._waiting:
            self._let_through()

    def _let_through(self) -> None:
        # Who is let through may end his turn at once: the loop below sees that.
        if self._is_letting_through:
            return
        self._is_letting_through = True
        try:
            for ticket in self._admission.admit():
                ticket.began = SOURCES.monotonic()
                self._waiting.pop(ticket)()
        finally:
            self._is_letting_through = False

    def statistics(self) -> GateStatistics:
        """What goes on now."""
        return GateStatistics(self._admission.waiting(), self._admission.bytes_under_way)

    def limit_of(self, host: Hashable) -> int:
        """Requests that may be under way at a host."""
        return self._admission.limit_of(host)


class _Turn:
    """A turn at a gate, held inside of it."""

    __slots__ = ("_gate", "_limit", "_most", "_outcome", "_ticket", "_watch")

    def __init__(self, gate: Gate, ticket: Ticket, most: int, limit: Deadline) -> None:
        self._gate, self._ticket, self._most, self._limit = gate, ticket, most, limit
        self._outcome = Outcome()
        self._watch = WATCH.get()

    async def __aenter__(self) -> Outcome:
        watch, ticket = self._watch, self._ticket
        if watch is not None:
            watch.queued = True
        await self._gate.enter(ticket, self._most, self._limit)
        if watch is not None and ticket.began is not None:
            watch.start(ticket.began)
        return self._outcome

    async def __aexit__(self, *_: object) -> None:
        now = SOURCES.monotonic()
        if self._watch is not None:
            self._watch.stop(now)
        outcome = self._outcome
        self._gate.release(self._ticket, now, pushed_back=outcome.pushed_back, ok=outcome.ok)


@dataclass(frozen=True, slots=True)
class _Shared:
    owner: object
    gate: Gate


def shared_gate() -> Gate:
    """The gate of this process.

    With another I/O loop it is another one: who waited when the former ended keeps his place there.
    """
    owner = PROCESS.io
    found = PROCESS.shared.get("gate")
    if isinstance(found, _Shared) and found.owner is owner:
        return found.gate
    with PROCESS.lock:
        found = PROCESS.shared.get("gate")
        if not isinstance(found, _Shared) or found.owner is not owner:
            found = PROCESS.shared["gate"] = _Shared(owner, Gate())
        return found.gate

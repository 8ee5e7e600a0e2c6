"""The shell around `Admission`: what a request awaits before it is sent.

One for the process, used on the I/O loop alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
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
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._admission = Admission(budget)
        self._sleeping: dict[Ticket, asyncio.Future[None]] = {}
        #: Let through before they had to wait.
        self._granted: set[Ticket] = set()

    @asynccontextmanager
    async def admitted(
        self, host: Hashable, weight: int, most: int = GREATEST, limit: Deadline = NEVER
    ) -> AsyncIterator[Outcome]:
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
        watch = WATCH.get()
        if watch is not None:
            watch.queued = True
        ticket = Ticket(host, FLOW.get(), weight)
        self._admission.ask(ticket, most)
        self._let_through()
        if ticket in self._granted:
            self._granted.discard(ticket)
        else:
            await self._turn(ticket, limit)
        outcome = Outcome()
        if watch is not None:
            watch.start(SOURCES.monotonic())
        try:
            yield outcome
        finally:
            now = SOURCES.monotonic()
            if watch is not None:
                watch.stop(now)
            self._admission.release(ticket, now=now, pushed_back=outcome.pushed_back, ok=outcome.ok)
            self._let_through()

    async def _turn(self, ticket: Ticket, limit: Deadline) -> None:
        future = self._sleeping[ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(None if limit.never else limit.remaining()):
                await future
        except (asyncio.CancelledError, TimeoutError) as error:
            if not self._admission.withdraw(ticket):
                # It had just been let through.
                self._admission.release(
                    ticket, now=SOURCES.monotonic(), pushed_back=False, ok=False
                )
                self._let_through()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "the time was over before it was the request's turn at its host"
                ) from None
            raise
        finally:
            self._sleeping.pop(ticket, None)

    def _let_through(self) -> None:
        for ticket in self._admission.admit():
            sleeping = self._sleeping.pop(ticket, None)
            if sleeping is None:
                self._granted.add(ticket)
            elif not sleeping.done():
                sleeping.set_result(None)

    def statistics(self) -> GateStatistics:
        """What goes on now."""
        return GateStatistics(self._admission.waiting(), self._admission.bytes_under_way)

    def limit_of(self, host: Hashable) -> int:
        """Requests that may be under way at a host."""
        return self._admission.limit_of(host)


def shared_gate() -> Gate:
    """The gate of this process."""
    with PROCESS.lock:
        gate = PROCESS.shared.get("gate")
        if not isinstance(gate, Gate):
            gate = PROCESS.shared["gate"] = Gate()
        return gate

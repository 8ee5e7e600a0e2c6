"""Who may send a request now: pure.

Three limits, and one rule. Each host has a number of requests that may be under way, which grows
while it is in the way and answers come as quickly as before, and halves when the host says that it
is too much. Until the first such complaint it grows by one per answer, which doubles it in the time
of one (slow start); afterwards by one per so many answers (additive increase, multiplicative
decrease). As in TCP, all answers count to requests that were under way when others had to wait:
only those that come while some still wait would leave the number just below what is wanted, read
after read, each of which then takes the time of two answers.

Answers that take three times as long as the quickest of their size show that more requests would
only wait for each other (the thought of TCP Vegas: L. Brakmo, L. Peterson, IEEE JSAC 13(8), 1995).
The process has a number of bytes that may be on their way. Each store may give a host a limit of
its own. Within them, the *flows* of a host (the reads of one user's operation) take turns, so that
one huge read does not hold up the small ones.

Nothing here waits, and time is an argument: `gate` is the shell that does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from asynctensor.scheduler.fair_queue import FairQueue

#: Requests under way at one host, to begin with: TensorStore's ``*_request_concurrency``.
INITIAL = 32
#: ... and at most, unless its store says otherwise; each is a connection.
GREATEST = 256
#: Seconds in which a host's limit is halved at most once: complaints about one burst come together.
_CALM = 1.0
#: Times the quickest answer: slower ones wait for each other. (New connections take twice as long.)
_SLOW = 3.0
#: Seconds after which the quickest answer is forgotten: ways change.
_MEMORY = 30.0


@dataclass(slots=True, eq=False)
class Ticket:
    """One request that wants to be sent, or is under way.

    Attributes:
        host: Where it goes.
        flow: The operation it belongs to.
        weight: Bytes that it brings or sends, about.
        began: When it was let through (seconds of the clock of `Admission.release`), set by whoever
            waited for that; None: not known.
        number: How many requests its host had been sent with it; set by `Admission`.
    """

    host: Hashable
    flow: Hashable
    weight: int = 0
    began: float | None = None
    number: int = 0


@dataclass(slots=True)
class _Host:
    limit: float
    most: int
    under_way: int = 0
    #: Requests let through so far, and how many those were when another last had to wait.
    sent: int = 0
    filled: int = -1
    halved: float = float("-inf")
    #: By the size of the answer: seconds of the quickest, and when that was measured.
    quickest: dict[int, tuple[float, float]] = field(default_factory=dict)
    waiting: FairQueue[Ticket] = field(default_factory=FairQueue)


class Admission:
    """The limits of all hosts, and who is waiting for them.

    Args:
        budget: Bytes that may be under way in all, more only if it is one request alone.
        fixed: Requests under way at each host, whatever it says; None: as it turns out to bear.
    """

    def __init__(self, budget: int, fixed: int | None = None) -> None:
        self.budget = budget
        self._fixed = fixed
        self.bytes_under_way = 0
        self._hosts: dict[Hashable, _Host] = {}
        #: Hosts in the order of their turns at the budget.
        self._turns: deque[Hashable] = deque()
        self._waiting = 0

    def ask(self, ticket: Ticket, most: int = GREATEST) -> bool:
        """Puts a request into the queue of its flow.

        Args:
            ticket: Which.
            most: Requests that its store allows at once at this host.

        Returns:
            Whether `admit` may let something through: not where the host has what it bears.
        """
        host = self._hosts.get(ticket.host)
        if host is None:
            begin = INITIAL if self._fixed is None else self._fixed
            host = self._hosts[ticket.host] = _Host(float(min(begin, most)), most)
            self._turns.append(ticket.host)
        if most != host.most:
            host.most = most
            host.limit = min(host.limit, float(most))
        host.waiting.push(ticket.flow, ticket)
        self._waiting += 1
        if host.under_way < int(host.limit):
            return True
        host.filled = host.sent
        return False

    def admit_now(self, ticket: Ticket, most: int = GREATEST) -> bool:
        """Admits a request at once, where nobody waits and the limits allow it."""
        host = self._hosts.get(ticket.host)
        if host is None or host.most != most or host.under_way >= int(host.limit):
            return False
        if self._waiting:
            return False
        if self.bytes_under_way and self.bytes_under_way + ticket.weight > self.budget:
            return False
        self._let_through(host, ticket)
        return True

    def withdraw(self, ticket: Ticket) -> bool:
        """Takes a request that still waits out of its queue; False if it waits no more."""
        removed = self._hosts[ticket.host].waiting.remove(ticket.flow, ticket)
        self._waiting -= removed
        return removed

    def admit(self) -> Iterator[Ticket]:
        """The requests that may be sent now, as under way from here on."""
        refused = 0
        while self._turns and refused < len(self._turns):
            host = self._hosts[self._turns[0]]
            ticket = host.waiting.first()
            if ticket is None or host.under_way >= int(host.limit):
                if ticket is not None:
                    host.filled = host.sent
                self._turns.rotate(-1)
                refused += 1
                continue
            if self.bytes_under_way and self.bytes_under_way + ticket.weight > self.budget:
                # Nobody overtakes it: small ones would keep it out for ever.
                return
            refused = 0
            self._turns.rotate(-1)
            host.waiting.pop()
            self._waiting -= 1
            self._let_through(host, ticket)
            yield ticket

    def _let_through(self, host: _Host, ticket: Ticket) -> None:
        host.sent += 1
        ticket.number = host.sent
        host.under_way += 1
        self.bytes_under_way += ticket.weight

    def release(self, ticket: Ticket, *, now: float, pushed_back: bool, ok: bool) -> None:
        """Says that a request is over.

        Args:
            ticket: Which.
            now: Seconds of any steady clock.
            pushed_back: Whether the host said, or showed by silence, that it has too much to do.
            ok: Whether it was answered.
        """
        host = self._hosts[ticket.host]
        was_in_the_way = ticket.number <= host.filled
        host.under_way -= 1
        self.bytes_under_way -= ticket.weight
        if self._fixed is not None:
            return
        if pushed_back:
            if now - host.halved >= _CALM:
                host.halved = now
                host.limit = max(1.0, host.limit / 2)
        elif ok and _is_quick(host, ticket, now) and was_in_the_way:
            step = 1.0 if host.halved < 0 else 1.0 / host.limit
            host.limit = min(float(host.most), host.limit + step)

    def limit_of(self, host: Hashable) -> int:
        """Requests that may be under way at a host."""
        known = self._hosts.get(host)
        return INITIAL if known is None else int(known.limit)

    def waiting(self) -> int:
        """Requests that wait."""
        return self._waiting


def _is_quick(host: _Host, ticket: Ticket, now: float) -> bool:
    """Whether an answer came about as quickly as the quickest of its size did; takes it in."""
    if ticket.began is None:
        return True
    took = now - ticket.began
    # Sizes within a factor of two are alike.
    kind = ticket.weight.bit_length()
    quickest, measured = host.quickest.get(kind, (took, now))
    if took <= quickest or now - measured > _MEMORY:
        host.quickest[kind] = (took, now)
        return True
    return took <= _SLOW * quickest

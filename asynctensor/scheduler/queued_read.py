"""One read that waits in a `ReadQueue`, and one request that brings bytes for some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from asynctensor.errors import Error
from asynctensor.runtime.last_trouble import Watch
from asynctensor.scheduler.plan import Span
from asynctensor.scheduler.read_states import MOVES, Event, State
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import Arrival, ReadOptions, ReadResult

#: What a read or a request came to; None, of a read: nobody but a task finds that out.
Outcome: TypeAlias = "Arrival | BaseException | None"
#: Key, and the generations of the conditions `if_equal` and `if_not_equal`.
Subject: TypeAlias = tuple[str, bytes, bytes]
#: A subject, and the bounds of the range that is asked for.
Name: TypeAlias = "tuple[str, bytes, bytes, int, int | None]"


class Torn(Error):
    """Parts of one read are of different versions of the value."""

    kind = "ABORTED"


@dataclass(slots=True, eq=False)
class QueuedRead:
    """One read, and the requests that bring its bytes.

    Attributes:
        key: What is read.
        options: How.
        deliver: Called once with what it came to, unless it is given up before.
        by_task: Whether its requests may be made by tasks; if not, `deliver` is called with None
            where one would have to be.
        flow: On whose behalf (`FLOW`).
        watch: Where failures of its requests are noted (`WATCHED`).
        requests: Set when the turn ends; they follow each other without a gap.
        offset: Where its bytes begin in what they bring; None: it is all of that.
        missing: Requests that are not over yet.
        is_alone: Whether its request asks for just its range.
        state: Where it stands; moved by `move` alone.
    """

    key: str
    options: ReadOptions
    deliver: Callable[[Outcome], object]
    by_task: bool
    flow: Hashable
    watch: Watch = None
    requests: Sequence[QueuedRequest] = ()
    offset: int | None = None
    missing: int = 0
    is_alone: bool = False
    state: State = State.ASKED

    @property
    def subject(self) -> Subject:
        """What is read, and on which conditions: others of the same may be merged with it."""
        options = self.options
        return self.key, options.if_equal, options.if_not_equal

    def move(self, event: Event) -> None:
        """Moves it as the table says."""
        self.state = MOVES[self.state, event]

    def assembled(self) -> Arrival:
        """Its own part of what its requests brought; raises what they raised.

        Raises:
            Torn: Its requests brought parts of several versions.
        """
        if self.offset is None:
            return self.requests[0].arrival()
        arrivals = [request.arrival() for request in self.requests]
        first = arrivals[0]
        for arrival in arrivals:
            if arrival.state != "value":
                return arrival
            if arrival.stamp.generation != first.stamp.generation:
                raise Torn("the value was replaced between two parts of one read")
        wanted = self.options.byte_range
        assert wanted.exclusive_max is not None
        size = wanted.exclusive_max - wanted.inclusive_min
        value = first.value if len(arrivals) == 1 else b"".join([a.value for a in arrivals])
        if self.offset or len(value) != size:
            value = memoryview(value)[self.offset : self.offset + size]
            if self.by_task:
                # Copied: a part would keep all of it. (Who takes no tasks is about to decode it.)
                value = bytes(value)
        return Arrival("value", value, first.stamp)


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request under way, and the reads that wait for it.

    Attributes:
        name: What it asks for.
        since: When it began (Unix seconds).
        reads: Who waits.
        outcome: What it brought, or why it brought nothing.
        is_over: Whether it has brought what it will.
        task: What makes it, if a task does.
        give_up: What gives it up, if no task makes it.
        together: With which jobs it began (`ThreadState.together`); None: with none.
    """

    name: Name
    since: float
    reads: list[QueuedRead] = field(default_factory=list)
    outcome: Outcome = None
    is_over: bool = False
    task: asyncio.Task[ReadResult] | None = None
    give_up: Callable[[], object] | None = None
    together: object = None

    @property
    def is_awaited(self) -> bool:
        """Whether it will bring something; without anybody who waits, it is being cancelled."""
        return not self.is_over and bool(self.reads)

    def arrival(self) -> Arrival:
        """What it brought; raises why it brought nothing."""
        outcome = self.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        return outcome

    def end(self, outcome: Outcome) -> list[QueuedRead]:
        """It has brought what it will.

        Returns:
            Those of whom it was the last that they waited for.
        """
        # The two refer to each other: values would live until the cycle is found.
        reads, self.reads = self.reads, []
        if isinstance(outcome, Arrival) and len(reads) > 1 and type(outcome.value) is not bytes:
            # Nobody may write into what others are given; who takes all of it takes bytes, maybe.
            whole = any([read.offset is None for read in reads])
            value = outcome.value
            shared = bytes(value) if whole else memoryview(value).toreadonly()
            outcome = outcome._replace(value=shared)
        self.outcome, self.is_over = outcome, True
        complete = []
        for read in reads:
            read.missing -= 1
            if not read.missing:
                complete.append(read)
        return complete


def span_of(byte_range: ByteRange) -> Span | None:
    """A range of known ends that is not empty; None for others."""
    start, stop = byte_range.inclusive_min, byte_range.exclusive_max
    return None if stop is None or start < 0 or stop <= start else (start, stop)


def name_of(subject: Subject, byte_range: ByteRange) -> Name:
    """What a request for a range of a subject asks for."""
    return (*subject, byte_range.inclusive_min, byte_range.exclusive_max)


def answer_task(answer: asyncio.Future[ReadResult], outcome: Outcome) -> None:
    """Gives a reader that is a task what there is for it."""
    if answer.done():
        # It is about to leave.
        return
    if isinstance(outcome, Arrival):
        answer.set_result(ReadResult(outcome.state, bytes(outcome.value), outcome.stamp))
    elif outcome is None or isinstance(outcome, asyncio.CancelledError):
        answer.cancel()
    else:
        answer.set_exception(outcome)

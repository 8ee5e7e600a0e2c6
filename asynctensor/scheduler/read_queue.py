"""The reads of one store that meet on the I/O loop: batched, merged, shared, hedged.

Reads of one key that are asked for in one turn, with the same conditions, become as few requests as
`plan_ranges` makes of them. A read whose bytes are on their way already waits for those, if they
are new enough for it. A request lives as long as somebody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from asynctensor.errors import Error, OutOfRange
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.scheduler.flow import WATCH, Stopwatch
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.plan import GAP, RangePlan, Span, plan_ranges
from asynctensor.scheduler.read_states import MOVES, Event, State
from asynctensor.scheduler.statistics import (
    QueueCounts,
    QueueStatistics,
    scheduler_counters,
)
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import Arrival, ReadOptions, ReadResult, Told

#: Makes one request.
Fetch: TypeAlias = Callable[[str, ReadOptions], Coroutine[Any, Any, ReadResult]]
#: Begins one without a task.
Begin: TypeAlias = Callable[[str, ReadOptions, Told], Callable[[], object] | None]
#: Longest request, in bytes: longer ones are cut, and go side by side.
CAP = 16 * 2**20
#: Size of the reads whose patience is shown: that of a small chunk.
_SHOWN = 2**16
_COUNTERS = scheduler_counters()
_VERBOSE = verbose_flag("scheduler")


#: Key, and the generations of the conditions `if_equal` and `if_not_equal`.
_Subject: TypeAlias = tuple[str, bytes, bytes]


@dataclass(slots=True, eq=False)
class _Read:
    """One read, and the requests that bring its bytes.

    Attributes:
        subject: What is read.
        options: How.
        answer: What the reader awaits.
        requests: Set when the turn ends; they follow each other without a gap.
        offset: Where its bytes begin in what they bring; None: it is all of that.
        missing: Requests that are not over yet.
        is_alone: Whether its request was made for it alone.
        state: Where it stands; moved by `move` alone.
    """

    subject: _Subject
    options: ReadOptions
    answer: asyncio.Future[ReadResult]
    requests: list[_Request] = field(default_factory=list)
    offset: int | None = None
    missing: int = 0
    is_alone: bool = False
    state: State = State.ASKED

    def move(self, event: Event) -> None:
        """Moves it as the table says."""
        self.state = MOVES[self.state, event]


@dataclass(slots=True, eq=False)
class _Request:
    """One request under way, and the reads that wait for it.

    Attributes:
        name: What it asks for.
        since: When it began (Unix seconds).
        reads: Who waits.
        told: Who waits for the whole of it, and is told without a future (`ReadQueue.begin`).
        result: What it brought.
        error: Why it brought nothing.
        is_over: Whether it has brought what it will.
        task: What makes it, if a task does.
        give_up: What gives it up, if no task makes it.
    """

    name: tuple[_Subject, ByteRange]
    since: float
    reads: list[_Read] = field(default_factory=list)
    told: Told | None = None
    result: ReadResult | None = None
    error: BaseException | None = None
    is_over: bool = False
    task: asyncio.Task[ReadResult] | None = None
    give_up: Callable[[], object] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether it will bring something; without anybody who waits, it is being cancelled."""
        return not self.is_over and (bool(self.reads) or self.told is not None)

    def outcome(self) -> ReadResult:
        """What it brought; raises why it brought nothing."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class ReadQueue:
    """The reads of one store; for the I/O loop alone.

    Args:
        fetch: Makes one request of the store below.
        hedging: Decides about second requests; None: there are none.
        begin: Begins one without a task (`KeyValueStore.begin_read`); None: that is never tried.
        gap: Unwanted bytes to request at most rather than make one more request.
    """

    def __init__(
        self,
        fetch: Fetch,
        hedging: Hedging | None = None,
        begin: Begin | None = None,
        *,
        gap: int = GAP,
    ) -> None:
        self._fetch = fetch
        self._begin_below = begin if hedging is None else None
        self._hedging = hedging
        self._asked: list[_Read] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[tuple[_Subject, ByteRange], _Request] = {}
        self._gap = gap
        self._counts = QueueCounts()

    def statistics(self) -> QueueStatistics:
        """What the reads came to so far."""
        counts, hedging = self._counts, self._hedging
        return QueueStatistics(
            counts.reads,
            counts.requests,
            counts.shared,
            counts.hedges,
            counts.bytes_asked,
            counts.bytes_fetched,
            len(self._under_way),
            None if hedging is None else hedging.patience(_SHOWN),
        )

    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `KeyValueStore.read`."""
        self._counts.reads += 1
        _COUNTERS.reads.value += 1
        loop = self._attend()
        subject = (key, options.if_equal, options.if_not_equal)
        read = _Read(subject, options, loop.create_future())
        if self._asked is None:
            self._asked = []
            loop.call_soon(self._end_turn)
        self._asked.append(read)
        try:
            result = await read.answer
        except asyncio.CancelledError:
            await self._leave(read)
            raise
        self._counts.bytes_asked += len(result.value)
        _COUNTERS.bytes_asked.value += len(result.value)
        return result

    def begin(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`: whole values, of which nothing can be merged."""
        if self._begin_below is None or not options.byte_range.is_full:
            return None
        self._attend()
        name = ((key, options.if_equal, options.if_not_equal), options.byte_range)
        if name in self._under_way:
            # To be shared, perhaps.
            return None
        request = _Request(name, SOURCES.time(), told=told)
        if not self._begun(request, options):
            return None
        self._counts.reads += 1
        _COUNTERS.reads.value += 1
        return lambda: self._give_up(request)

    def _give_up(self, request: _Request) -> None:
        """Of a begun read."""
        request.told = None
        if not request.reads and request.give_up is not None:
            if self._under_way.get(request.name) is request:
                del self._under_way[request.name]
            request.is_over = True
            request.give_up()

    def plan(self, wanted: Sequence[Span]) -> RangePlan:
        """The requests that reads of one key in one turn become."""
        return plan_ranges(wanted, self._gap, CAP)

    def _attend(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What an I/O loop that has ended left behind is never answered.
            self._loop, self._asked, self._under_way = loop, None, {}
        return loop

    # -- the end of a turn ------------------------------------------------------------------

    def _end_turn(self) -> None:
        asked, self._asked = self._asked or [], None
        subjects: dict[_Subject, list[_Read]] = {}
        for read in asked:
            if read.state is State.ASKED:
                read.move(Event.PLAN)
                subjects.setdefault(read.subject, []).append(read)
        for subject, reads in subjects.items():
            self._start(subject, reads)

    def _start(self, subject: _Subject, reads: list[_Read]) -> None:
        """Makes the requests for reads of one subject."""
        ranges: list[tuple[_Read, Span]] = []
        others: dict[ByteRange, list[_Read]] = {}
        for read in reads:
            span = _span(read.options.byte_range)
            if span is None:
                others.setdefault(read.options.byte_range, []).append(read)
            else:
                ranges.append((read, span))
        for byte_range, same in others.items():
            bound = max(read.options.staleness_bound for read in same)
            request = self._request(subject, byte_range, bound)
            for read in same:
                self._wait(read, [request], None)
        if not ranges:
            return
        plan = self.plan([span for _, span in ranges])
        bound = max(read.options.staleness_bound for read, _ in ranges)
        requests = [self._request(subject, ByteRange(*span), bound) for span in plan.spans]
        if _VERBOSE.level:
            _VERBOSE.log(
                "%s: %d ranges, %d bytes wanted: %d requests, %d bytes",
                *(subject[0], len(ranges), plan.wanted),
                *(len(plan.spans), plan.fetched),
            )
        for read, span in ranges:
            parts = plan.parts(span)
            read.is_alone = plan.spans == (span,)
            begins = plan.spans[parts[0]][0]
            self._wait(read, requests[parts.start : parts.stop], span[0] - begins)

    def _request(self, subject: _Subject, byte_range: ByteRange, bound: float) -> _Request:
        """A request for this range: a new one, or one under way that is as new as `bound`."""
        name = (subject, byte_range)
        known = self._under_way.get(name)
        if known is not None and known.since >= bound and known.is_awaited:
            self._counts.shared += 1
            _COUNTERS.shared.value += 1
            return known
        options = ReadOptions(byte_range, subject[1], subject[2], bound)
        request = _Request(name, SOURCES.time())
        if not self._begun(request, options):
            self._make(request, options)
        return request

    def _begun(self, request: _Request, options: ReadOptions) -> bool:
        """Makes a request without a task; False if the store below cannot."""
        if self._begin_below is None:
            return False

        def arrived(arrival: Arrival | None) -> None:
            request.give_up = None
            if arrival is not None:
                self._count_request()
                self._count_bytes(len(arrival.value))
                self._over(request, arrival)
            elif request.reads:
                self._make(request, options)
            else:
                self._over(request, None)

        request.give_up = self._begin_below(request.name[0][0], options, arrived)
        if request.give_up is None:
            return False
        self._under_way[request.name] = request
        return True

    def _make(self, request: _Request, options: ReadOptions) -> None:
        """Makes a request by a task."""
        self._under_way[request.name] = request
        request.task = asyncio.ensure_future(self._made(request.name[0][0], options))

        def ended(task: asyncio.Task[ReadResult]) -> None:
            arrival = None
            if task.cancelled():
                request.error = asyncio.CancelledError()
            elif (error := task.exception()) is not None:
                request.error = error
            else:
                result = request.result = task.result()
                arrival = Arrival(result.state, result.value, result.stamp)
            self._over(request, arrival)

        request.task.add_done_callback(ended)

    def _over(self, request: _Request, arrival: Arrival | None) -> None:
        """Tells those who wait what a request brought; None: `request.error` says."""
        if self._under_way.get(request.name) is request:
            del self._under_way[request.name]
        request.is_over = True
        if request.reads and arrival is not None and request.result is None:
            request.result = ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)
        told, request.told = request.told, None
        if told is not None:
            if arrival is not None:
                self._counts.bytes_asked += len(arrival.value)
                _COUNTERS.bytes_asked.value += len(arrival.value)
            told(arrival)
        # The two refer to each other: values would live until the cycle is found.
        reads, request.reads = request.reads, []
        for read in reads:
            read.missing -= 1
            if not read.missing:
                self._answer(read)

    @staticmethod
    def _wait(read: _Read, requests: list[_Request], offset: int | None) -> None:
        read.requests, read.offset, read.missing = requests, offset, len(requests)
        for request in requests:
            request.reads.append(read)

    def _answer(self, read: _Read) -> None:
        """Gives a read its bytes, now that all of its requests are over."""
        if read.answer.done():
            # Its reader is about to leave.
            return
        try:
            result = _assembled(read)
        except (OutOfRange, _Torn) as error:
            if not read.is_alone:
                # Perhaps it is another's range that the value is too short for.
                self._ask_alone(read)
                return
            read.move(Event.REFUSE)
            read.answer.set_exception(error)
        except asyncio.CancelledError:
            read.move(Event.REFUSE)
            read.answer.cancel()
        except BaseException as error:  # noqa: BLE001 -- for whoever asked
            read.move(Event.REFUSE)
            read.answer.set_exception(error)
        else:
            read.move(Event.BRING)
            read.answer.set_result(result)
        read.requests = []

    def _ask_alone(self, read: _Read) -> None:
        read.move(Event.TEAR)
        read.is_alone = True
        request = self._request(read.subject, read.options.byte_range, float("inf"))
        self._wait(read, [request], None)

    async def _leave(self, read: _Read) -> None:
        """Gives a read up, and waits for the end of requests that nobody else wants."""
        if read.state in (State.SERVED, State.FAILED):
            # It had just been served.
            return
        read.move(Event.LEAVE)
        ending = []
        for request in read.requests:
            if read in request.reads:
                request.reads.remove(read)
            if request.reads or request.told is not None or request.is_over:
                continue
            if request.task is not None:
                request.task.cancel()
                ending.append(request.task)
            else:
                self._give_up(request)
        if ending:
            await asyncio.wait(ending)

    # -- one request ------------------------------------------------------------------------

    async def _made(self, key: str, options: ReadOptions) -> ReadResult:
        if self._hedging is not None:
            return await self._hedged(key, options, self._hedging)
        return await self._once(key, options, Stopwatch(SOURCES.monotonic()))

    async def _once(self, key: str, options: ReadOptions, watch: Stopwatch) -> ReadResult:
        """One request, timed."""
        # A task of its own has a context of its own: nobody else sees this.
        WATCH.set(watch)
        self._count_request()
        result = await self._fetch(key, options)
        self._count_bytes(len(result.value))
        return result

    def _count_request(self) -> None:
        self._counts.requests += 1
        _COUNTERS.requests.value += 1

    def _count_bytes(self, size: int) -> None:
        self._counts.bytes_fetched += size
        _COUNTERS.bytes_fetched.value += size

    async def _hedged(self, key: str, options: ReadOptions, hedging: Hedging) -> ReadResult:
        span = _span(options.byte_range)
        size = None if span is None else span[1] - span[0]
        watch = Stopwatch(SOURCES.monotonic())
        attempts = {asyncio.ensure_future(self._once(key, options, watch))}
        try:
            if await self._is_late(attempts, watch, hedging.patience(size)) and hedging.spend():
                self._counts.hedges += 1
                _COUNTERS.hedges.value += 1
                second = self._once(key, options, Stopwatch(SOURCES.monotonic()))
                attempts.add(asyncio.ensure_future(second))
            while True:
                done, left = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    if attempt.exception() is None or not left:
                        hedging.observe(watch.total(SOURCES.monotonic()), size)
                        return attempt.result()
                attempts = left
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.wait(attempts)

    async def _is_late(
        self,
        attempts: set[asyncio.Task[ReadResult]],
        watch: Stopwatch,
        patience: float | None,
    ) -> bool:
        """Whether the first attempt, not over yet, has been on the wire for so long."""
        left = patience
        while True:
            done, _ = await asyncio.wait(attempts, timeout=left)
            if done or patience is None:
                return False
            left = patience - watch.on_wire(SOURCES.monotonic())
            if left <= 0:
                return True


class _Torn(Error):
    """Parts of one read are of different versions of the value."""

    kind = "ABORTED"


def _span(byte_range: ByteRange) -> Span | None:
    """A range of known ends that is not empty; None for others."""
    start, stop = byte_range.inclusive_min, byte_range.exclusive_max
    return None if stop is None or start < 0 or stop <= start else (start, stop)


def _assembled(read: _Read) -> ReadResult:
    """A read's own part of what its requests brought; raises what they raised."""
    results = [request.outcome() for request in read.requests]
    first = results[0]
    for result in results:
        if result.state != "value":
            return result
        if result.stamp.generation != first.stamp.generation:
            raise _Torn("the value was replaced between two parts of one read")
    if read.offset is None:
        return first
    start, stop = read.options.byte_range.inclusive_min, read.options.byte_range.exclusive_max
    assert stop is not None
    size = stop - start
    value = first.value if len(results) == 1 else b"".join([r.value for r in results])
    if read.offset or len(value) != size:
        value = value[read.offset : read.offset + size]
    return ReadResult("value", value, first.stamp)

"""The reads of one store that meet on the I/O loop: batched, merged, shared, hedged.

Reads of one key that are asked for in one turn, with the same conditions, become as few requests as
`plan_ranges` makes of them. A read whose bytes are on their way already waits for those, if they
are new enough for it. A request lives as long as somebody waits for it, and is made without a task
where the store below can do that: a task takes longer than all else here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, cast

from asynctensor.errors import Error, OutOfRange
from asynctensor.runtime.last_trouble import WATCHED
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.scheduler.fetching import Fetch, Fetching
from asynctensor.scheduler.flow import FLOW
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.plan import GAP, RangePlan, Span, plan_ranges
from asynctensor.scheduler.queued_read import (
    Name,
    Outcome,
    QueuedRead,
    QueuedRequest,
    Subject,
    Torn,
    answer_task,
    name_of,
    span_of,
)
from asynctensor.scheduler.read_states import Event, State
from asynctensor.scheduler.statistics import (
    QueueCounts,
    QueueStatistics,
    scheduler_counters,
)
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import Arrival, ReadOptions, ReadResult, Told

#: Begins a request without a task.
Begin: TypeAlias = Callable[[str, ReadOptions, Told], Callable[[], object] | None]
#: Longest request, in bytes: longer ones are cut, and go side by side.
CAP = 16 * 2**20
#: Size of the reads whose patience is shown: that of a small chunk.
_SHOWN = 2**16
#: Names that are remembered, of which few are ever there: a task comes for nearly all.
_MOST_SENT_BACK = 256
_COUNTERS = scheduler_counters()
_VERBOSE = verbose_flag("scheduler")


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
        self._counts = QueueCounts()
        self._fetching = Fetching(fetch, self._counts, hedging)
        self._begin_below = begin if hedging is None else None
        self._hedging = hedging
        self._asked: list[QueuedRead] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[Name, QueuedRequest] = {}
        self._gap = gap
        #: What was asked for in vain without a task, and is soon to be asked for by one.
        self._sent_back: set[Name] = set()

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
        loop = self._attend()
        answer: asyncio.Future[ReadResult] = loop.create_future()
        read = QueuedRead(
            key, options, partial(answer_task, answer), True, FLOW.get(), WATCHED.get()
        )
        self._ask(loop, read)
        try:
            return await answer
        except asyncio.CancelledError:
            if ending := self._drop(read):
                await asyncio.wait(ending)
            raise

    def begin(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`."""
        if self._begin_below is None:
            return None
        loop = self._attend()
        # Those that take no tasks are told nothing else than `Told` says.
        deliver = cast("Callable[[Outcome], object]", told)
        read = QueuedRead(key, options, deliver, False, FLOW.get(), WATCHED.get())
        if options.byte_range.is_full:
            # Whole values need not wait for the end of the turn: nothing can be merged with them.
            request = self._whole(name_of(read.subject, options.byte_range), options)
            if request is None:
                return None
            self._count_read()
            read.move(Event.PLAN)
            self._wait_for_one(read, request)
        else:
            self._ask(loop, read)
        return partial(self._drop, read)

    def _whole(self, name: Name, options: ReadOptions) -> QueuedRequest | None:
        """A request for a whole value that takes no task; None: `read` is to be asked."""
        together = PROCESS.local.together
        known = self._under_way.get(name)
        if known is None:
            request = QueuedRequest(name, SOURCES.time(), together=together)
            return request if self._begun(request, options) else None
        # What was asked for together is as of now for each of them.
        is_new = known.since >= options.staleness_bound or (
            together is not None and known.together is together
        )
        if not is_new or not known.is_awaited or known.task is not None:
            return None
        self._count_shared()
        return known

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

    def _ask(self, loop: asyncio.AbstractEventLoop, read: QueuedRead) -> None:
        """Has a read planned at the end of this turn."""
        self._count_read()
        if self._asked is None:
            self._asked = []
            loop.call_soon(self._end_turn)
        self._asked.append(read)

    def _count_read(self) -> None:
        self._counts.reads += 1
        _COUNTERS.reads.value += 1

    def _count_shared(self) -> None:
        self._counts.shared += 1
        _COUNTERS.shared.value += 1

    # -- the end of a turn ------------------------------------------------------------------

    def _end_turn(self) -> None:
        asked, self._asked = self._asked or [], None
        subjects: dict[Subject, list[QueuedRead]] = {}
        for read in asked:
            if read.state is State.ASKED:
                read.move(Event.PLAN)
                subjects.setdefault(read.subject, []).append(read)
        for subject, reads in subjects.items():
            # A loop's callback has a context of its own: nobody else sees this.
            FLOW.set(reads[0].flow)
            WATCHED.set(reads[0].watch)
            self._start(subject, reads)

    def _start(self, subject: Subject, reads: list[QueuedRead]) -> None:
        """Makes the requests for reads of one subject."""
        if len(reads) == 1:
            (read,) = reads
            byte_range = read.options.byte_range
            stop = byte_range.exclusive_max
            if stop is None or stop - byte_range.inclusive_min <= CAP:
                read.is_alone = True
                self._wait_for_one(read, self._request(read.options, read.key, read.by_task))
                return
        ranges: list[tuple[QueuedRead, Span]] = []
        others: dict[ByteRange, list[QueuedRead]] = {}
        for read in reads:
            byte_range = read.options.byte_range
            span = span_of(byte_range)
            if span is None:
                others.setdefault(byte_range, []).append(read)
            else:
                ranges.append((read, span))
        for same in others.values():
            latest = max(same, key=_bound) if len(same) > 1 else same[0]
            request = self._request(latest.options, latest.key, _takes_tasks(same))
            for read in same:
                read.is_alone = True
                self._wait_for_one(read, request)
        if ranges:
            self._start_ranges(subject, ranges)

    def _start_ranges(self, subject: Subject, ranges: list[tuple[QueuedRead, Span]]) -> None:
        """Makes the requests for reads of one subject whose ranges may be merged."""
        key, if_equal, if_not_equal = subject
        plan = self.plan([span for _, span in ranges])
        reads = [read for read, _ in ranges]
        bound, by_task = max(map(_bound, reads)), _takes_tasks(reads)
        requests = [
            self._request(
                ReadOptions(ByteRange(*span), if_equal, if_not_equal, bound), key, by_task
            )
            for span in plan.spans
        ]
        if _VERBOSE.level:
            _VERBOSE.log(
                "%s: %d ranges, %d bytes wanted: %d requests, %d bytes",
                *(key, len(ranges), plan.wanted),
                *(len(plan.spans), plan.fetched),
            )
        for read, span in ranges:
            parts = plan.parts(span)
            read.is_alone = plan.spans == (span,)
            begins = plan.spans[parts[0]][0]
            self._wait(read, requests[parts.start : parts.stop], span[0] - begins)

    def _request(self, options: ReadOptions, key: str, by_task: bool) -> QueuedRequest | None:
        """A request for this range: a new one, or one under way that is new enough.

        Returns:
            The request; None: it takes a task, and `by_task` is False.
        """
        name = name_of((key, options.if_equal, options.if_not_equal), options.byte_range)
        known = self._under_way.get(name)
        if (
            known is not None
            and known.since >= options.staleness_bound
            and known.is_awaited
            and (by_task or known.task is None)
        ):
            self._count_shared()
            return known
        request = QueuedRequest(name, SOURCES.time())
        if by_task and name in self._sent_back:
            # Without a task it has just been tried.
            self._sent_back.discard(name)
            self._make(request, options)
        elif not self._begun(request, options):
            if not by_task:
                return None
            self._make(request, options)
        return request

    def _begun(self, request: QueuedRequest, options: ReadOptions) -> bool:
        """Makes a request without a task; False if the store below cannot."""
        if self._begin_below is None:
            return False
        arrived = partial(self._arrived, request, options)
        request.give_up = self._begin_below(request.name[0], options, arrived)
        if request.give_up is None:
            return False
        self._under_way[request.name] = request
        return True

    def _arrived(
        self, request: QueuedRequest, options: ReadOptions, found: Arrival | Error | None
    ) -> None:
        """Of a request that was made without a task."""
        request.give_up = None
        if found is not None:
            self._fetching.count_request()
            if isinstance(found, Arrival):
                self._fetching.count_bytes(len(found.value))
            self._over(request, found)
            return
        left_out = [read for read in request.reads if not read.by_task]
        request.reads = [read for read in request.reads if read.by_task]
        if request.reads:
            self._make(request, options)
        else:
            self._over(request, None)
        if len(self._sent_back) >= _MOST_SENT_BACK:
            self._sent_back.clear()
        for read in left_out:
            self._sent_back.add(name_of(read.subject, read.options.byte_range))
            self._send_back(read)

    def _make(self, request: QueuedRequest, options: ReadOptions) -> None:
        """Makes a request by a task."""
        self._under_way[request.name] = request
        request.task = asyncio.ensure_future(self._fetching.fetched(request.name[0], options))

        def ended(task: asyncio.Task[ReadResult]) -> None:
            if task.cancelled():
                self._over(request, asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                self._over(request, error)
            else:
                result = task.result()
                self._over(request, Arrival(result.state, result.value, result.stamp))

        request.task.add_done_callback(ended)

    def _over(self, request: QueuedRequest, outcome: Outcome) -> None:
        """Tells those who wait what a request brought."""
        if self._under_way.get(request.name) is request:
            del self._under_way[request.name]
        for read in request.end(outcome):
            self._answer(read)

    # -- the reads --------------------------------------------------------------------------

    def _wait_for_one(self, read: QueuedRead, request: QueuedRequest | None) -> None:
        """Has a read wait for the request that brings just what it wants; None: as for `_wait`."""
        read.offset = None
        if request is None:
            self._send_back(read)
            return
        read.requests, read.missing = (request,), 1
        request.reads.append(read)
        if request.task is not None and not read.by_task:
            self._send_back(read)

    def _wait(
        self, read: QueuedRead, requests: Sequence[QueuedRequest | None], offset: int
    ) -> None:
        """Has a read wait for its requests; None: for one of them there would have to be a task.

        Args:
            read: Which.
            requests: What brings its bytes, one after the other.
            offset: Where its bytes begin in what they bring.
        """
        made = [request for request in requests if request is not None]
        read.requests, read.offset, read.missing = made, offset, len(made)
        for request in made:
            request.reads.append(read)
        if len(made) < len(requests) or (
            not read.by_task and any([request.task is not None for request in made])
        ):
            self._send_back(read)

    def _answer(self, read: QueuedRead) -> None:
        """Gives a read its bytes, now that all of its requests are over."""
        outcome: Outcome
        try:
            outcome = read.assembled()
        except (OutOfRange, Torn) as error:
            if not read.is_alone:
                # Perhaps it is another's range that the value is too short for.
                self._ask_alone(read)
                return
            outcome = error
        except BaseException as error:  # noqa: BLE001 -- for whoever asked
            outcome = error
        read.requests = ()
        if isinstance(outcome, Arrival):
            read.move(Event.BRING)
            self._counts.bytes_asked += len(outcome.value)
            _COUNTERS.bytes_asked.value += len(outcome.value)
        else:
            read.move(Event.REFUSE)
        read.deliver(outcome)

    def _ask_alone(self, read: QueuedRead) -> None:
        read.move(Event.TEAR)
        read.is_alone = True
        options = ReadOptions(
            read.options.byte_range, read.options.if_equal, read.options.if_not_equal
        )
        self._wait_for_one(read, self._request(options, read.key, read.by_task))

    def _send_back(self, read: QueuedRead) -> None:
        """Of a read that takes no tasks: `read` is to be asked."""
        self._drop(read)
        read.deliver(None)

    def _drop(self, read: QueuedRead) -> list[asyncio.Task[ReadResult]]:
        """Gives a read up, and requests that nobody else wants; those by these tasks will end."""
        ending: list[asyncio.Task[ReadResult]] = []
        if read.state in (State.SERVED, State.FAILED, State.GONE):
            # It had just been served.
            return ending
        read.move(Event.LEAVE)
        for request in read.requests:
            if read in request.reads:
                request.reads.remove(read)
            if request.reads or request.is_over:
                continue
            if request.task is not None:
                request.task.cancel()
                ending.append(request.task)
            elif request.give_up is not None:
                if self._under_way.get(request.name) is request:
                    del self._under_way[request.name]
                request.is_over = True
                request.give_up()
        read.requests = ()
        return ending


def _bound(read: QueuedRead) -> float:
    return read.options.staleness_bound


def _takes_tasks(reads: Sequence[QueuedRead]) -> bool:
    """Whether one of them may wait for a task."""
    return any([read.by_task for read in reads])

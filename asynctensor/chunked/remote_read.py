"""Serving a stream of chunks from a store that is not local.

::

    worker                      I/O loop                          worker
    plan a group, serve    -->  fetch its values, as many    -->  decode and copy what has come,
    what is cached              at once as there is room for      as much at a time as there is

A value is fetched without a task where the store can do that (`KeyValueStore.begin_read`), and by
one otherwise, which is also what finds out why something is wrong. The chunks of a tile are handed
over when all have come; other values, when they come in one turn of the loop, together. The store
below decides how many requests are really under way, and merges them; here only memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.arrivals import Arrivals
from asynctensor.chunked.plan import Stream, Task, TileTask, ViewRequest
from asynctensor.chunked.read_window import NEAR, ReadWindow
from asynctensor.chunked.request import soon
from asynctensor.chunked.serve import ChunkServer
from asynctensor.chunked.shard_fetch import (
    fetch,
    fetches_whole,
    forget_index,
    known_parts,
    part_options,
)
from asynctensor.chunked.value_fetch import ValueFetch
from asynctensor.chunked.values import HeldValue
from asynctensor.errors import Aborted, Error
from asynctensor.runtime.inbox import WakingTogether
from asynctensor.runtime.last_trouble import LastTrouble, watched
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.workers import yield_gil
from asynctensor.scheduler.flow import FLOW
from asynctensor.storage.kvstore import Arrival, ReadOptions

#: Decoded bytes whose values are being fetched, or wait to be decoded, for one stream. From a store
#: nearby, more at once come later, and have left the processor's cache before they are decoded
#: (measured on a loopback: twice as much takes a third longer).
_WINDOW_BYTES = 32 * 2**20
#: Times that, at most, from a store far away (`ReadWindow`).
_GREATEST_GROWTH = 4
#: The same in values: enough to keep a store with a long way busy, and at least a few. The last
#: tile that is begun may exceed it.
_WINDOW_VALUES = (8, 256)
#: ... and at most from a store that is known to be near: on a loopback, twice as many cost a fifth
#: more processor time, in caches missed and garbage looked for; 30 ms away they take a fifth less.
_NEARBY_VALUES = 128
#: Inner chunks that are looked for on the I/O loop at most: more of them take a worker less long
#: than it takes to wait for one.
_MOST_LOOKED_FOR = 64


class RemoteStream:
    """The fetching of one stream's values.

    All is for the I/O loop alone but `_planned`, which is for workers.
    """

    def __init__(
        self, array: ChunkedArray, server: ChunkServer, stream: Stream[Task | TileTask]
    ) -> None:
        self._array, self._server, self._stream = array, server, stream
        least, most = _WINDOW_VALUES
        if 0 < array.quickest_fetch < NEAR:
            most = _NEARBY_VALUES
        size = max(1, array.chunk_bytes)
        near = max(least, min(most, _WINDOW_BYTES // size))
        self._window = ReadWindow(
            near, _GREATEST_GROWTH * near, array.quickest_fetch, array.latest_window
        )
        self._room = self._window.size
        #: Values from far away that have come and wait to be decoded, and how many of them may.
        self._backlog, self._most_backlog = 0, near
        #: Those that wait for values.
        self._fetches: set[ValueFetch] = set()
        self._watched: set[int] = set()
        self._trouble = LastTrouble()
        self._takebacks: list[Callable[[], None]] = []
        self._changed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._arrivals = Arrivals(array, server, self._served)

    @property
    def room(self) -> int:
        """How many more values may be under way."""
        return self._room

    def begin_all(self) -> None:
        """Begins all of a stream of a few values, which ends by itself: without a task.

        Nothing of it is cached.
        """
        FLOW.set(object())
        watched(self._trouble)
        # Nobody waits for room, and the last one that comes ends the stream.
        self._arrivals.served = None
        while (items := self._stream.take()) is not None:
            for item in items:
                self._begin(ValueFetch(item))
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._arrivals.served is None and not self._fetches:
            self._take_back()

    def _take_back(self) -> None:
        # None is kept: they would hold the output, in a circle, until the garbage is collected.
        while self._takebacks:
            self._takebacks.pop()()

    async def run(self) -> None:
        """Serves the stream to its end."""
        # Its requests take turns with those of others. (Connections that are made meanwhile keep
        # this: it must hold on to nothing.)
        FLOW.set(object())
        watched(self._trouble)
        planning: asyncio.Task[list[Task | TileTask] | None] | None = self._plan()
        try:
            while planning is not None and (items := await planning) is not None:
                # While these are fetched: workers that decode have no time when room is there.
                planning = None if self._stream.exhausted else self._plan()
                for item in items:
                    while self._room <= 0 or self._backlog >= self._most_backlog:
                        await self._change()
                    self._begin(ValueFetch(item))
                # Not kept while the next are planned.
                del items
            while self._fetches:
                await self._change()
        finally:
            if planning is not None:
                planning.cancel()
            self._take_back()
            # In no circle, either: nobody waits for room any more.
            self._arrivals.served = None

    def _plan(self) -> asyncio.Task[list[Task | TileTask] | None]:
        return self._loop.create_task(self._array.workers.run(self._planned))

    def _planned(self) -> list[Task | TileTask] | None:
        """On a worker: the next values to fetch; serves what needs none. None at the end."""
        items: list[Task | TileTask] = []
        # Of large chunks, several groups: on a worker, a next one waits behind what is decoded.
        while len(items) < _WINDOW_VALUES[0] and (group := self._stream.take()) is not None:
            items += group
        if not items:
            return None
        done = ChunkStatistics()
        left: list[Task | TileTask] = []
        with WakingTogether():
            for item in items:
                if isinstance(item, TileTask) or not self._server.try_cache(*item, done):
                    left.append(item)
                yield_gil()
        return left

    # -- fetching ---------------------------------------------------------------------------

    def _begin(self, fetch: ValueFetch) -> None:
        self._room -= len(fetch.held)
        fetch.since = SOURCES.monotonic()
        self._fetches.add(fetch)
        for request in fetch.requests():
            self._watch(request)
        if fetch.is_stopped():
            fetch.missing = 0
            self._end(fetch)
            return
        item = fetch.item
        if isinstance(item, TileTask):
            options = ReadOptions(staleness_bound=item.request.bound)
            for k, index in enumerate(item.tile.indices()):
                self._begin_value(fetch, k, index, options)
            return
        index, targets = item
        parts = self._server.parts(targets)
        if fetches_whole(self._array, len(parts)):
            self._begin_value(fetch, 0, index, ReadOptions(staleness_bound=_bound(item)))
        elif not (len(parts) <= _MOST_LOOKED_FOR and self._begin_parts(fetch, item, sorted(parts))):
            self._begin_task(fetch, 0)

    def _begin_value(
        self, fetch: ValueFetch, k: int, index: tuple[int, ...], options: ReadOptions
    ) -> None:
        """Fetches a whole value, without a task where the store can."""
        array = self._array
        told = partial(self._told, fetch, k, array.epoch(index))
        give_up = array.store.begin_read(array.key(index), options, told)
        if give_up is None:
            self._begin_task(fetch, k)
        else:
            fetch.begun[k] = give_up

    def _told(self, fetch: ValueFetch, k: int, epoch: int, arrival: Arrival | Error | None) -> None:
        """Of a value that is fetched without a task."""
        del fetch.begun[k]
        if arrival is None:
            self._begin_task(fetch, k)
            return
        if isinstance(arrival, Error):
            if not fetch.is_stopped():
                self._server.failed(*fetch.task(k), arrival)
            self._come(fetch, k, None)
            return
        if arrival.state == "value":
            fetch.counts.store_reads += 1
            fetch.counts.bytes_read += len(arrival.value)
        held = HeldValue.of(arrival)
        held.epoch = epoch
        self._come(fetch, k, held)

    def _begin_parts(self, fetch: ValueFetch, task: Task, wanted: list[int]) -> bool:
        """Fetches parts of a shard without a task, by an index at hand; False if it cannot be."""
        array, index = self._array, task[0]
        known = known_parts(array, index, wanted)
        if known is None:
            return False
        held, spans = known
        held.epoch = array.epoch(index)
        under_way: dict[int, Callable[[], object]] = {}

        def give_up() -> None:
            for each in under_way.values():
                each()
            under_way.clear()

        def told(begin: int, arrival: Arrival | Error | None) -> None:
            del under_way[begin]
            if isinstance(arrival, Arrival) and arrival.state == "value":
                fetch.counts.store_reads += 1
                fetch.counts.bytes_read += len(arrival.value)
                held.add(begin, arrival.value)
                held.time = min(held.time, arrival.stamp.time)
                if not under_way:
                    del fetch.begun[0]
                    self._come(fetch, 0, held)
                return
            give_up()
            del fetch.begun[0]
            if isinstance(arrival, Error):
                if not fetch.is_stopped():
                    self._server.failed(*task, arrival)
                self._come(fetch, 0, None)
                return
            if arrival is not None:
                forget_index(array, index)
            self._begin_task(fetch, 0)

        key, bound = array.key(index), _bound(task)
        for part in spans:
            begun = array.store.begin_read(
                key, part_options(held, part, bound), partial(told, part[0])
            )
            if begun is None:
                give_up()
                return False
            under_way[part[0]] = begun
        fetch.begun[0] = give_up
        return True

    def _begin_task(self, fetch: ValueFetch, k: int) -> None:
        """Fetches a value, or what is needed of it, or finds out what is wrong with it."""
        fetching = self._loop.create_task(self._fetched(fetch.task(k)))
        fetch.tasks.add(fetching)
        fetching.add_done_callback(lambda task: self._ended(fetch, k, task))

    async def _fetched(self, task: Task) -> HeldValue:
        index, targets = task
        epoch = self._array.epoch(index)
        wanted = sorted(self._server.parts(targets))
        held = await fetch(self._array, index, wanted, _bound(task))
        held.epoch = epoch
        return held

    def _ended(self, fetch: ValueFetch, k: int, fetching: asyncio.Task[HeldValue]) -> None:
        """Also of a task that was cancelled before its first step."""
        fetch.tasks.discard(fetching)
        error: BaseException | None
        if fetching.cancelled():
            error = Aborted("the I/O loop ended during the read")
        else:
            error = fetching.exception()
        if error is None:
            self._come(fetch, k, fetching.result())
            return
        if isinstance(error, Exception) and not fetch.is_stopped():
            self._server.failed(*fetch.task(k), error)
        self._come(fetch, k, None)

    def _come(self, fetch: ValueFetch, k: int, held: HeldValue | None) -> None:
        fetch.held[k] = held
        fetch.missing -= 1
        if not fetch.missing:
            self._end(fetch)

    def _watch(self, request: ViewRequest) -> None:
        """Has fetches stopped that nobody wants any more."""
        if id(request) not in self._watched:
            self._watched.add(id(request))
            request.trouble = self._trouble
            look = self._look
            loop = self._loop
            self._takebacks.append(request.on_stop(partial(soon, loop, look)))

    def _look(self) -> None:
        for stopped in [each for each in self._fetches if each.is_stopped()]:
            begun, stopped.begun = stopped.begun, {}
            for give_up in begun.values():
                give_up()
            # Tasks say themselves when they have ended.
            for task in stopped.tasks:
                task.cancel()
            stopped.missing -= len(begun)
            if begun and not stopped.missing:
                self._end(stopped)

    def _end(self, fetch: ValueFetch) -> None:
        """Nothing of it is under way any more."""
        self._fetches.discard(fetch)
        if all(fetch.held):
            self._measure(fetch)
            if self._window.is_far:
                # The way is not left empty while they wait for a worker.
                fetch.has_left_the_way = True
                self._room += len(fetch.held)
                self._backlog += len(fetch.held)
            self._arrivals.add(fetch)
        else:
            for request in fetch.requests():
                request.finish(len(fetch.held))
            self._room += len(fetch.held)
        self._notify()
        self._end_if_over()

    def _measure(self, fetch: ValueFetch) -> None:
        """Adapts the number of values under way to how some came that are there."""
        values = len([held for held in fetch.held if held is not None and not held.missing])
        if values:
            window, now = self._window, SOURCES.monotonic()
            self._room += window.came(values, now - fetch.since, now)
            self._array.quickest_fetch, self._array.latest_window = window.quickest, window.size

    async def _change(self) -> None:
        """Until something has ended since."""
        changed = self._changed = self._loop.create_future()
        try:
            await changed
        finally:
            self._changed = None

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _served(self, values: int, left_the_way: int) -> None:
        self._backlog -= left_the_way
        self._room += values - left_the_way
        self._notify()


def _bound(task: Task) -> float:
    """How new a chunk must be."""
    return max([request.bound for request, _, _ in task[1]])

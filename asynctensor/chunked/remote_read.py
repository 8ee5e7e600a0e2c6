"""Serving a stream of chunks from a store that is not local.

::

    worker                      I/O loop                          worker
    plan a group, serve    -->  fetch its values, as many    -->  decode and copy what has come,
    what is cached              at once as there is room for      as much at a time as there is

One task fetches one value; nothing else is done per chunk on the loop. Values that come in one turn
of the loop are handed over together. The store below decides how many requests are really under
way, and merges them; here only memory is bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import Stream, Task, ViewRequest
from asynctensor.chunked.serve import ChunkServer
from asynctensor.chunked.shard_fetch import fetch
from asynctensor.chunked.values import HeldValue
from asynctensor.errors import Aborted
from asynctensor.runtime.inbox import WakingTogether
from asynctensor.runtime.workers import yield_gil
from asynctensor.scheduler.flow import FLOW

#: Decoded bytes whose values are being fetched, or wait to be decoded, for one stream.
_WINDOW_BYTES = 64 * 2**20
#: The same in values: enough to keep a store with a long way busy, and at least a few.
_WINDOW_VALUES = (8, 256)
#: Decoded bytes handed to one worker at a time.
_HAND_OVER_BYTES = 4 * 2**20


class RemoteStream:
    """The fetching of one stream's values.

    All is for the I/O loop alone but `_planned` and `_serve`, which are for workers.
    """

    def __init__(self, array: ChunkedArray, server: ChunkServer, stream: Stream[Task]) -> None:
        self._array, self._server, self._stream = array, server, stream
        least, most = _WINDOW_VALUES
        size = max(1, array.chunk_bytes)
        #: How many more values may be under way.
        self._room = max(least, min(most, _WINDOW_BYTES // size))
        self._per_worker = max(1, _HAND_OVER_BYTES // size)
        self._fetching: dict[asyncio.Task[HeldValue], Task] = {}
        self._arrived: deque[tuple[Task, HeldValue]] = deque()
        self._watched: set[int] = set()
        self._takebacks: list[Callable[[], None]] = []
        self._changed: asyncio.Future[None] | None = None
        self._handing_over = False
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serves the stream to its end."""
        # Its requests take turns with those of others.
        FLOW.set(self)
        try:
            while (tasks := await self._array.workers.run(self._planned)) is not None:
                while tasks:
                    room = max(1, self._room)
                    for task in tasks[:room]:
                        self._begin(task)
                    del tasks[:room]
                    while self._room <= 0:
                        await self._change()
            while self._fetching:
                await self._change()
        finally:
            for takeback in self._takebacks:
                takeback()

    def _planned(self) -> list[Task] | None:
        """On a worker: the next values to fetch; serves what needs none. None at the end."""
        tasks = self._stream.take()
        if tasks is None:
            return None
        done = ChunkStatistics()
        with WakingTogether():
            left = []
            for index, targets in tasks:
                if not self._server.try_cache(index, targets, done):
                    left.append((index, targets))
                yield_gil()
        return left

    # -- fetching ---------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        self._room -= 1
        for request, _, _ in task[1]:
            self._watch(request)
        if _is_stopped(task):
            self._failed(task, None)
            return
        fetching = self._loop.create_task(self._fetch(task))
        self._fetching[fetching] = task
        fetching.add_done_callback(self._ended)

    def _watch(self, request: ViewRequest) -> None:
        """Has fetches stopped that nobody wants any more."""
        if id(request) not in self._watched:
            self._watched.add(id(request))
            look = self._look
            loop = self._loop
            self._takebacks.append(request.on_stop(lambda: loop.call_soon_threadsafe(look)))

    def _look(self) -> None:
        for fetching, task in self._fetching.items():
            if _is_stopped(task):
                fetching.cancel()

    async def _fetch(self, task: Task) -> HeldValue:
        index, targets = task
        epoch = self._array.epoch(index)
        wanted = sorted(self._server.parts(targets))
        bound = max(request.bound for request, _, _ in targets)
        held = await fetch(self._array, index, wanted, bound)
        held.epoch = epoch
        return held

    def _ended(self, fetching: asyncio.Task[HeldValue]) -> None:
        """Also of a fetch that was cancelled before its first step."""
        task = self._fetching.pop(fetching)
        if fetching.cancelled():
            self._failed(task, Aborted("the I/O loop ended during the read"))
        elif (error := fetching.exception()) is not None:
            self._failed(task, error)
        else:
            self._arrived.append((task, fetching.result()))
            if not self._handing_over:
                self._handing_over = True
                self._loop.call_soon(self._hand_over)
        self._notify()

    def _failed(self, task: Task, error: BaseException | None) -> None:
        index, targets = task
        if isinstance(error, Exception) and not _is_stopped(task):
            self._server.failed(index, targets, error)
        for request, _, _ in targets:
            request.finish()
        self._room += 1

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

    # -- serving ----------------------------------------------------------------------------

    def _hand_over(self) -> None:
        self._handing_over = False
        while self._arrived:
            count = min(len(self._arrived), self._per_worker)
            self._array.workers.post(self._serve, [self._arrived.popleft() for _ in range(count)])

    def _serve(self, arrived: list[tuple[Task, HeldValue]]) -> None:
        """On a worker: decodes values and copies them out."""
        done = ChunkStatistics()
        count = len(arrived)
        try:
            with WakingTogether():
                while arrived:
                    # What has been served is let go of at once.
                    (index, targets), held = arrived.pop()
                    self._server.serve(index, targets, held, done)
                    yield_gil()
        finally:
            self._loop.call_soon_threadsafe(self._served, count)

    def _served(self, count: int) -> None:
        self._room += count
        self._notify()


def _is_stopped(task: Task) -> bool:
    """Whether nobody wants it any more."""
    return all(request.stopped for request, _, _ in task[1])

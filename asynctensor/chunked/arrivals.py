"""`Arrivals`: values that have come from a store, and the workers that decode and copy them out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import TileTask
from asynctensor.chunked.request import soon
from asynctensor.chunked.serve import ChunkServer
from asynctensor.chunked.value_fetch import ValueFetch
from asynctensor.runtime.inbox import WakingTogether
from asynctensor.runtime.workers import yield_gil

#: Decoded bytes that one worker serves at a time.
_HAND_OVER_BYTES: Final = 4 * 2**20
#: Decoded bytes for which a further worker is woken.
_WORTH_WAKING_BYTES: Final = 128 * 2**10


class Arrivals:
    """What has come of one stream; made on the I/O loop, which adds to it.

    Args:
        array: Whose values.
        server: What they are served by.
        served: See below.

    Attributes:
        served: Told on the loop how many values were served, and how many of them had left the way;
            None: nobody wants to know.
    """

    __slots__ = (
        "_arrived", "_handing_over", "_idle", "_loop", "_per_worker", "_server", "_workers",
        "_worth_waking", "served",
    )  # fmt: skip

    def __init__(
        self, array: ChunkedArray, server: ChunkServer, served: Callable[[int, int], object]
    ) -> None:
        self._server, self._workers = server, array.workers
        self.served: Callable[[int, int], object] | None = served
        self._loop = asyncio.get_running_loop()
        size = max(1, array.chunk_bytes)
        self._per_worker = max(1, _HAND_OVER_BYTES // size)
        self._worth_waking = max(1, _WORTH_WAKING_BYTES // size)
        self._arrived: deque[ValueFetch] = deque()
        #: An entry for each worker that is not at work here; of any thread.
        self._idle = deque([None] * array.workers.size)
        self._handing_over = False

    def add(self, fetch: ValueFetch) -> None:
        """Has workers serve `fetch`, together with what else comes in this turn of the loop."""
        self._arrived.append(fetch)
        if not self._handing_over:
            self._handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Has as many workers serve what has come as there is work for.

        While one does already, it takes a little more on by itself: to wake another takes longer.
        """
        self._handing_over = False
        # Of a copy: workers take out of it meanwhile.
        values = sum([len(fetch.held) for fetch in list(self._arrived)])
        for _ in range(-(-values // self._per_worker)):
            if values < self._worth_waking and len(self._idle) < self._workers.size:
                return
            try:
                self._idle.pop()
            except IndexError:
                return
            self._workers.post(self._serve)
            values -= self._per_worker

    def _serve(self) -> None:
        """On a worker: serves what has come, until nothing is left."""
        while True:
            values, left_the_way = self._serve_some()
            served = self.served
            if values and served is not None:
                soon(self._loop, partial(served, values, left_the_way))
            if values >= self._per_worker and self._arrived:
                # Others that wait for a worker come first.
                self._workers.post(self._serve)
                return
            # In this order: what comes after the last look finds nobody at work.
            self._idle.append(None)
            if not self._arrived:
                return
            try:
                self._idle.pop()
            except IndexError:
                return

    def _serve_some(self) -> tuple[int, int]:
        """Serves values that have come; how many, and how many of them had left the way."""
        done = ChunkStatistics()
        values = left_the_way = 0
        with WakingTogether():
            while values < self._per_worker:
                try:
                    fetch = self._arrived.popleft()
                except IndexError:
                    break
                values += len(fetch.held)
                left_the_way += len(fetch.held) if fetch.has_left_the_way else 0
                held = [each for each in fetch.held if each is not None]
                done.add(fetch.counts)
                if isinstance(fetch.item, TileTask):
                    self._server.serve_tile(fetch.item, held, done)
                else:
                    self._server.serve(*fetch.item, held[0], done)
                # What has been served is let go of at once.
                del fetch, held
                yield_gil()
        return values, left_the_way

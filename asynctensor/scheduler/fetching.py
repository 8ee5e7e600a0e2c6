"""How one request is made by a task: timed, counted, and made a second time if it is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from asynctensor.runtime.sources import SOURCES
from asynctensor.scheduler.flow import WATCH, Stopwatch
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.queued_read import span_of
from asynctensor.scheduler.statistics import QueueCounts, scheduler_counters
from asynctensor.storage.kvstore import ReadOptions, ReadResult

#: Makes one request.
Fetch: TypeAlias = Callable[[str, ReadOptions], Coroutine[Any, Any, ReadResult]]
_COUNTERS = scheduler_counters()


class Fetching:
    """Makes requests of one store.

    Args:
        fetch: Makes one.
        counts: What is counted.
        hedging: Decides about second requests; None: there are none.
    """

    def __init__(self, fetch: Fetch, counts: QueueCounts, hedging: Hedging | None) -> None:
        self._fetch = fetch
        self._counts = counts
        self._hedging = hedging

    async def fetched(self, key: str, options: ReadOptions) -> ReadResult:
        """What a request brings; to be run by a task of its own."""
        if self._hedging is not None:
            return await self._hedged(key, options, self._hedging)
        return await self._once(key, options, Stopwatch(SOURCES.monotonic()))

    async def _once(self, key: str, options: ReadOptions, watch: Stopwatch) -> ReadResult:
        """One request, timed."""
        # A task of its own has a context of its own: nobody else sees this.
        WATCH.set(watch)
        self.count_request()
        result = await self._fetch(key, options)
        self.count_bytes(len(result.value))
        return result

    def count_request(self) -> None:
        """Counts one more request."""
        self._counts.requests += 1
        _COUNTERS.requests.value += 1

    def count_bytes(self, size: int) -> None:
        """Counts what it brought."""
        self._counts.bytes_fetched += size
        _COUNTERS.bytes_fetched.value += size

    async def _hedged(self, key: str, options: ReadOptions, hedging: Hedging) -> ReadResult:
        span = span_of(options.byte_range)
        size = None if span is None else span[1] - span[0]
        watch = Stopwatch(SOURCES.monotonic())
        attempts = {asyncio.ensure_future(self._once(key, options, watch))}
        try:
            if await _is_late(attempts, watch, hedging.patience(size)) and hedging.spend():
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
    attempts: set[asyncio.Task[ReadResult]], watch: Stopwatch, patience: float | None
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

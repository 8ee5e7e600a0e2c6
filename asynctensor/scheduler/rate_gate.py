"""The shell around `RateLimiter`: what a request awaits where its store has a rate."""

from __future__ import annotations

import asyncio

from asynctensor.errors import DeadlineExceeded
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.rate_limits import RateLimits
from asynctensor.runtime.sources import SOURCES
from asynctensor.scheduler.fair_queue import FairQueue
from asynctensor.scheduler.flow import FLOW, WATCH
from asynctensor.scheduler.rate import RateLimiter


class RateGate:
    """Lets requests through, so many per second; flows take turns. For one event loop.

    Args:
        limiter: Says when.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._waiting)

    async def turn(self, limit: Deadline = NEVER) -> None:
        """Waits for a permit and takes it.

        Args:
            limit: When to give up.

        Raises:
            DeadlineExceeded: `limit` has passed.

        A cancelled wait leaves the queue.
        """
        watch = WATCH.get()
        if watch is not None:
            watch.queued = True
        now = SOURCES.monotonic()
        if not self._waiting and self._limiter.wait(now) == 0:
            self._limiter.take(now)
            return
        flow, permit = FLOW.get(), self.loop.create_future()
        self._waiting.push(flow, permit)
        self._let_through()
        try:
            async with asyncio.timeout(None if limit.never else limit.remaining()):
                await permit
        except TimeoutError:
            raise DeadlineExceeded(
                "the time was over before the rate limit of the store let the request through"
            ) from None
        finally:
            # One that was let through at the very moment of leaving has used its permit.
            self._waiting.remove(flow, permit)

    def _let_through(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            now = SOURCES.monotonic()
            seconds = self._limiter.wait(now)
            if seconds > 0:
                self._timer = self.loop.call_later(seconds, self._let_through)
                return
            permit = self._waiting.pop()
            if not permit.done():
                self._limiter.take(now)
                permit.set_result(None)


def rate_gate(limits: RateLimits, *, writes: bool) -> RateGate | None:
    """The gate of the running loop for one kind of requests; None: they have no limit."""
    rate = limits.write_rate if writes else limits.read_rate
    if rate is None:
        return None
    found = limits.slots.get(writes)
    if not isinstance(found, RateGate) or found.loop is not asyncio.get_running_loop():
        limiter = RateLimiter(rate, limits.doubling_time, SOURCES.monotonic())
        found = limits.slots[writes] = RateGate(limiter)
    return found

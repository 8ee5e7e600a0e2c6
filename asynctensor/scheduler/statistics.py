"""What the scheduler did for the reads of a store: counts, and a record of them."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.runtime.counters import Counter, counter


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What the reads of a store came to, by all in this process who read it in the same way.

    Attributes:
        reads: Reads asked for.
        requests: Requests made for them, hedges included.
        shared: Reads that waited for a request that was under way for another.
        hedges: Requests made a second time because the first was late.
        bytes_asked: Bytes of the answers given.
        bytes_fetched: Bytes that requests brought.
        under_way: Requests that are under way now.
        patience: Seconds after which a read of 64 KiB is late; None: nobody has measured it.
    """

    reads: int = 0
    requests: int = 0
    shared: int = 0
    hedges: int = 0
    bytes_asked: int = 0
    bytes_fetched: int = 0
    under_way: int = 0
    patience: float | None = None


@dataclass(slots=True)
class QueueCounts:
    """The counts of `QueueStatistics`, as they grow."""

    reads: int = 0
    requests: int = 0
    shared: int = 0
    hedges: int = 0
    bytes_asked: int = 0
    bytes_fetched: int = 0


@dataclass(frozen=True, slots=True)
class SchedulerCounters:
    """The same of all stores of the process, as metrics."""

    reads: Counter
    requests: Counter
    shared: Counter
    hedges: Counter
    bytes_asked: Counter
    bytes_fetched: Counter


def scheduler_counters() -> SchedulerCounters:
    """The counters, made when first asked for."""

    def named(name: str, text: str, unit: str = "") -> Counter:
        return counter(f"/asynctensor/scheduler/{name}", f"scheduler: {text}", unit)

    return SchedulerCounters(
        reads=named("reads", "reads asked for"),
        requests=named("requests", "requests made for them"),
        shared=named("shared", "reads that waited for a request made for another"),
        hedges=named("hedges", "requests made a second time because the first was late"),
        bytes_asked=named("bytes_asked", "bytes of the answers given", "bytes"),
        bytes_fetched=named("bytes_fetched", "bytes that requests brought", "bytes"),
    )

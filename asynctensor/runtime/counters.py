"""Counters of the process: what was done since it began, by TensorStore's metric names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from asynctensor.runtime.process import PROCESS


class Counter:
    """A number that only grows.

    Add to `value` directly: that is one step for the interpreter (it switches threads at calls and
    jumps), so no count is lost, and none costs more than an addition.

    Attributes:
        name: Its name, such as ``"/tensorstore/kvstore/file/read"``.
        text: What is counted, in a few words.
        unit: Of the number; empty if things are counted.
        value: The number.
    """

    __slots__ = ("name", "text", "unit", "value")

    def __init__(self, name: str, text: str, unit: str = "") -> None:
        self.name, self.text, self.unit = name, text, unit
        self.value = 0

    def __repr__(self) -> str:
        return f"Counter({self.name!r}, value={self.value})"


def counter(name: str, text: str, unit: str = "") -> Counter:
    """The process's counter of that name, made when first asked for."""
    found: Counter | None = PROCESS.counters.get(name)
    if found is not None:
        return found
    with PROCESS.lock:
        made: Counter = PROCESS.counters.setdefault(name, Counter(name, text, unit))
        told = list(PROCESS.counter_listeners)
    for each in told:
        each(made)
    return made


def each_counter(function: Callable[[Counter], object]) -> None:
    """Calls a function with each counter that there is, and with each that is made later.

    It must cost nothing to speak of, and may be called twice for one that is made meanwhile.
    """
    with PROCESS.lock:
        PROCESS.counter_listeners.append(function)
    for each in counters():
        function(each)


def counters(prefix: str = "") -> Iterator[Counter]:
    """The counters whose names begin with `prefix`, by name."""
    for name in sorted(PROCESS.counters):
        if name.startswith(prefix):
            yield PROCESS.counters[name]


@dataclass(frozen=True, slots=True)
class StoreCounters:
    """What the stores of one kind have done.

    Attributes:
        read: Values looked for, found or not.
        bytes_read: Bytes of values that were read.
        write: Values written or deleted one by one.
        bytes_written: Bytes of values that were written.
        delete_range: Ranges of keys deleted.
        list: Listings begun.
    """

    read: Counter
    bytes_read: Counter
    write: Counter
    bytes_written: Counter
    delete_range: Counter
    list: Counter

    def add_group(self, values: Sequence[object]) -> None:
        """Counts values looked for together: bytes where one was read, else something else."""
        sizes = [len(v) for v in values if isinstance(v, bytes | memoryview)]
        self.read.value += len(sizes) + values.count(None)
        self.bytes_read.value += sum(sizes)


def store_counters(driver: str) -> StoreCounters:
    """The counters of the kvstores called `driver`."""

    def named(name: str, text: str, unit: str = "") -> Counter:
        return counter(f"/tensorstore/kvstore/{driver}/{name}", f"{driver} kvstore: {text}", unit)

    return StoreCounters(
        read=named("read", "values looked for"),
        bytes_read=named("bytes_read", "bytes of values read", "bytes"),
        write=named("write", "values written or deleted"),
        bytes_written=named("bytes_written", "bytes of values written", "bytes"),
        delete_range=named("delete_range", "ranges of keys deleted"),
        list=named("list", "listings begun"),
    )


@dataclass(frozen=True, slots=True)
class ChunkCounters:
    """What the chunk engine has done.

    Attributes:
        reads: Chunks asked for by reads.
        writes: Chunks encoded by writes.
        hits: Chunks that came decoded from a cache.
        misses: Chunks that had to be decoded.
        evictions: Chunks dropped from a cache to make room.
    """

    reads: Counter
    writes: Counter
    hits: Counter
    misses: Counter
    evictions: Counter


def chunk_counters() -> ChunkCounters:
    """The counters of the chunk engine and its caches."""

    def named(name: str, text: str) -> Counter:
        return counter(f"/tensorstore/cache/{name}", f"chunk cache: {text}")

    return ChunkCounters(
        reads=named("chunk_cache/reads", "chunks asked for by reads"),
        writes=named("chunk_cache/writes", "chunks encoded by writes"),
        hits=named("hit_count", "chunks that were in the cache"),
        misses=named("miss_count", "chunks that had to be decoded"),
        evictions=named("evict_count", "chunks dropped to make room"),
    )

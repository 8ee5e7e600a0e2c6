"""Decoded chunks, kept up to a number of bytes, shared by all arrays of one ``cache_pool``.

Entries are dropped least recently used first; chunks before the indexes of shards, as long as these
take little: an index is small, and without it each of its chunks takes one more request. An entry
is immutable once it is in; whoever wants another content puts another entry.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from asynctensor.chunked.codec import Array
from asynctensor.runtime.counters import chunk_counters
from asynctensor.runtime.process import PROCESS

A = TypeVar("A")
#: (array, grid position, number of the inner chunk, 0 without shards, below 0 of an index)
CacheKey: TypeAlias = tuple[Hashable, tuple[int, ...], int]

#: What an entry costs beside its elements; keeps a cache of empty chunks bounded too.
_OVERHEAD = 512
#: The part of the limit that indexes have to themselves; one that is larger is kept like a chunk.
_FOR_INDEXES = 1 / 8
#: Elements of object arrays that may be shared between readers.
_IMMUTABLE = (str, bytes, int, float, bool, type(None))


class CachedChunk:
    """One decoded chunk, as of one generation of the stored value.

    Attributes:
        array: The elements, read-only; None where nothing is stored (all fill value).
        generation: Of the stored value it was decoded from.
        time: When that was last known to be the newest (Unix seconds).
        nbytes: What it takes of the cache's limit.
    """

    __slots__ = ("array", "generation", "nbytes", "time")

    def __init__(self, array: Array | None, generation: bytes, time: float) -> None:
        if array is not None:
            array.flags.writeable = False
        self.array = array
        self.generation = generation
        self.time = time
        self.nbytes = _OVERHEAD + (0 if array is None else _array_bytes(array))


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache holds: entries, and bytes out of `limit_bytes`."""

    entries: int
    bytes: int
    limit_bytes: int


class ChunkCache:
    """A thread-safe cache of chunks. A limit of 0 keeps nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._chunks: OrderedDict[CacheKey, CachedChunk] = OrderedDict()
        self._indexes: OrderedDict[CacheKey, CachedChunk] = OrderedDict()
        self._bytes = self._index_bytes = 0
        self._evictions = chunk_counters().evictions
        self._lock = threading.Lock()
        self._shared_lock = threading.RLock()
        PROCESS.survives(self)
        self._arrays: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()

    def after_fork(self) -> None:
        """See `AfterFork`."""
        self._lock = threading.Lock()
        self._shared_lock = threading.RLock()

    def get(self, key: CacheKey) -> CachedChunk | None:
        """The entry of `key`, which becomes the most recently used."""
        entry = self.peek(key)
        if entry is not None:
            with self._lock:
                entries = self._holding(key)
                if key in entries:
                    entries.move_to_end(key)
        return entry

    def peek(self, key: CacheKey) -> CachedChunk | None:
        """The entry of `key`, as if nobody had asked."""
        return self._holding(key).get(key)

    def _holding(self, key: CacheKey) -> OrderedDict[CacheKey, CachedChunk]:
        return self._indexes if key[2] < 0 and key in self._indexes else self._chunks

    def put(
        self, key: CacheKey, entry: CachedChunk, valid: Callable[[], bool] | None = None
    ) -> None:
        """Keeps `entry`, unless a newer one is there or it alone is above the limit.

        `valid` is asked under the lock that `discard` takes: who first makes it false and then
        discards the key never leaves an outdated entry behind.
        """
        size = entry.nbytes
        if size > self.limit_bytes:
            return
        for_indexes = int(_FOR_INDEXES * self.limit_bytes)
        with self._lock:
            if valid is not None and not valid():
                return
            old = self.peek(key)
            if old is not None:
                if old.time > entry.time:
                    return
                self._drop(key)
            if key[2] < 0 and size <= for_indexes:
                self._indexes[key] = entry
                self._index_bytes += size
            else:
                self._chunks[key] = entry
            self._bytes += size
            while self._bytes > self.limit_bytes:
                over = self._indexes if self._index_bytes > for_indexes else self._chunks
                self._drop(next(iter(over)))
                self._evictions.value += 1

    def _drop(self, key: CacheKey) -> None:
        entries = self._holding(key)
        entry = entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.nbytes
            if entries is self._indexes:
                self._index_bytes -= entry.nbytes

    def discard(self, key: CacheKey) -> None:
        """Forgets `key`."""
        with self._lock:
            self._drop(key)

    def shared(self, key: Hashable, make: Callable[[], A]) -> A:
        """What is known by `key` in this pool, as long as somebody holds it; else a new one.

        So handles opened separately share chunks, and see each other's writes and new shapes.
        """
        with self._shared_lock:
            known: A | None = self._arrays.get(key)
            if known is None:
                known = make()
                self._arrays[key] = known
            return known

    def statistics(self) -> CacheStatistics:
        """What is held now."""
        entries = len(self._chunks) + len(self._indexes)
        return CacheStatistics(entries, self._bytes, self.limit_bytes)


def _array_bytes(array: Array) -> int:
    """Memory that an array takes, without bound if somebody could change its elements."""
    if not array.dtype.hasobject:
        return array.nbytes
    elements = array.reshape(-1).tolist()
    if not all([type(element) in _IMMUTABLE for element in elements]):
        # The reader of one copy would change what the others read.
        return sys.maxsize // 2
    return array.nbytes + sum([sys.getsizeof(element) for element in elements])

"""Decoded chunks, kept up to a number of bytes, shared by all arrays of one ``cache_pool``.

Entries are dropped least recently used first. An entry is immutable once it is in; whoever wants
another content puts another entry.
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
#: (array, grid position, number of the inner chunk, 0 without shards)
CacheKey: TypeAlias = tuple[Hashable, tuple[int, ...], int]

#: What an entry costs beside its elements; keeps a cache of empty chunks bounded too.
_OVERHEAD = 512
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
        self._entries: OrderedDict[CacheKey, CachedChunk] = OrderedDict()
        self._bytes = 0
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
        entry = self._entries.get(key)
        if entry is not None:
            with self._lock:
                if key in self._entries:
                    self._entries.move_to_end(key)
        return entry

    def peek(self, key: CacheKey) -> CachedChunk | None:
        """The entry of `key`, as if nobody had asked."""
        return self._entries.get(key)

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
        with self._lock:
            if valid is not None and not valid():
                return
            old = self._entries.get(key)
            if old is not None:
                if old.time > entry.time:
                    return
                self._bytes -= old.nbytes
            self._entries[key] = entry
            self._entries.move_to_end(key)
            self._bytes += size
            while self._bytes > self.limit_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.nbytes
                self._evictions.value += 1

    def discard(self, key: CacheKey) -> None:
        """Forgets `key`."""
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._bytes -= old.nbytes

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
        return CacheStatistics(len(self._entries), self._bytes, self.limit_bytes)


def _array_bytes(array: Array) -> int:
    """Memory that an array takes, without bound if somebody could change its elements."""
    if not array.dtype.hasobject:
        return array.nbytes
    elements = array.reshape(-1).tolist()
    if not all([type(element) in _IMMUTABLE for element in elements]):
        # The reader of one copy would change what the others read.
        return sys.maxsize // 2
    return array.nbytes + sum([sys.getsizeof(element) for element in elements])

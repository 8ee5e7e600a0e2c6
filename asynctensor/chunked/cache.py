"""Decoded chunks, kept up to a number of bytes, shared by all arrays of one ``cache_pool``.

Entries are dropped least recently used first. An entry is immutable once it is in; whoever wants
another content puts another entry.
"""

from __future__ import annotations

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


class CachedChunk:
    """One decoded chunk, as of one generation of the stored value.

    Attributes:
        array: The elements, read-only; None where nothing is stored (all fill value).
        generation: Of the stored value it was decoded from.
        time: When that was last known to be the newest (Unix seconds).
    """

    __slots__ = ("array", "generation", "time")

    def __init__(self, array: Array | None, generation: bytes, time: float) -> None:
        if array is not None:
            array.flags.writeable = False
        self.array = array
        self.generation = generation
        self.time = time


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

    def put(
        self, key: CacheKey, entry: CachedChunk, valid: Callable[[], bool] | None = None
    ) -> None:
        """Keeps `entry`, unless a newer one is there or it alone is above the limit.

        `valid` is asked under the lock that `discard` takes: who first makes it false and then
        discards the key never leaves an outdated entry behind.
        """
        size = _size(entry)
        if size > self.limit_bytes:
            return
        with self._lock:
            if valid is not None and not valid():
                return
            old = self._entries.get(key)
            if old is not None:
                if old.time > entry.time:
                    return
                self._bytes -= _size(old)
            self._entries[key] = entry
            self._entries.move_to_end(key)
            self._bytes += size
            while self._bytes > self.limit_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= _size(dropped)
                self._evictions.value += 1

    def discard(self, key: CacheKey) -> None:
        """Forgets `key`."""
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._bytes -= _size(old)

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


def _size(entry: CachedChunk) -> int:
    return _OVERHEAD + (entry.array.nbytes if entry.array is not None else 0)

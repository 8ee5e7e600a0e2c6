"""One virtual array: what readers and writers of its chunks share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from asynctensor.chunked.array import ChunkStatistics, ChunkVersions
from asynctensor.chunked.cache import CachedChunk, ChunkCache
from asynctensor.chunked.codec import Array
from asynctensor.chunked.virtual_functions import (
    VirtualChunkedReadParameters,
    VirtualFunctions,
)
from asynctensor.drivers.virtual_chunked.layout import VirtualLayout
from asynctensor.errors import InvalidArgument
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration

W = TypeVar("W")
#: Data up to this size is copied where it is, more by a worker.
INLINE_BYTES = 256 * 1024


class VirtualArray:
    """Functions, layout, cache and workers of one virtual array.

    Attributes:
        functions: What serves its chunks.
        layout: Where they begin and end.
        cache: The pool's cache.
        workers: Threads that plan and copy.
        versions: Names the array in the cache.
        statistics: What it has done; changed on the I/O loop only.
    """

    def __init__(
        self,
        functions: VirtualFunctions,
        layout: VirtualLayout,
        cache: ChunkCache,
        workers: WorkerPool,
    ) -> None:
        self.functions, self.layout = functions, layout
        self.cache, self.workers = cache, workers
        self.versions = ChunkVersions()
        self.statistics = ChunkStatistics()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._writer: Any = None
        self._works_on: object = None
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: what the parent does is not ours."""
        self._tasks = set()
        self._lock = threading.Lock()
        self._writer = None

    def shared_writer(self, make: Callable[[], W], works_on: object) -> W:
        """The array's one writer.

        Args:
            make: Makes it.
            works_on: What does its work. Once that has ended, what it had begun may never end, and
                there is another one.
        """
        with self._lock:
            if self._writer is None or self._works_on != works_on:
                self._writer, self._works_on = make(), works_on
            writer: W = self._writer
            return writer

    def keep_task(self, task: asyncio.Task[None]) -> None:
        """Holds on to `task` until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def read(self, index: tuple[int, ...], bound: float) -> CachedChunk:
        """A chunk that was current at `bound` or later: from the cache, else from the function.

        The array of the result is read-only.

        Raises:
            InvalidArgument: There is no read function.
            Exception: What the function raises.
        """
        entry = self.cache.get((self.versions, index, 0)) if self.cache.limit_bytes else None
        if entry is not None and entry.time >= bound:
            self.statistics.cache_hits += 1
            return entry
        function = self.functions.read
        if function is None:
            raise InvalidArgument("Write-only virtual chunked view requires chunk-aligned writes")
        epoch = self.versions.epoch(index)
        known = UNKNOWN if entry is None else entry.generation
        chunk = self.layout.new_chunk(index)
        self.statistics.chunks_decoded += 1
        stamp = await self.functions.call(
            function,
            self.layout.cell_domain(index),
            chunk,
            VirtualChunkedReadParameters(known, bound),
        )
        if stamp is None:
            stamp = TimestampedStorageGeneration(UNKNOWN, float("inf"))
        elif entry is not None and known != UNKNOWN and stamp.generation in (UNKNOWN, known):
            # Not changed; when that was is all that is new.
            entry.time = max(entry.time, stamp.time)
            return entry
        found = CachedChunk(chunk, stamp.generation, stamp.time)
        self.keep(index, found, epoch)
        return found

    def keep(self, index: tuple[int, ...], entry: CachedChunk, epoch: int) -> None:
        """Caches a chunk, unless it was written since `epoch`, or never was of any version."""
        if self.cache.limit_bytes and (entry.generation != UNKNOWN or entry.time == float("inf")):
            key = (self.versions, index, 0)
            self.cache.put(key, entry, lambda: self.versions.epoch(index) == epoch)

    def written(self, index: tuple[int, ...], entry: CachedChunk | None) -> None:
        """Says that a chunk was written, and what it is now if that is known."""
        self.versions.advance(index)
        if self.cache.limit_bytes:
            self.cache.discard((self.versions, index, 0))
            if entry is not None:
                self.keep(index, entry, self.versions.epoch(index))


def now() -> float:
    """What a read that must not be served from older content is bound to."""
    return SYSTEM_CLOCK.time()


def copy_of(array: VirtualArray, index: tuple[int, ...], chunk: Array) -> Array:
    """A chunk that may be changed, in the same memory order."""
    mine = array.layout.new_chunk(index)
    mine[...] = chunk
    return mine

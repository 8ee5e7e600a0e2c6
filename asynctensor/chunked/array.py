"""One opened chunked array: what readers and writers of its chunks share."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.scratch import Scratch, new_output
from asynctensor.chunked.shard_index import every_number
from asynctensor.runtime.counters import chunk_counters
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.kvstore import KeyValueStore

W = TypeVar("W")
#: Number of counters that tell a reader whether a chunk was written meanwhile. Cells share them
#: by hash; a collision only keeps a chunk out of the cache.
_EPOCHS = 1024


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """What a spec says about reading and writing chunks; names and defaults are TensorStore's.

    Attributes:
        fill_missing_data_reads: Whether a missing chunk reads as fill values, not as an error.
        store_data_equal_to_fill_value: Whether chunks of nothing but fill values are stored.
    """

    fill_missing_data_reads: bool = True
    store_data_equal_to_fill_value: bool = False


@dataclass(slots=True)
class ChunkStatistics:
    """What an array has done since it was opened.

    Attributes:
        reads: Read operations that were served.
        chunks_decoded: Chunks (inner chunks, where there are shards) decoded.
        cache_hits: Chunks that came decoded from the cache.
        store_reads: Values, or parts of values, read from the store.
        bytes_read: Bytes they had.
        chunks_encoded: Chunks encoded.
        store_writes: Values written or deleted.
        bytes_written: Bytes they had.
        conflicts: Writes begun again because somebody else had changed the chunk meanwhile.
    """

    reads: int = 0
    chunks_decoded: int = 0
    cache_hits: int = 0
    store_reads: int = 0
    bytes_read: int = 0
    chunks_encoded: int = 0
    store_writes: int = 0
    bytes_written: int = 0
    conflicts: int = 0

    def add(self, other: ChunkStatistics) -> None:
        """Adds the counts of `other`."""
        for name in self.__slots__:
            count = getattr(other, name)
            if count:
                setattr(self, name, getattr(self, name) + count)

    def clear(self) -> None:
        """Sets all counts to 0."""
        for name in self.__slots__:
            setattr(self, name, 0)


class ChunkVersions:
    """Names an array in a cache, and tells whether its chunks were written meanwhile.

    Shared by all who read and write one array through one pool.
    """

    def __init__(self) -> None:
        self._epochs = [0] * _EPOCHS

    def epoch(self, cell: tuple[int, ...]) -> int:
        """Changes whenever the chunk at `cell` is written through this pool."""
        return self._epochs[hash(cell) % _EPOCHS]

    def advance(self, cell: tuple[int, ...]) -> None:
        """Says that the chunk at `cell` has been written.

        Two threads that do so at once may count once: either way it changes.
        """
        self._epochs[hash(cell) % _EPOCHS] += 1


def _no_form() -> None:
    return None


class ChunkedArray:
    """Layout, store, cache and pools of one array.

    Attributes:
        store: Where its values are.
        path: What stands before each of its keys, ending with ``/`` or empty.
        layout: Where its elements are; replaced as a whole when it is resized.
        options: What the spec says about chunks.
        cache: The pool's cache.
        workers: Threads that decode, encode and copy.
        io_workers: Threads that may wait for local storage.
        url: Names the array in errors.
        base: In a transaction, the array outside of it.
        identity: Names the array in the cache.
    """

    def __init__(
        self,
        store: KeyValueStore,
        path: str,
        layout: ArrayLayout,
        options: ChunkOptions,
        cache: ChunkCache,
        workers: WorkerPool,
        io_workers: WorkerPool,
        url: str,
        versions: ChunkVersions | None = None,
        base: ChunkedArray | None = None,
    ) -> None:
        self.store, self.path, self.layout, self.options = store, path, layout, options
        self.cache, self.workers, self.io_workers = cache, workers, io_workers
        self.url = url
        self.base = base
        self.identity = ChunkVersions() if versions is None else versions
        self.scratch = Scratch()
        self.chunk_bytes = math.prod(layout.chunk_shape) * layout.dtype.itemsize
        #: By which stored values are judged too large.
        self.form_bytes = max(self.chunk_bytes, layout.largest_form)
        self._statistics = ChunkStatistics()
        self._counters = chunk_counters()
        self._lock = threading.Lock()
        self._writer: Any = None
        self._works_on: object = None
        #: Tells other processes how to take chunks apart; see `array_form`.
        self.form: Callable[[], bytes | None] = _no_form
        PROCESS.survives(self)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Seconds that the quickest value took to come from a store that is not local; 0: none has.
        self.quickest_fetch = 0.0
        #: Values that the latest large read of such a store had under way at its end; 0: none has.
        self.latest_window = 0

    def key(self, cell: tuple[int, ...]) -> str:
        """The key in the store of the chunk at `cell`."""
        return self.path + self.layout.keys.key(cell)

    def chunk_buffer(self, codec: ArrayCodec) -> Array:
        """Where to decode one chunk to: fresh memory if it will be cached, else the thread's."""
        if self.cache.limit_bytes:
            return new_output(codec.shape, codec.dtype)
        return self.scratch.decoded(codec.shape, codec.dtype)

    def after_fork(self) -> None:
        """See `AfterFork`: what the parent is writing is not ours."""
        self._lock = threading.Lock()
        self._writer = None
        self._tasks = set()

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
        """Holds on to `task` until it is done; an event loop only knows its tasks weakly."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def epoch(self, cell: tuple[int, ...]) -> int:
        """Changes whenever the chunk at `cell` is written through this pool."""
        return self.identity.epoch(cell)

    def forget(self, cell: tuple[int, ...], inner: Iterable[int] | None = None) -> None:
        """Says that a chunk was written: what is cached of it (all, or `inner`) is outdated."""
        self.identity.advance(cell)
        if not self.cache.limit_bytes:
            return
        if inner is None:
            shard = self.layout.shard
            inner = (0,) if shard is None else every_number(shard)
        for k in inner:
            self.cache.discard((self.identity, cell, k))

    def count(self, done: ChunkStatistics) -> None:
        """Moves the counts of `done` into the statistics.

        Before those who asked are told, so that they find their work counted.
        """
        with self._lock:
            self._statistics.add(done)
        counted = self._counters
        counted.hits.value += done.cache_hits
        counted.misses.value += done.chunks_decoded
        counted.reads.value += done.cache_hits + done.chunks_decoded
        counted.writes.value += done.chunks_encoded
        done.clear()

    def count_cached_read(self, chunks: int) -> None:
        """Adds one read served from `chunks` cached chunks."""
        with self._lock:
            self._statistics.reads += 1
            self._statistics.cache_hits += chunks
        self._counters.reads.value += chunks
        self._counters.hits.value += chunks

    def statistics(self) -> ChunkStatistics:
        """A copy of the counts so far."""
        copy = ChunkStatistics()
        with self._lock:
            copy.add(self._statistics)
        return copy

"""Reading: chunks are fetched, decoded and copied out by worker threads, in groups.

Requests made in one turn of the caller's loop are planned together: each chunk is decoded once,
whoever wants a part of it. A request for many chunks is a stream: a worker takes the next group
from it, puts it back behind the others, and serves the group. So planning never runs ahead of
reading, memory is bounded by the number of workers, and a huge read does not hold up a small one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import (
    GROUP_BYTES,
    GROUP_CELLS,
    Stream,
    Task,
    TileTask,
    ViewRequest,
    tiled_streams,
)
from asynctensor.chunked.request import hand_over
from asynctensor.chunked.serve import ChunkServer
from asynctensor.chunked.shard_read import inner_cells, inner_count
from asynctensor.chunked.tiles import tile_limit
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.inbox import WakingTogether
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.workers import yield_gil

#: A read of at most so many bytes, all cached, is done before its future is returned.
_INLINE_BYTES = 256 * 1024
#: A read of at most so many chunks may be: each costs the caller's loop some microseconds.
_INLINE_CELLS = 8
#: So many reads of so many chunks are planned on the I/O loop: sooner than a worker is woken.
_LITTLE_REQUESTS, _LITTLE_CELLS = 8, 64
#: Inner chunks that these may have at most, and bytes: copying so many takes about 0.1 ms.
_LITTLE_INNER, _LITTLE_BYTES = 64, 2**20


class Reader:
    """Serves the read requests of one array."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        self._face = array.store.blocking
        self._server = ChunkServer(array)
        self._collector = TurnCollector[ViewRequest](self.deliver)
        self._group_cells = max(1, min(GROUP_CELLS, GROUP_BYTES // max(1, array.chunk_bytes)))

    def submit(self, request: ViewRequest) -> None:
        """Serves `request`, together with what else is asked for in this turn."""
        self._collector.add(request)

    def read_cached(self, partition: Partition, data: Array, bound: float) -> bool:
        """Fills `data` from the cache alone, on the calling thread, if that costs little.

        Returns:
            False, with `data` untouched, if the read is not small, or the cache lacks a chunk or
            must wait for the store to tell whether it is newer than `bound`.
        """
        array = self._array
        if data.nbytes > _INLINE_BYTES or partition.count > _INLINE_CELLS:
            return False
        found: list[tuple[Array | None, Partition, Cell]] = []
        versions: dict[tuple[int, ...], bytes] = {}
        looked: dict[tuple[int, ...], bytes | None] = {}
        for cell in partition.cells():
            index = partition.index(cell)
            for inner, finer, part in self._inner_cells(partition, cell):
                entry = array.cache.get((array.identity, index, inner))
                if entry is None or len(found) == _INLINE_CELLS:
                    return False
                if entry.time < bound and not self._is_current(index, entry, looked):
                    return False
                if versions.setdefault(index, entry.generation) != entry.generation:
                    return False
                if entry.array is None and not array.options.fill_missing_data_reads:
                    return False
                found.append((entry.array, finer, part))
        for chunk, finer, part in found:
            if chunk is None:
                finer.fill(array.layout.fill_chunk, data, part)
            else:
                finer.gather(chunk, data, part)
        array.count_cached_read(len(found))
        return True

    def _is_current(
        self,
        index: tuple[int, ...],
        entry: CachedChunk,
        looked: dict[tuple[int, ...], bytes | None],
    ) -> bool:
        """Whether an entry is of the value that is stored now; False if that takes waiting."""
        if self._face is None:
            return False
        if index not in looked:
            now = SYSTEM_CLOCK.time()
            looked[index] = self._face.glance(self._array.key(index))
            if looked[index] == entry.generation:
                entry.time = now
        return looked[index] == entry.generation

    def _inner_cells(
        self, partition: Partition, cell: Cell
    ) -> Iterator[tuple[int, Partition, Cell]]:
        shard = self._array.layout.shard
        if shard is None:
            yield 0, partition, cell
            return
        yield from inner_cells(shard, partition, cell)

    def deliver(self, requests: list[ViewRequest]) -> None:
        """Serves requests that came together."""
        self._array.count(ChunkStatistics(reads=len(requests)))
        for stream in tiled_streams(requests, self._group_cells, self._tile_cells()):
            if self._face is None:
                hand_over(stream.requests, self._start_remote, stream)
            else:
                self._array.workers.post(self._pull, stream)

    def _tile_cells(self) -> int:
        """How many chunks, each a value of its own, are read together."""
        array = self._array
        # What is cached is decoded to memory of its own, and parts of shards are found one by one.
        if array.cache.limit_bytes or array.layout.shard is not None:
            return 1
        return tile_limit(array.chunk_bytes)

    # -- on worker threads ------------------------------------------------------------------

    def _pull(self, stream: Stream[Task | TileTask]) -> None:
        work = stream.take()
        if work is None:
            return
        if not stream.exhausted:
            self._array.workers.post(self._pull, stream)
        done = ChunkStatistics()
        with WakingTogether():
            for item in work:
                if isinstance(item, TileTask):
                    self._server.serve_tile(item, None, done)
                else:
                    self._server.serve(*item, None, done)
                yield_gil()

    # -- on the I/O loop, for stores without a blocking face --------------------------------

    def _start_remote(self, stream: Stream[Task | TileTask]) -> None:
        # Local stores do without it.
        from asynctensor.chunked.remote_read import RemoteStream

        array = self._array
        work = RemoteStream(array, self._server, stream)
        if stream.is_small and self._are_little(stream.requests, work.room):
            work.begin_all()
        else:
            array.keep_task(asyncio.ensure_future(work.run()))

    def _are_little(self, requests: Sequence[ViewRequest], most: int) -> bool:
        """Whether planning these costs next to nothing, and they are `most` chunks at most.

        All of them are to be fetched.
        """
        shard = self._array.layout.shard
        if (
            len(requests) > _LITTLE_REQUESTS
            or sum([request.partition.count for request in requests]) > min(_LITTLE_CELLS, most)
            or sum([request.data.nbytes for request in requests]) > _LITTLE_BYTES
        ):
            return False
        inner = 0
        for request in requests:
            partition = request.partition
            for cell in partition.cells():
                inner += 1 if shard is None else inner_count(shard, partition, cell)
                # What is cached is copied out by a worker, which then calls whom it may concern.
                if inner > _LITTLE_INNER or self._server.has(
                    partition.index(cell), [(request, partition, cell)]
                ):
                    return False
        return True

"""Reading: chunks are fetched, decoded and copied out by worker threads, in groups.

Requests made in one turn of the caller's loop are planned together: each chunk is decoded once,
whoever wants a part of it. A request for many chunks is a stream: a worker takes the next group
from it, puts it back behind the others, and serves the group. So planning never runs ahead of
reading, memory is bounded by the number of workers, and a huge read does not hold up a small one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import (
    GROUP_BYTES,
    GROUP_CELLS,
    Stream,
    Target,
    ViewRequest,
    streams,
)
from asynctensor.chunked.shard_fetch import fetch
from asynctensor.chunked.shard_read import inner_chunks, inner_parts
from asynctensor.chunked.values import HeldValue, check_size, decode_whole
from asynctensor.errors import Error, NotFound
from asynctensor.runtime.event_loop import io_loop
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import OpenValue

#: A read of at most so many bytes, all cached, is done before its future is returned.
_INLINE_BYTES = 256 * 1024
#: A read of at most so many chunks may be: each costs the caller's loop some microseconds.
_INLINE_CELLS = 8
#: Store requests that one stream has under way on a store without a blocking face.
_ASYNC_REQUESTS = 32


class Reader:
    """Serves the read requests of one array."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        self._face = array.store.blocking
        self._collector = TurnCollector[ViewRequest](self.deliver)
        self._group_cells = max(1, min(GROUP_CELLS, GROUP_BYTES // max(1, array.chunk_bytes)))
        if self._face is None:
            self._group_cells = 1

    def submit(self, request: ViewRequest) -> None:
        """Serves `request`, together with what else is asked for in this turn."""
        self._collector.add(request)

    def read_cached(self, partition: Partition, data: Array, bound: float) -> bool:
        """Fills `data` from the cache alone, on the calling thread, if that costs little.

        Returns:
            False, with `data` untouched, if the read is not small, or the cache lacks a chunk or
            must look at the store to tell whether it is newer than `bound`.
        """
        array = self._array
        if data.nbytes > _INLINE_BYTES or partition.count > _INLINE_CELLS:
            return False
        found: list[tuple[Array | None, Partition, Cell]] = []
        for cell in partition.cells():
            index = partition.index(cell)
            for inner, finer, part in self._inner_cells(partition, cell):
                entry = array.cache.get((array.identity, index, inner))
                if entry is None or entry.time < bound or len(found) == _INLINE_CELLS:
                    return False
                if entry.array is None and not array.options.fill_missing_data_reads:
                    return False
                found.append((entry.array, finer, part))
        for chunk, finer, part in found:
            if chunk is None:
                finer.fill(array.layout.fill_value, data, part)
            else:
                finer.gather(chunk, data, part)
        array.count_cached_read(len(found))
        return True

    def _inner_cells(
        self, partition: Partition, cell: Cell
    ) -> Iterator[tuple[int, Partition, Cell]]:
        shard = self._array.layout.shard
        if shard is None:
            yield 0, partition, cell
            return
        for inner, targets in inner_parts(shard, [(None, partition, cell)]).items():
            for _, finer, part in targets:
                yield inner, finer, part

    def _parts(self, targets: list[Target]) -> dict[int, list[Target]]:
        """Targets by inner chunk; where there are no shards, a chunk is its own inner chunk 0."""
        shard = self._array.layout.shard
        return {0: targets} if shard is None else inner_parts(shard, targets)

    def deliver(self, requests: list[ViewRequest]) -> None:
        """Serves requests that came together."""
        self._array.count(ChunkStatistics(reads=len(requests)))
        for stream in streams(requests, self._group_cells):
            if self._face is not None:
                self._array.workers.post(self._pull, stream)
            else:
                io_loop().call_soon_threadsafe(self._start_async, stream)

    # -- on worker threads ------------------------------------------------------------------

    def _pull(self, stream: Stream) -> None:
        tasks = stream.take()
        if tasks is None:
            return
        self._array.workers.post(self._pull, stream)
        done = ChunkStatistics()
        for index, targets in tasks:
            self._serve(index, targets, None, done)
            yield_gil()
        self._array.count(done)

    def _serve(
        self,
        index: tuple[int, ...],
        targets: list[Target],
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        """Serves `targets` from the chunk at `index`; `held` is its value if it was fetched."""
        live = [t for t in targets if not t[0].stopped]
        try:
            if live:
                parts = self._parts(live)
                self._from_cache(index, parts, done)
                if parts:
                    self._from_store(index, parts, held, done)
        except Exception as error:  # noqa: BLE001
            if isinstance(error, Error):
                key = self._array.key(index)
                error.located(array=self._array.url, key=key, operation="read")
            for request, _, _ in live:
                request.fail(error)
        for request, _, _ in targets:
            request.finish()

    def _from_cache(
        self, index: tuple[int, ...], parts: dict[int, list[Target]], done: ChunkStatistics
    ) -> None:
        """Serves what the cache has, and takes it out of `parts`."""
        array = self._array
        if not array.cache.limit_bytes:
            return
        current: bytes | None = None
        now = time.time()
        for inner, targets in list(parts.items()):
            entry = array.cache.get((array.identity, index, inner))
            if entry is None:
                continue
            if entry.time < max([t[0].bound for t in targets]):
                if self._face is None:
                    continue
                if current is None:
                    current = self._face.generation(array.key(index))
                if current != entry.generation:
                    continue
                entry.time = now
            self._copy_out(entry.array, targets)
            done.cache_hits += 1
            del parts[inner]

    def _from_store(
        self,
        index: tuple[int, ...],
        parts: dict[int, list[Target]],
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        array = self._array
        epoch, now = array.epoch(index), time.time()
        value: OpenValue | None = held
        if self._face is not None:
            value = self._face.open(array.key(index))
        elif held is not None:
            now = held.time
        if value is None or value.generation == NO_VALUE:
            for inner, targets in parts.items():
                self._copy_out(None, targets)
                self._keep(index, inner, None, NO_VALUE, now, epoch)
            return
        generation = value.generation
        try:
            for inner, chunk, in_place in self._decoded(index, value, parts, done):
                done.chunks_decoded += chunk is not None
                if not in_place:
                    self._copy_out(chunk, parts[inner])
                self._keep(index, inner, chunk, generation, now, epoch)
        finally:
            value.close()

    def _decoded(
        self,
        index: tuple[int, ...],
        value: OpenValue,
        parts: dict[int, list[Target]],
        done: ChunkStatistics,
    ) -> Iterator[tuple[int, Array | None, bool]]:
        """The decoded (inner) chunks of one value, and whether each is in its output already.

        A chunk is valid until the next one is asked for.
        """
        array, shard = self._array, self._array.layout.shard
        if shard is None:
            check_size(value.size, array.chunk_bytes)
            done.store_reads += 1
            done.bytes_read += value.size
            codec = array.layout.codec
            region = self._region(parts[0])
            out = array.chunk_buffer(codec) if region is None else region
            yield 0, decode_whole(value, codec, out, array.scratch), region is not None
            return
        for inner, data in inner_chunks(array, value, index, sorted(parts), done):
            if data is None:
                yield inner, None, False
                continue
            region = self._region(parts[inner])
            out = array.chunk_buffer(shard.inner) if region is None else region
            yield inner, shard.inner.decode(data, out), region is not None
            yield_gil()

    def _region(self, targets: list[Target]) -> Array | None:
        """The part of the output that is just the one chunk, contiguous: decoded into directly."""
        if len(targets) != 1 or self._array.cache.limit_bytes:
            return None
        request, partition, cell = targets[0]
        shard = self._array.layout.shard
        shape = self._array.layout.chunk_shape if shard is None else shard.inner.shape
        if not partition.keeps_order or not partition.is_whole(cell, shape):
            return None
        part = partition.view_part(request.data, cell)
        return part if part is not None and part.flags.c_contiguous else None

    def _copy_out(self, chunk: Array | None, targets: list[Target]) -> None:
        if chunk is None and not self._array.options.fill_missing_data_reads:
            raise NotFound(
                "chunk is missing; open with fill_missing_data_reads=True to read fill values"
            )
        for request, partition, cell in targets:
            if chunk is None:
                partition.fill(self._array.layout.fill_value, request.data, cell)
            else:
                partition.gather(chunk, request.data, cell)

    def _keep(
        self,
        index: tuple[int, ...],
        inner: int,
        chunk: Array | None,
        generation: bytes,
        now: float,
        epoch: int,
    ) -> None:
        """Caches a decoded chunk, unless it was written since `epoch` was looked at."""
        array = self._array
        if array.cache.limit_bytes:
            entry = CachedChunk(chunk, generation, now)
            key = (array.identity, index, inner)
            array.cache.put(key, entry, lambda: array.epoch(index) == epoch)

    # -- on the I/O loop, for stores without a blocking face --------------------------------

    def _start_async(self, stream: Stream) -> None:
        array = self._array
        for _ in range(_ASYNC_REQUESTS):
            array.keep_task(asyncio.ensure_future(self._drain(stream)))

    async def _drain(self, stream: Stream) -> None:
        array = self._array
        while (tasks := await array.workers.run(stream.take)) is not None:
            for index, targets in tasks:
                held: HeldValue | None = None
                try:
                    if any(not t[0].stopped for t in targets):
                        held = await self._fetched(index, targets)
                except BaseException as error:  # noqa: BLE001
                    if isinstance(error, Error):
                        error.located(array=array.url, key=array.key(index), operation="read")
                    for request, _, _ in targets:
                        request.fail(error)
                done = ChunkStatistics()
                await array.workers.run(self._serve, index, targets, held, done)
                array.count(done)

    async def _fetched(self, index: tuple[int, ...], targets: list[Target]) -> HeldValue:
        wanted = sorted(self._parts(targets))
        return await fetch(self._array, index, wanted)

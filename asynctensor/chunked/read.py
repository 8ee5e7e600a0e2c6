"""Reading: chunks are fetched, decoded and copied out by worker threads, in groups.

Requests made in one turn of the caller's loop are planned together: each chunk is decoded once,
whoever wants a part of it. A request for many chunks is a stream: a worker takes the next group
from it, puts it back behind the others, and serves the group. So planning never runs ahead of
reading, memory is bounded by the number of workers, and a huge read does not hold up a small one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import (
    GROUP_BYTES,
    GROUP_CELLS,
    Stream,
    Target,
    Task,
    ViewRequest,
    streams,
)
from asynctensor.chunked.request import Stopped, unless_stopped
from asynctensor.chunked.runs import RUN_BYTES, copy_run, is_whole, split_runs
from asynctensor.chunked.shard_fetch import fetch
from asynctensor.chunked.shard_read import inner_chunks, inner_parts
from asynctensor.chunked.values import HeldValue, check_exact, check_size, decode_whole, read_raw
from asynctensor.errors import Aborted, Error, NotFound
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


#: Raw chunks above this size are read in parts of about this size.
_SLAB_BYTES = 512 * 1024


@dataclass(slots=True)
class _Origin:
    """Where decoded chunks come from: which value, which version, and when that was looked at."""

    index: tuple[int, ...]
    generation: bytes
    time: float
    epoch: int


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
        versions: dict[tuple[int, ...], bytes] = {}
        for cell in partition.cells():
            index = partition.index(cell)
            for inner, finer, part in self._inner_cells(partition, cell):
                entry = array.cache.get((array.identity, index, inner))
                if entry is None or entry.time < bound or len(found) == _INLINE_CELLS:
                    return False
                if versions.setdefault(index, entry.generation) != entry.generation:
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
        if not stream.exhausted:
            self._array.workers.post(self._pull, stream)
        done = ChunkStatistics()
        limit = 1
        codec = self._array.layout.codec
        if self._array.layout.shard is None and not self._array.cache.limit_bytes:
            limit = self._run_length(codec)
        for run in split_runs(tasks, codec.shape, limit) if limit > 1 else ([t] for t in tasks):
            if len(run) > 1:
                self._serve_run(run, done)
            else:
                ((index, targets),) = run
                self._serve(index, targets, None, done)
            yield_gil()

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
                cached = self._cached(index, parts)
                if self._are_current(index, parts, cached):
                    self._from_cache(parts, cached, done)
                else:
                    self._from_store(index, parts, cached, held, done)
        except Exception as error:  # noqa: BLE001
            self._failed(index, live, error)
        self._array.count(done)
        for request, _, _ in targets:
            request.finish()

    def _cached(
        self, index: tuple[int, ...], parts: dict[int, list[Target]]
    ) -> dict[int, CachedChunk]:
        """What the cache has of the wanted parts, current or not."""
        cache, identity = self._array.cache, self._array.identity
        if not cache.limit_bytes:
            return {}
        found = {inner: cache.get((identity, index, inner)) for inner in parts}
        return {inner: entry for inner, entry in found.items() if entry is not None}

    def _are_current(
        self,
        index: tuple[int, ...],
        parts: dict[int, list[Target]],
        cached: dict[int, CachedChunk],
    ) -> bool:
        """Whether the cache alone can serve all parts, from one version of the stored value."""
        if len(cached) < len(parts) or len({e.generation for e in cached.values()}) != 1:
            return False
        bound = max([t[0].bound for targets in parts.values() for t in targets])
        stale = [entry for entry in cached.values() if entry.time < bound]
        if not stale:
            return True
        if self._face is None:
            return False
        now = time.time()
        if self._face.generation(self._array.key(index)) != stale[0].generation:
            return False
        for entry in stale:
            entry.time = now
        return True

    def _from_cache(
        self,
        parts: dict[int, list[Target]],
        cached: dict[int, CachedChunk],
        done: ChunkStatistics,
    ) -> None:
        for inner, targets in parts.items():
            self._copy_out(cached[inner].array, targets)
        done.cache_hits += len(parts)

    def _from_store(
        self,
        index: tuple[int, ...],
        parts: dict[int, list[Target]],
        cached: dict[int, CachedChunk],
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        array = self._array
        origin = _Origin(index, NO_VALUE, time.time(), array.epoch(index))
        value: OpenValue | None = held
        if self._face is not None:
            value = self._face.open(array.key(index))
        elif held is not None:
            origin.time, origin.epoch = held.time, held.epoch
        if value is None or value.generation == NO_VALUE:
            for inner, targets in parts.items():
                self._copy_out(None, targets)
                self._keep(origin, inner, None)
            return
        origin.generation = value.generation
        try:
            # Parts of one value must be of one version.
            same = {k: e for k, e in cached.items() if e.generation == value.generation}
            self._from_cache({inner: parts.pop(inner) for inner in same}, same, done)
            if not parts:
                return
            if array.layout.shard is None:
                check_size(value.size, array.chunk_bytes)
                done.store_reads += 1
                done.bytes_read += value.size
                self._chunk(value, parts[0], origin, done)
            else:
                for batch in inner_chunks(array, value, index, sorted(parts), done):
                    self._inner_chunks(batch, parts, origin, done)
        finally:
            value.close()

    def _chunk(
        self, value: OpenValue, targets: list[Target], origin: _Origin, done: ChunkStatistics
    ) -> None:
        """Serves targets from the one chunk that a value is."""
        array = self._array
        codec = array.layout.codec
        done.chunks_decoded += 1
        region = self._region(targets, codec.shape)
        if region is None and codec.is_identity and self._slabs(value, targets):
            return
        out = array.chunk_buffer(codec) if region is None else region
        chunk = decode_whole(value, codec, out, array.scratch)
        if region is None:
            self._copy_out(chunk, targets)
            self._keep(origin, 0, chunk)

    def _slabs(self, value: OpenValue, targets: list[Target]) -> bool:
        """Reads a large raw chunk in parts that stay in the processor's cache; False if not."""
        array = self._array
        shape = array.layout.chunk_shape
        if array.chunk_bytes <= _SLAB_BYTES or array.cache.limit_bytes or len(shape) < 2:
            return False
        check_exact(value.size, array.chunk_bytes)
        line = array.chunk_bytes // shape[0]
        lines = max(1, _SLAB_BYTES // line)
        for request, partition, cell in targets:
            finer = partition.finer(cell, (lines, *shape[1:]))
            for part in finer.cells():
                first = finer.index(part)[0] * lines
                count = min(lines, shape[0] - first)
                slab = array.scratch.decoded((count, *shape[1:]), array.layout.dtype)
                read_raw(value, slab, first * line)
                finer.gather(slab, request.data, part)
                yield_gil()
        return True

    def _inner_chunks(
        self,
        batch: dict[int, memoryview | None],
        parts: dict[int, list[Target]],
        origin: _Origin,
        done: ChunkStatistics,
    ) -> None:
        """Serves targets from inner chunks of a shard whose bytes are at hand."""
        array, shard = self._array, self._array.layout.shard
        assert shard is not None
        found: list[tuple[int, list[Target]]] = []
        for inner in sorted(batch):
            if batch[inner] is None:
                self._copy_out(None, parts[inner])
                self._keep(origin, inner, None)
            else:
                found.append((inner, parts[inner]))
        done.chunks_decoded += len(found)
        codec = shard.inner
        limit = 1 if array.cache.limit_bytes else self._run_length(codec)
        for run in split_runs(found, codec.shape, limit):
            if len(run) > 1:
                chunks = array.scratch.decoded((len(run), *codec.shape), codec.dtype)
                for k, (inner, _) in enumerate(run):
                    codec.decode(_known(batch[inner]), chunks[k])
                copy_run(chunks, run[0][1][0][0].data, run[0][1][0][2], run[-1][1][0][2])
            else:
                ((inner, targets),) = run
                region = self._region(targets, codec.shape)
                out = array.chunk_buffer(codec) if region is None else region
                chunk = codec.decode(_known(batch[inner]), out)
                if region is None:
                    self._copy_out(chunk, targets)
                    self._keep(origin, inner, chunk)
            yield_gil()

    def _run_length(self, codec: ArrayCodec) -> int:
        size = math.prod(codec.shape) * codec.dtype.itemsize
        return max(1, RUN_BYTES // max(1, size))

    def _serve_run(self, run: list[Task], done: ChunkStatistics) -> None:
        """Serves whole chunks, each a value of its own, that are neighbours in one request."""
        array, codec = self._array, self._array.layout.codec
        assert self._face is not None
        request = run[0][1][0][0]
        key = ""
        try:
            if not request.stopped:
                chunks = array.scratch.decoded((len(run), *codec.shape), codec.dtype)
                for k, (index, _) in enumerate(run):
                    key = array.key(index)
                    value = self._face.open(key)
                    if value is None:
                        self._check_fill()
                        chunks[k] = array.layout.fill_value
                        continue
                    try:
                        check_size(value.size, array.chunk_bytes)
                        decode_whole(value, codec, chunks[k], array.scratch)
                        done.bytes_read += value.size
                    finally:
                        value.close()
                    done.chunks_decoded += 1
                copy_run(chunks, request.data, run[0][1][0][2], run[-1][1][0][2])
                done.store_reads += len(run)
        except Exception as error:  # noqa: BLE001
            if isinstance(error, Error):
                error.located(array=array.url, key=key, operation="read")
            request.fail(error)
        array.count(done)
        request.finish(len(run))

    def _region(self, targets: list[Target], shape: tuple[int, ...]) -> Array | None:
        """The part of the output that is just the one chunk, contiguous: decoded into directly."""
        if self._array.cache.limit_bytes or not is_whole(targets, shape):
            return None
        request, partition, cell = targets[0]
        part = partition.view_part(request.data, cell)
        return part if part is not None and part.flags.c_contiguous else None

    def _check_fill(self) -> None:
        if not self._array.options.fill_missing_data_reads:
            raise NotFound(
                "chunk is missing; open with fill_missing_data_reads=True to read fill values"
            )

    def _copy_out(self, chunk: Array | None, targets: list[Target]) -> None:
        if chunk is None:
            self._check_fill()
        for request, partition, cell in targets:
            if chunk is None:
                partition.fill(self._array.layout.fill_value, request.data, cell)
            else:
                partition.gather(chunk, request.data, cell)

    def _keep(self, origin: _Origin, inner: int, chunk: Array | None) -> None:
        """Caches a decoded chunk, unless it was written since it was looked at."""
        array = self._array
        if array.cache.limit_bytes:
            entry = CachedChunk(chunk, origin.generation, origin.time)
            key = (array.identity, origin.index, inner)
            array.cache.put(key, entry, lambda: array.epoch(origin.index) == origin.epoch)

    # -- on the I/O loop, for stores without a blocking face --------------------------------

    def _start_async(self, stream: Stream) -> None:
        array = self._array
        for _ in range(_ASYNC_REQUESTS):
            array.keep_task(asyncio.ensure_future(self._drain(stream)))

    async def _drain(self, stream: Stream) -> None:
        array = self._array
        while (tasks := await array.workers.run(stream.take)) is not None:
            for index, targets in tasks:
                done = ChunkStatistics()
                if not await array.workers.run(self._try_cache, index, targets, done):
                    held = await self._fetched(index, targets)
                    await array.workers.run(self._serve, index, targets, held, done)

    def _try_cache(
        self, index: tuple[int, ...], targets: list[Target], done: ChunkStatistics
    ) -> bool:
        """Serves and finishes `targets` from the cache alone; False if it cannot."""
        parts = self._parts(targets)
        cached = self._cached(index, parts)
        if not self._are_current(index, parts, cached):
            return False
        try:
            self._from_cache(parts, cached, done)
        except Error as error:
            self._failed(index, targets, error)
        self._array.count(done)
        for request, _, _ in targets:
            request.finish()
        return True

    async def _fetched(self, index: tuple[int, ...], targets: list[Target]) -> HeldValue | None:
        """The value, or None if the requests have failed or stopped."""
        requests = [request for request, _, _ in targets]
        try:
            wanted = sorted(self._parts(targets))
            epoch = self._array.epoch(index)
            held = await unless_stopped(requests, fetch(self._array, index, wanted))
            held.epoch = epoch
            return held
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001
            self._failed(index, targets, error)
        except asyncio.CancelledError:
            for request in requests:
                request.fail(Aborted("the I/O loop ended during the read"))
            # The tasks of an ending loop get no further than this.
            for request in requests:
                request.finish()
            raise
        return None

    def _failed(self, index: tuple[int, ...], targets: list[Target], error: Exception) -> None:
        if isinstance(error, Error):
            key = self._array.key(index)
            error.located(array=self._array.url, key=key, operation="read")
        for request, _, _ in targets:
            request.fail(error)


def _known(data: memoryview | None) -> memoryview:
    assert data is not None
    return data

"""Serving chunks on worker threads: each is found, decoded and copied to those who want it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell
from asynctensor.chunked.plan import Target, TileTask
from asynctensor.chunked.shard_plan import ShardPlan
from asynctensor.chunked.shard_read import inner_chunks, inner_parts
from asynctensor.chunked.tile_read import decode_held, decode_tile, read_tile
from asynctensor.chunked.values import (
    HeldValue,
    check_exact,
    check_size,
    count_read,
    decode_whole,
    read_raw,
)
from asynctensor.errors import Error, NotFound
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import Buffer, OpenValue

#: Raw chunks above this size are read in parts of about this size.
_SLAB_BYTES = 512 * 1024


@dataclass(slots=True)
class _Origin:
    """Where decoded chunks come from: which value, which version, and when that was looked at."""

    index: tuple[int, ...]
    generation: bytes
    time: float
    epoch: int


class ChunkServer:
    """Serves parts of the chunks of one array; its methods are for worker threads."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        self._face = array.store.blocking

    def parts(self, targets: list[Target]) -> dict[int, list[Target]]:
        """Targets by inner chunk; where there are no shards, a chunk is its own inner chunk 0."""
        shard = self._array.layout.shard
        return {0: targets} if shard is None else inner_parts(shard, targets)

    def serve_tile(
        self, task: TileTask, held: Sequence[HeldValue] | None, done: ChunkStatistics
    ) -> None:
        """Serves whole chunks together, and by themselves those with which something is wrong.

        Args:
            task: Which, and to whom.
            held: Their values if they were fetched.
            done: Counts what is done.
        """
        request, tile = task.request, task.tile
        left: list[int] = []
        try:
            if request.stopped:
                pass
            elif held is not None:
                left = decode_held(self._array, held, task, done)
            else:
                assert self._face is not None
                left = read_tile(self._array, self._face, task, done)
        except Exception as error:  # noqa: BLE001
            self.failed(tile.first, [task.target(0)], error)
        self._array.count(done)
        for k in left:
            target = task.target(k)
            value = None if held is None else held[k]
            self.serve(request.partition.index(target[2]), [target], value, done)
        request.finish(tile.count - len(left))

    def serve(
        self,
        index: tuple[int, ...],
        targets: list[Target],
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        """Serves `targets` from the chunk at `index`; `held` is its value if it was fetched."""
        live = [t for t in targets if not t[0].stopped]
        array = self._array
        try:
            if len(live) == 1 and array.layout.shard is not None and not array.cache.limit_bytes:
                self._alone(index, live[0], held, done)
            elif live:
                parts = self.parts(live)
                cached = self._cached(index, parts)
                if self._are_current(index, parts, cached):
                    self._from_cache(parts, cached, done)
                else:
                    self._from_store(index, parts, cached, held, done)
        except Exception as error:  # noqa: BLE001
            self.failed(index, live, error)
        array.count(done)
        for request, _, _ in targets:
            request.finish()

    def has(self, index: tuple[int, ...], targets: list[Target]) -> bool:
        """Whether the cache has all of `targets`."""
        if not self._array.cache.limit_bytes:
            return False
        parts = self.parts(targets)
        return self._are_current(index, parts, self._cached(index, parts))

    def try_cache(
        self, index: tuple[int, ...], targets: list[Target], done: ChunkStatistics
    ) -> bool:
        """Serves and finishes `targets` from the cache alone; False if it cannot."""
        parts = self.parts(targets)
        cached = self._cached(index, parts)
        if not self._are_current(index, parts, cached):
            return False
        try:
            self._from_cache(parts, cached, done)
        except Exception as error:  # noqa: BLE001
            self.failed(index, targets, error)
        self._array.count(done)
        for request, _, _ in targets:
            request.finish()
        return True

    def failed(self, index: tuple[int, ...], targets: list[Target], error: Exception) -> None:
        """Fails those who want something of the chunk at `index`."""
        if isinstance(error, Error):
            key = self._array.key(index)
            error.located(array=self._array.url, key=key, operation="read")
        for request, _, _ in targets:
            request.fail(error)

    # -- from the cache ---------------------------------------------------------------------

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
        now = SYSTEM_CLOCK.time()
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

    # -- from the store ---------------------------------------------------------------------

    def _from_store(
        self,
        index: tuple[int, ...],
        parts: dict[int, list[Target]],
        cached: dict[int, CachedChunk],
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        array = self._array
        value, origin = self._opened(index, held)
        if value is None:
            for inner, targets in parts.items():
                self._copy_out(None, targets)
                self._keep(origin, inner, None)
            return
        try:
            # Parts of one value must be of one version.
            same = {k: e for k, e in cached.items() if e.generation == value.generation}
            self._from_cache({inner: parts.pop(inner) for inner in same}, same, done)
            if not parts:
                return
            if array.layout.shard is None:
                check_size(value.size, array.form_bytes)
                count_read(done, value, value.size)
                self._chunk(value, parts[0], origin, done)
            else:
                self._shard(value, parts, origin, done)
        finally:
            value.close()

    def _opened(
        self, index: tuple[int, ...], held: HeldValue | None
    ) -> tuple[OpenValue | None, _Origin]:
        """The value at `index`, None if there is none."""
        array = self._array
        origin = _Origin(index, NO_VALUE, SYSTEM_CLOCK.time(), array.epoch(index))
        value: OpenValue | None = held
        if self._face is not None:
            value = self._face.open(array.key(index))
        elif held is not None:
            origin.time, origin.epoch = held.time, held.epoch
        if value is None or value.generation == NO_VALUE:
            return None, origin
        origin.generation = value.generation
        return value, origin

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

    # -- shards -----------------------------------------------------------------------------

    def _shard(
        self,
        value: OpenValue,
        parts: dict[int, list[Target]],
        origin: _Origin,
        done: ChunkStatistics,
    ) -> None:
        """Serves targets from inner chunks."""
        for batch in inner_chunks(self._array, value, origin.index, sorted(parts), done):
            for inner, data in batch.items():
                self._inner(data, parts[inner], inner, origin, done)
                yield_gil()

    def _inner(
        self,
        data: Buffer | None,
        targets: list[Target],
        inner: int,
        origin: _Origin,
        done: ChunkStatistics,
    ) -> None:
        """Serves targets from one inner chunk, None if it is empty."""
        array, shard = self._array, self._array.layout.shard
        assert shard is not None
        if data is None:
            self._copy_out(None, targets)
            self._keep(origin, inner, None)
            return
        region = self._region(targets, shard.inner.shape)
        out = array.chunk_buffer(shard.inner) if region is None else region
        chunk = shard.inner.decode(data, out)
        done.chunks_decoded += 1
        if region is None:
            self._copy_out(chunk, targets)
            self._keep(origin, inner, chunk)

    def _alone(
        self,
        index: tuple[int, ...],
        target: Target,
        held: HeldValue | None,
        done: ChunkStatistics,
    ) -> None:
        """Serves one request from one shard, nothing of which is cached, in tiles."""
        shard = self._array.layout.shard
        assert shard is not None
        request, partition, cell = target
        value, origin = self._opened(index, held)
        if value is None:
            self._copy_out(None, [target])
            return
        try:
            finer = partition.finer(cell, shard.inner.shape)
            plan = ShardPlan(shard, finer)
            for batch in inner_chunks(self._array, value, index, plan.wanted, done):
                left: list[tuple[Cell, Buffer | None]] = []
                for tile, values in plan.tiles_in(batch):
                    wrong = decode_tile(self._array, shard.inner, values, request.data, tile, done)
                    left += [(tile.cell(k), values[k]) for k in wrong]
                    yield_gil()
                for part, data in (*left, *plan.rest_in(batch)):
                    self._inner(data, [(request, finer, part)], 0, origin, done)
                    yield_gil()
        finally:
            value.close()

    # -- to those who want it ---------------------------------------------------------------

    def _region(self, targets: list[Target], shape: tuple[int, ...]) -> Array | None:
        """The part of the output that is just the one chunk, contiguous: decoded into directly."""
        if self._array.cache.limit_bytes or not _is_whole(targets, shape):
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
                partition.fill(self._array.layout.fill_chunk, request.data, cell)
            else:
                partition.gather(chunk, request.data, cell)

    def _keep(self, origin: _Origin, inner: int, chunk: Array | None) -> None:
        """Caches a decoded chunk, unless it was written since it was looked at."""
        array = self._array
        if array.cache.limit_bytes:
            entry = CachedChunk(chunk, origin.generation, origin.time)
            key = (array.identity, origin.index, inner)
            array.cache.put(key, entry, lambda: array.epoch(origin.index) == origin.epoch)


def _is_whole(targets: list[Target], shape: tuple[int, ...]) -> bool:
    """Whether one request alone wants the chunk, all of it, with its axes in order."""
    if len(targets) != 1:
        return False
    _, partition, cell = targets[0]
    return partition.keeps_order and partition.is_whole(cell, shape)

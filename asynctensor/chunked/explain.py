"""What a read would do: planned by the code that reads, looked up, and not done.

Sizes come from listings; of shards the index is read too, because it says where the inner chunks
are. Chunks themselves are not read.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.shard_fetch import add_parts, asked_spans, fetches_whole, index_spans
from asynctensor.chunked.shard_index import Found
from asynctensor.chunked.shard_read import (
    find_inner,
    inner_parts,
    planned_reads,
    read_at_once,
    span,
)
from asynctensor.chunked.stored import partition_of, stored_entries
from asynctensor.chunked.values import HeldValue
from asynctensor.errors import Aborted
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.in_order import in_order
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.directory import stat
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import ListEntry, ReadOptions

#: Chunks that are looked at one by one; what more of them would cost is extrapolated.
_LOOKED_AT = 1024


@dataclass(slots=True)
class ReadCost:
    """Counts of one chunk or of many; see `Explanation`."""

    stored: int = 0
    inner: int = 0
    cached: int = 0
    decoded: int = 0
    requests: int = 0
    reads: int = 0
    size: int = 0
    estimated: bool = False

    def add(self, other: ReadCost) -> None:
        """Adds the counts of `other`."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.estimated |= other.estimated

    def scaled(self, wanted: int, seen: int) -> ReadCost:
        """The counts of `seen` chunks, as they would be for `wanted`."""
        found = ReadCost(estimated=True)
        for name in _COUNTS:
            setattr(found, name, round(getattr(self, name) * wanted / seen))
        return found


_COUNTS = ("stored", "inner", "cached", "decoded", "requests", "reads", "size")


async def explain_read(array: ChunkedArray, view: IndexTransform, bound: float) -> Explanation:
    """What reading `view` would do.

    Args:
        array: The array.
        view: From the indices of the view, none of them implicit, to those of the array.
        bound: Cached chunks must have been current at this time (Unix seconds) or later.

    Raises:
        OutOfRange: The view leaves the array.
        DataLoss: The index of a shard is damaged.
    """
    layout = array.layout
    inner = layout.codec if layout.shard is None else layout.shard.inner
    partition = await partition_of(array, view)
    cost = ReadCost() if partition is None else await read_cost(array, partition, bound)
    return Explanation(
        shape=tuple(view.input_shape),
        url=array.url,
        chunk_shape=tuple(inner.shape),
        shard_shape=None if layout.shard is None else layout.chunk_shape,
        chunks=0 if partition is None else partition.count,
        chunks_stored=cost.stored,
        inner_chunks=cost.inner,
        cached=cost.cached,
        decoded=cost.decoded,
        requests=cost.requests,
        store_reads=cost.reads,
        bytes_read=cost.size,
        bytes_decoded=cost.decoded * math.prod(inner.shape) * layout.dtype.itemsize,
        bytes_returned=math.prod(view.input_shape) * layout.dtype.itemsize,
        estimated=cost.estimated,
    )


async def read_cost(array: ChunkedArray, partition: Partition, bound: float) -> ReadCost:
    """What reading the chunks of `partition` would cost.

    Args:
        array: The array.
        partition: The chunks of the view.
        bound: Cached chunks must have been current at this time (Unix seconds) or later.
    """
    if array.layout.shard is None and not array.cache.limit_bytes:
        return await _plain(array, partition)
    if partition.count <= _LOOKED_AT:
        return await _each(array, partition, partition.count, bound)
    # The first ones: a regular grid is much the same everywhere, and `estimated` says so.
    seen = await _each(array, partition, _LOOKED_AT, bound)
    return seen.scaled(partition.count, _LOOKED_AT)


async def _plain(array: ChunkedArray, partition: Partition) -> ReadCost:
    """Of chunks that are values of their own, none of them cached."""
    cost = ReadCost(inner=partition.count, requests=partition.count)
    if not array.store.capabilities.listable:
        return _assumed(array, partition)
    async for _, entry in stored_entries(array, partition):
        cost.stored += 1
        cost.decoded += 1
        cost.reads += 1
        cost.size += max(0, entry.size)
        cost.estimated |= entry.size < 0
    return cost


def _assumed(array: ChunkedArray, partition: Partition) -> ReadCost:
    """Where nobody tells which chunks there are: all, uncompressed."""
    count = partition.count
    size = count * array.chunk_bytes
    return ReadCost(count, count, 0, count, count, count, size, estimated=True)


async def _each(array: ChunkedArray, partition: Partition, count: int, bound: float) -> ReadCost:
    cells = partition.cells()

    async def first() -> AsyncIterator[Cell]:
        for _, cell in zip(range(count), cells, strict=False):
            yield cell

    async def looked(cell: Cell) -> ReadCost:
        return await _one(array, partition, cell, bound)

    total = ReadCost()
    async for cost in in_order(first(), looked):
        total.add(cost)
    return total


async def _one(array: ChunkedArray, partition: Partition, cell: Cell, bound: float) -> ReadCost:
    index = partition.index(cell)
    shard = array.layout.shard
    wanted = [0] if shard is None else sorted(inner_parts(shard, [(None, partition, cell)]))
    cost = ReadCost(inner=len(wanted))
    cached = {k: e for k in wanted if (e := array.cache.peek((array.identity, index, k)))}
    same: dict[int, CachedChunk] = {}
    local = array.store.blocking is not None
    if cached:
        if len(cached) == len(wanted) and _agree(cached) and _newer(cached, bound):
            return _from_cache(cost, cached)
        generation = await _generation(array, index)
        same = {k: e for k, e in cached.items() if e.generation == generation}
        if len(same) == len(wanted) and local:
            return _from_cache(cost, same)
    entry = await _entry(array, index)
    cost.requests += 1
    if entry is None:
        return cost
    cost.stored, cost.cached = 1, len(same)
    left = [k for k in wanted if k not in same]
    if shard is None:
        cost.reads, cost.size, cost.estimated = 1, max(0, entry.size), entry.size < 0
        cost.decoded = len(left)
    else:
        # A store that is not local is asked before the cache is.
        await _shard(array, entry, index, left if local else wanted, left, cost)
    return cost


def _agree(cached: dict[int, CachedChunk]) -> bool:
    return len({entry.generation for entry in cached.values()}) == 1


def _newer(cached: dict[int, CachedChunk], bound: float) -> bool:
    return all(entry.time >= bound for entry in cached.values())


def _from_cache(cost: ReadCost, cached: dict[int, CachedChunk]) -> ReadCost:
    cost.cached = len(cached)
    cost.stored = int(any(entry.generation != NO_VALUE for entry in cached.values()))
    return cost


async def _generation(array: ChunkedArray, index: tuple[int, ...]) -> bytes:
    options = ReadOptions(ByteRange(0, 0))
    return (await array.store.read(array.key(index), options)).stamp.generation


async def _entry(array: ChunkedArray, index: tuple[int, ...]) -> ListEntry | None:
    key = array.key(index)
    if array.store.capabilities.listable:
        return await stat(array.store, key)
    found = await array.store.read(key, ReadOptions(ByteRange(0, 0)))
    return None if found.state == "missing" else ListEntry(key)


async def _shard(
    array: ChunkedArray,
    entry: ListEntry,
    place: tuple[int, ...],
    wanted: list[int],
    left: list[int],
    cost: ReadCost,
) -> None:
    """Adds what reading inner chunks of a stored shard would cost.

    Args:
        array: The array.
        entry: Key and size of the shard.
        place: Its grid position.
        wanted: The inner chunks that the store is asked for.
        left: Those that are not in the cache.
        cost: What to add to.
    """
    local = array.store.blocking is not None
    seen = await (_looked_into if local else _asked)(array, entry, place, wanted)
    if seen is None:
        cost.estimated = True
        cost.decoded = len(left)
        cost.reads, cost.size = 1, array.chunk_bytes
        return
    found, indexes = seen
    open_ = set(left)
    cost.decoded = sum([inner in open_ for _, _, inner in found.places])
    if not local and fetches_whole(array, len(wanted)):
        cost.reads, cost.size, cost.estimated = 1, max(0, entry.size), entry.size < 0
        return
    if local and read_at_once(array, entry.size):
        spans = [(0, entry.size)]
    else:
        apart = [each for each in found.places if not _is_within(each, indexes)]
        spans = [*indexes, *_spans(array, entry.size, apart)]
    cost.reads = len(spans)
    cost.size = sum([stop - start for start, stop in spans])
    cost.requests = max(1, cost.reads)


def _is_within(place: tuple[int, int, int], spans: Sequence[tuple[int, int]]) -> bool:
    offset, length, _ = place
    return any(start <= offset and offset + length <= stop for start, stop in spans)


def _spans(
    array: ChunkedArray, size: int, places: Sequence[tuple[int, int, int]]
) -> Iterable[tuple[int, int]]:
    """The requests for inner chunks at `places`, as whoever makes them plans them."""
    store = array.store
    if store.blocking is not None:
        together = planned_reads(array, size, places)
        return ((0, size),) if together is None else map(span, together)
    spans = asked_spans(array, places)
    return store.plan(spans).spans if isinstance(store, ScheduledStore) else spans


#: Where inner chunks are, and the ranges that have to be read to know it.
_Seen: TypeAlias = tuple[Found, list[tuple[int, int]]]


async def _looked_into(
    array: ChunkedArray, entry: ListEntry, place: tuple[int, ...], wanted: list[int]
) -> _Seen:
    """Of a local shard."""
    face = array.store.blocking
    assert face is not None

    def looked() -> _Seen:
        value = face.open(entry.key)
        if value is None:
            raise Aborted("the chunk was deleted while it was looked at; explain again")
        indexes: list[tuple[int, int]] = []
        try:
            return find_inner(array, value, place, wanted, seen=indexes), indexes
        finally:
            value.close()

    return await array.workers.run(looked)


async def _asked(
    array: ChunkedArray, entry: ListEntry, place: tuple[int, ...], wanted: list[int]
) -> _Seen | None:
    """Of a remote shard; None if the store can give no part of a value of any size."""
    shard, size = array.layout.shard, entry.size
    assert shard is not None
    if size < 0 and shard.index_at_end and not array.store.capabilities.suffix_ranges:
        return None
    part = ByteRange(-shard.index_size, None)
    if not shard.index_at_end:
        part = ByteRange(0, shard.index_size)
    elif size >= 0:
        part = ByteRange(size - shard.index_size, size)
    found = await array.store.read(entry.key, ReadOptions(part))
    if found.state != "value":
        raise Aborted("the chunk was deleted while it was looked at; explain again")
    size = 2**62 if size < 0 else size
    known = await array.workers.run(find_inner, array, HeldValue(size, found.stamp), place, wanted)
    if known.places and not known.unread:
        # By the indexes that the cache has: only what they lead to is asked for.
        return known, []
    held = HeldValue(size, found.stamp)
    start = size - shard.index_size if shard.index_at_end else 0
    held.add(start, found.value)
    indexes = [(start, start + shard.index_size)]
    while True:
        inner = await array.workers.run(find_inner, array, held, place, wanted)
        if not inner.unread:
            return inner, indexes
        spans = index_spans(inner)
        indexes += spans
        if not await add_parts(array, held, entry.key, spans):
            raise Aborted("the chunk was written while it was looked at; explain again")

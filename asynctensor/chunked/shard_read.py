"""Reading parts of shards: indexes first, then runs of neighbouring inner chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.format import ShardLayout
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.shard_index import Found, IndexPlace, find
from asynctensor.chunked.values import HeldValue, check_size, count_read, stored_bytes
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer, OpenValue

R = TypeVar("R")

#: Unwanted bytes between two inner chunks that are read rather than read around: on a local
#: store a system call costs about as much as copying so many bytes.
_GAP = 32 * 1024
#: Longest run read at once.
_RUN = 4 * 2**20
#: Shards up to this size are read whole.
_SMALL = 128 * 1024
#: Parts in inner chunks that a view of one shard keeps at most.
_MOST_KEPT = 64


def inner_parts(
    shard: ShardLayout, targets: Sequence[tuple[R, Partition, Cell]]
) -> dict[int, list[tuple[R, Partition, Cell]]]:
    """Splits targets in one shard into targets in its inner chunks, by C-order number."""
    parts: dict[int, list[tuple[R, Partition, Cell]]] = {}
    for request, partition, cell in targets:
        for flat, finer, inner in inner_cells(shard, partition, cell):
            parts.setdefault(flat, []).append((request, finer, inner))
    return parts


def inner_count(shard: ShardLayout, partition: Partition, cell: Cell) -> int:
    """How many parts in inner chunks what `partition` has in one shard is split into."""
    known = partition.within
    if known is not None and known[0] is shard:
        return len(known[1])
    return partition.finer(cell, shard.inner.shape).count


def inner_cells(
    shard: ShardLayout, partition: Partition, cell: Cell
) -> Iterable[tuple[int, Partition, Cell]]:
    """What `partition` has in one shard, by inner chunk: its C-order number, and where there."""
    known = partition.within
    if known is not None and known[0] is shard:
        return known[1]
    finer = partition.finer(cell, shard.inner.shape)
    found = _numbered(shard, finer, finer.cells())
    if partition.count == 1 and finer.count <= _MOST_KEPT:
        # Asked for again and again on the way of a small read.
        kept = list(found)
        partition.within = shard, kept
        return kept
    return found


def parts_in(
    shard: ShardLayout, request: R, finer: Partition, cells: Iterable[Cell]
) -> dict[int, list[tuple[R, Partition, Cell]]]:
    """Targets in inner chunks by C-order number, for cells of a partition of one shard."""
    parts: dict[int, list[tuple[R, Partition, Cell]]] = {}
    for flat, _, inner in _numbered(shard, finer, cells):
        parts.setdefault(flat, []).append((request, finer, inner))
    return parts


def _numbered(
    shard: ShardLayout, finer: Partition, cells: Iterable[Cell]
) -> Iterator[tuple[int, Partition, Cell]]:
    """Cells of a partition of one shard, with the C-order numbers of their inner chunks."""
    strides = _strides(tuple(shard.grid))
    for inner in cells:
        flat = 0
        for k, stride in zip(finer.index(inner), strides, strict=True):
            flat += k * stride
        yield flat, finer, inner


@lru_cache(64)
def _strides(grid: tuple[int, ...]) -> list[int]:
    """By how much the C-order number in a grid grows with each index."""
    return [math.prod(grid[d + 1 :]) for d in range(len(grid))]


def runs(
    places: Sequence[tuple[int, int, int]], gap: int | None = None
) -> Iterator[list[tuple[int, int, int]]]:
    """Groups (offset, length, inner) into runs to read at once; sorted by offset.

    Args:
        places: Where they are.
        gap: Unwanted bytes between two of them that are read all the same; None: those that a
            local store takes no longer for than for one more call.
    """
    gap = _GAP if gap is None else gap
    run: list[tuple[int, int, int]] = []
    end = 0
    for place in sorted(places):
        offset, length, _ = place
        if run and (offset - end > gap or max(end, offset + length) - run[0][0] > _RUN):
            yield run
            run = []
        end = max(end, offset + length) if run else offset + length
        run.append(place)
    if run:
        yield run


def span(run: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """The bytes from start to stop that a run is read from."""
    return run[0][0], max([offset + length for offset, length, _ in run])


def planned_reads(
    array: ChunkedArray, size: int, places: Sequence[tuple[int, int, int]]
) -> list[list[tuple[int, int, int]]] | None:
    """How inner chunks of a local shard of `size` bytes are read: in runs; None: all at once."""
    total = sum([length for _, length, _ in places])
    if places and size <= max(_SMALL, min(2 * total, 2 * array.chunk_bytes)):
        return None
    return list(runs(places))


def find_inner(
    array: ChunkedArray,
    value: OpenValue,
    cell: tuple[int, ...],
    wanted: Sequence[int],
    done: ChunkStatistics | None = None,
    seen: list[tuple[int, int]] | None = None,
) -> Found:
    """Where inner chunks are, by indexes from the cache if they are of the same generation.

    Args:
        array: The array.
        value: The shard. Of one that was fetched in parts, indexes that are not among them are
            `Found.unread`.
        cell: Its grid position.
        wanted: Inner chunks, sorted.
        done: Counts what is read; None: that is not counted, and nothing is kept in the cache.
        seen: Where to list the ranges of the indexes that were not in the cache.

    Raises:
        DataLoss: An index is damaged, or does not fit its shard.
    """
    shard = array.layout.shard
    assert shard is not None
    keeps = bool(array.cache.limit_bytes)
    look = array.cache.peek if done is None else array.cache.get

    held = value if isinstance(value, HeldValue) else None

    def read(place: IndexPlace) -> Array | None:
        if held is not None and place.number in held.indexes:
            return held.indexes[place.number]
        index = looked_up(place)
        if held is not None and index is not None and place.number is not None:
            held.indexes[place.number] = index
        return index

    def looked_up(place: IndexPlace) -> Array | None:
        key = (array.identity, cell, place.number or 0)
        cached = look(key) if keeps and place.number is not None else None
        if cached and cached.generation == value.generation and cached.array is not None:
            return cached.array
        start, stop = place.span
        if held is not None and not held.has(start, stop):
            return None
        if seen is not None:
            seen.append((start, stop))
        if done is not None:
            count_read(done, value, stop - start)
        data = stored_bytes(value, array.scratch, start, stop - start)
        index = place.layout.decode_index(data, place.size)
        if keeps and done is not None and place.number is not None:
            array.cache.put(key, CachedChunk(index, value.generation, 0.0))
        return index

    return find(shard, value.size, wanted, read)


def read_at_once(array: ChunkedArray, size: int) -> bool:
    """Whether a local shard of `size` bytes is read before it is known where what is wanted is.

    That of a small one, in which finding it would take several reads.
    """
    shard = array.layout.shard
    return shard is not None and shard.nested is not None and size <= _SMALL


def _in_hand(array: ChunkedArray, value: OpenValue, done: ChunkStatistics) -> OpenValue:
    """The value, in memory if it is read at once."""
    if isinstance(value, HeldValue) or not read_at_once(array, value.size):
        return value
    held = HeldValue(value.size, TimestampedStorageGeneration(value.generation, 0.0))
    data: Buffer | None = value.value
    if data is None:
        data = bytearray(value.size)
        value.read_into(memoryview(data), 0)
    count_read(done, value, value.size)
    held.add(0, data)
    return held


def inner_chunks(
    array: ChunkedArray,
    value: OpenValue,
    cell: tuple[int, ...],
    wanted: Sequence[int],
    done: ChunkStatistics,
) -> Iterator[dict[int, memoryview | None]]:
    """The encoded bytes of inner chunks, as many at a time as are read at once.

    Yields:
        Inner chunk to bytes, None for an empty one; valid until the next is asked for.

    Raises:
        DataLoss: The index is damaged, or does not fit the shard.
    """
    value = _in_hand(array, value, done)
    found = find_inner(array, value, cell, wanted, done)
    places = found.places
    empty: dict[int, memoryview | None] = dict.fromkeys(found.empty)
    if not places:
        yield empty
        return
    if isinstance(value, HeldValue):
        # What was fetched is here, and what lies between need not be.
        yield empty | {inner: value.view(offset, length) for offset, length, inner in places}
        return
    planned = planned_reads(array, value.size, places)
    if planned is None:
        check_size(value.size, array.form_bytes)
        whole = stored_bytes(value, array.scratch, 0, value.size)
        count_read(done, value, value.size)
        yield empty | {inner: whole[offset : offset + length] for offset, length, inner in places}
        return
    for run in planned:
        start, stop = span(run)
        check_size(stop - start, array.form_bytes)
        data = stored_bytes(value, array.scratch, start, stop - start)
        count_read(done, value, stop - start)
        yield empty | {
            inner: data[offset - start : offset - start + length] for offset, length, inner in run
        }
        empty = {}

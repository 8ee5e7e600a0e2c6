"""Reading parts of shards: the index first, then runs of neighbouring inner chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.format import ShardLayout
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.values import HeldValue, check_size, count_read, stored_bytes
from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import OpenValue

R = TypeVar("R")

#: Place of the decoded index among a shard's cached inner chunks.
INDEX = -1
#: Unwanted bytes between two inner chunks that are read rather than read around: on a local
#: store a system call costs about as much as copying so many bytes.
_GAP = 32 * 1024
#: Longest run read at once.
_RUN = 4 * 2**20
#: Shards up to this size are read whole.
_SMALL = 128 * 1024


def inner_parts(
    shard: ShardLayout, targets: Sequence[tuple[R, Partition, Cell]]
) -> dict[int, list[tuple[R, Partition, Cell]]]:
    """Splits targets in one shard into targets in its inner chunks, by C-order number."""
    parts: dict[int, list[tuple[R, Partition, Cell]]] = {}
    strides = [math.prod(shard.grid[d + 1 :]) for d in range(len(shard.grid))]
    for request, partition, cell in targets:
        finer = partition.finer(cell, shard.inner.shape)
        for inner in finer.cells():
            flat = 0
            for k, stride in zip(finer.index(inner), strides, strict=True):
                flat += k * stride
            parts.setdefault(flat, []).append((request, finer, inner))
    return parts


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


def read_index(
    array: ChunkedArray,
    value: OpenValue,
    cell: tuple[int, ...],
    done: ChunkStatistics | None = None,
) -> Array:
    """The index of a shard, from the cache if that is of the same generation."""
    key = (array.identity, cell, INDEX)
    cached = array.cache.get(key) if array.cache.limit_bytes else None
    if cached is not None and cached.generation == value.generation and cached.array is not None:
        return cached.array
    index = decoded_index(array, value, done)
    if array.cache.limit_bytes:
        array.cache.put(key, CachedChunk(index, value.generation, 0.0))
    return index


def decoded_index(
    array: ChunkedArray, value: OpenValue, done: ChunkStatistics | None = None
) -> Array:
    """The index of a shard as it is stored.

    Raises:
        DataLoss: It is damaged, or does not fit the shard.
    """
    shard = array.layout.shard
    assert shard is not None
    if value.size < shard.index_size:
        raise DataLoss(f"shard has {value.size} bytes, less than its index of {shard.index_size}")
    offset = value.size - shard.index_size if shard.index_at_end else 0
    if done is not None:
        count_read(done, value, shard.index_size)
    data = stored_bytes(value, array.scratch, offset, shard.index_size)
    return shard.decode_index(data, value.size)


def inner_places(
    index: Array, wanted: Sequence[int]
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Where the wanted inner chunks are, as (offset, length, inner), and which are empty."""
    rows = index[np.asarray(wanted, dtype=np.int64)].tolist()
    places, empty = [], []
    for inner, (offset, length) in zip(wanted, rows, strict=True):
        if offset < 0:
            empty.append(inner)
        else:
            places.append((offset, length, inner))
    return places, empty


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
    index = read_index(array, value, cell, done)
    places, missing = inner_places(index, wanted)
    empty: dict[int, memoryview | None] = dict.fromkeys(missing)
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
        found: dict[int, memoryview | None] = {
            inner: whole[offset : offset + length] for offset, length, inner in places
        }
        yield empty | found
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

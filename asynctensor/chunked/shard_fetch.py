"""Fetching a value, or just the needed parts of a shard, from a store that is not local."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.shard_index import INDEX, Found
from asynctensor.chunked.shard_read import find_inner, runs, span
from asynctensor.chunked.values import HeldValue
from asynctensor.errors import DataLoss, OutOfRange
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.kvstore import ReadOptions, ReadResult

#: Length of a shard whose length is not known. It matters only for where a trailing index begins:
#: offsets are absolute.
_SOME_LENGTH = 2**62
#: From this share of a shard's inner chunks on, one request for the whole is the cheaper way.
_WHOLE_SHARE = 0.5


async def fetch(
    array: ChunkedArray, cell: tuple[int, ...], wanted: list[int], bound: float = float("inf")
) -> HeldValue:
    """The value at `cell`, at least as much of it as the inner chunks `wanted` need.

    Args:
        array: The array.
        cell: Grid position of the chunk or shard.
        wanted: Inner chunks.
        bound: The value must have been current at this time (Unix seconds) or later.

    Raises:
        Error: The store failed, or the value changed each time parts of it were read.
    """
    key = array.key(cell)
    if not fetches_whole(array, len(wanted)):
        held = await _known_parts(array, cell, wanted, bound)
        held = held or await _parts(array, cell, wanted, bound)
        if held is not None:
            return held
    return HeldValue.of(await _counted(array, key, ReadOptions(staleness_bound=bound)))


def fetches_whole(array: ChunkedArray, wanted: int) -> bool:
    """Whether a value is fetched as a whole for `wanted` of its inner chunks."""
    shard = array.layout.shard
    return (
        shard is None
        or not array.store.capabilities.suffix_ranges
        or wanted >= _WHOLE_SHARE * math.prod(shard.grid)
    )


def asked_spans(
    array: ChunkedArray, places: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int]]:
    """The ranges that the store is asked for, in one turn, to have inner chunks at `places`.

    What lies between them is for a remote store to judge, which merges them as it finds best.
    """
    gap = 0 if array.store.capabilities.remote else None
    return [span(run) for run in runs(places, gap)]


def known_parts(
    array: ChunkedArray, cell: tuple[int, ...], wanted: Sequence[int]
) -> tuple[HeldValue, list[tuple[int, int]]] | None:
    """What to ask for of a shard, by the indexes that the cache has.

    They may be outdated: whoever asks makes it a condition that the generation is still theirs.

    Args:
        array: The array.
        cell: Grid position of the shard.
        wanted: Inner chunks, sorted.

    Returns:
        The shard, of that generation and without any part yet, and the ranges to ask for. None if
        the cache lacks an index, or if nothing is to be asked for, so that nothing would tell
        whether it is outdated.
    """
    entry = array.cache.peek((array.identity, cell, INDEX)) if array.cache.limit_bytes else None
    if entry is None:
        return None
    stamp = TimestampedStorageGeneration(entry.generation, float("inf"))
    held = HeldValue(_SOME_LENGTH, stamp)
    try:
        found = find_inner(array, held, cell, wanted, ChunkStatistics())
    except DataLoss:
        # Whoever reads that index anew says what is wrong.
        return None
    if found.unread or not found.places:
        return None
    return held, asked_spans(array, found.places)


def forget_index(array: ChunkedArray, cell: tuple[int, ...]) -> None:
    """Says that the index that the cache has of a shard is outdated."""
    array.cache.discard((array.identity, cell, INDEX))


async def _known_parts(
    array: ChunkedArray, cell: tuple[int, ...], wanted: list[int], bound: float
) -> HeldValue | None:
    """The parts that are needed, by the indexes that the cache has; None if that cannot be."""
    if not array.cache.limit_bytes:
        return None
    known = await array.workers.run(known_parts, array, cell, wanted)
    if known is None:
        return None
    held, spans = known
    try:
        if await add_parts(array, held, array.key(cell), spans, bound):
            return held
    except OutOfRange:
        # Of a store that looks at ranges before it looks at conditions.
        pass
    forget_index(array, cell)
    return None


async def _parts(
    array: ChunkedArray, cell: tuple[int, ...], wanted: list[int], bound: float
) -> HeldValue | None:
    """The parts that are needed; None if the value is too small or changes under the reads."""
    key, shard = array.key(cell), array.layout.shard
    assert shard is not None
    start = -shard.index_size if shard.index_at_end else 0
    stop = None if shard.index_at_end else shard.index_size
    try:
        options = ReadOptions(ByteRange(start, stop), staleness_bound=bound)
        first = await _counted(array, key, options)
    except OutOfRange:
        return None
    if first.state == "missing":
        return HeldValue.of(first)
    held = HeldValue(_SOME_LENGTH, first.stamp)
    held.add(_SOME_LENGTH - shard.index_size if shard.index_at_end else 0, first.value)
    while True:
        done = ChunkStatistics()
        found = await array.workers.run(find_inner, array, held, cell, wanted, done)
        spans = index_spans(found) or asked_spans(
            array, [each for each in found.places if not held.has(each[0], each[0] + each[1])]
        )
        if not spans:
            return held
        if not await add_parts(array, held, key, spans):
            return None
        if not found.unread:
            return held


def index_spans(found: Found) -> list[tuple[int, int]]:
    """The ranges to ask for in order to find the inner chunks that could not be found yet.

    Indexes of shards within; or all of such a shard, where that is the cheaper way.
    """
    spans = []
    for place, wanted in found.unread:
        whole = len(wanted) >= _WHOLE_SHARE * math.prod(place.layout.grid)
        spans.append((place.start, place.start + place.size) if whole else place.span)
    return spans


async def add_parts(
    array: ChunkedArray,
    held: HeldValue,
    key: str,
    spans: Sequence[tuple[int, int]],
    bound: float = float("inf"),
) -> bool:
    """Fetches parts of a value, as of `bound` or later; False if it is another one by now."""
    try:
        # Which has ended only when all of them have.
        async with asyncio.TaskGroup() as group:
            reads = [
                group.create_task(_counted(array, key, part_options(held, each, bound)))
                for each in spans
            ]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    for (begin, _), read in zip(spans, reads, strict=True):
        result = read.result()
        if result.state != "value":
            return False
        held.add(begin, result.value)
        held.time = min(held.time, result.stamp.time)
    return True


def part_options(held: HeldValue, part: tuple[int, int], bound: float) -> ReadOptions:
    """How a part of a value is asked for, if it is still the one that is held."""
    return ReadOptions(ByteRange(*part), if_equal=held.generation, staleness_bound=bound)


async def _counted(array: ChunkedArray, key: str, options: ReadOptions) -> ReadResult:
    result = await array.store.read(key, options)
    if result.state == "value":
        array.count(ChunkStatistics(store_reads=1, bytes_read=len(result.value)))
    return result

"""Which chunks of a view are stored: their keys, sizes and times, and none of their data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.grid import Partition
from asynctensor.index_space.transform import IndexTransform
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.directory import stat
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry, ReadOptions
from asynctensor.storage.value_history import ValueChange, ValueHistory

#: Chunks that are looked up one by one; more are found in a listing of the array.
LOOKUPS = 64
_NO_BYTES = ReadOptions(ByteRange(0, 0))


async def partition_of(array: ChunkedArray, view: IndexTransform) -> Partition | None:
    """The chunks that a view touches; None if it is empty."""
    if 0 in view.input_shape:
        return None
    layout = array.layout
    plan = partial(Partition.of, view, layout.chunk_shape, layout.shape)
    return await array.workers.run(plan)


async def stored_entries(
    array: ChunkedArray, partition: Partition | None
) -> AsyncIterator[tuple[tuple[int, ...], ListEntry]]:
    """The chunks of a view that are stored, by grid position.

    Args:
        array: The array.
        partition: The chunks of the view; None if there are none.
    """
    if partition is None:
        return
    if partition.count <= LOOKUPS:
        for cell in partition.cells():
            index = partition.index(cell)
            entry = await stat(array.store, array.key(index))
            if entry is not None:
                yield index, entry
        return
    async for entry in array.store.list(KeyRange.prefix(array.path)):
        found = array.layout.keys.cell(entry.key[len(array.path) :])
        if found is not None and partition.touches(found):
            yield found, entry


async def newest_change(
    array: ChunkedArray, partition: Partition | None, history: ValueHistory
) -> tuple[int, ValueChange | None]:
    """How many chunks of a view are stored, and the newest.

    Args:
        array: The array.
        partition: The chunks of the view; None if there are none.
        history: That of the array's store.
    """
    if partition is None:
        return 0, None
    if partition.count <= LOOKUPS:
        return await history.newest([array.key(partition.index(c)) for c in partition.cells()])

    def touched(key: str) -> bool:
        cell = array.layout.keys.cell(key[len(array.path) :])
        return cell is not None and partition.touches(cell)

    return await history.newest(KeyRange.prefix(array.path), touched)


async def count_stored(array: ChunkedArray, partition: Partition | None, *, enough: bool) -> int:
    """How many chunks of a view are stored.

    Args:
        array: The array.
        partition: The chunks of the view; None if there are none.
        enough: Whether one is enough to know.
    """
    stored = 0
    if partition is not None and partition.count <= LOOKUPS:
        for cell in partition.cells():
            key = array.key(partition.index(cell))
            stored += (await array.store.read(key, _NO_BYTES)).state == "value"
            if stored and enough:
                break
        return stored
    async for _ in stored_entries(array, partition):
        stored += 1
        if enough:
            break
    return stored

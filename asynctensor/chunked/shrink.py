"""Deletes the chunks that a shrunken array has no elements of any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.array_driver import Progress, ProgressFunction
from asynctensor.chunked.pieces import for_each
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions

#: Chunks for which the metadata are looked at once.
_BATCH = 64
#: Requests of a batch under way at once.
_WIDTH = 16
#: Key and grid position.
_Chunk: TypeAlias = tuple[str, tuple[int, ...]]


async def delete_outside(
    array: ChunkedArray,
    view: KeyValueStore,
    look_again: Callable[[], Awaitable[object]],
    progress: ProgressFunction | None,
    gone: Callable[[tuple[int, ...]], object],
) -> None:
    """Deletes the stored chunks that lie wholly outside the array.

    Somebody may let the array grow again meanwhile, and write there: a chunk goes only if, after
    its generation was looked at, the metadata still leaves it outside.

    Args:
        array: The array.
        view: Where it is stored, as the transaction sees it.
        look_again: Takes over the metadata that are stored now.
        progress: Told after each deleted chunk, from a worker.
        gone: Told of the grid position of each.
    """
    deleted = 0

    async def delete(batch: Sequence[_Chunk]) -> None:
        nonlocal deleted
        for _ in range(await _delete(array, view, look_again, batch, gone)):
            deleted += 1
            if progress is not None:
                await array.workers.run(progress, Progress("resize", deleted, None))

    batch: list[_Chunk] = []
    async for entry in view.list(KeyRange.prefix(array.path)):
        cell = array.layout.keys.cell(entry.key[len(array.path) :])
        if cell is not None and not _is_inside(array, cell):
            batch.append((entry.key, cell))
            if len(batch) == _BATCH:
                await delete(batch)
                batch = []
    await delete(batch)


async def _delete(
    array: ChunkedArray,
    view: KeyValueStore,
    look_again: Callable[[], Awaitable[object]],
    batch: Sequence[_Chunk],
    gone: Callable[[tuple[int, ...]], object],
) -> int:
    """Deletes what of `batch` is outside; returns how many chunks that were."""
    generations: dict[str, bytes] = {}
    deleted = 0

    async def look(chunk: _Chunk) -> None:
        key, _ = chunk
        found = await view.read(key, ReadOptions(ByteRange(0, 0)))
        if found.state != "missing":
            generations[key] = found.stamp.generation

    async def delete(chunk: _Chunk) -> None:
        nonlocal deleted
        key, cell = chunk
        await view.write(key, None, generations[key] if conditional else UNKNOWN)
        gone(cell)
        deleted += 1

    conditional = view.capabilities.can_compare_and_swap
    if batch:
        await for_each(batch, look, _WIDTH)
        await look_again()
        outside = [c for c in batch if c[0] in generations and not _is_inside(array, c[1])]
        await for_each(outside, delete, _WIDTH)
    return deleted


def _is_inside(array: ChunkedArray, cell: tuple[int, ...]) -> bool:
    """Whether a chunk has elements of the array."""
    layout = array.layout
    return all(k * c < n for k, c, n in zip(cell, layout.chunk_shape, layout.shape, strict=True))

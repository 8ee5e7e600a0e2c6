"""Pieces of a view, cut along its chunks, and work on a few of them at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeAlias

from asynctensor.chunked.grid import product_of_ranges
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema.chunk_layout import ChunkLayout

#: A piece is grown to about so many bytes: a few chunks, so that several are under way at once.
PIECE_BYTES = 8 * 2**20
#: Pieces under way at once: with their size, what the work holds in memory.
PIECES = 4
#: What to index a view with: positions in its own domain.
Piece: TypeAlias = tuple[slice, ...]


def boxes(
    lower: Sequence[int],
    upper: Sequence[int],
    origin: Sequence[int],
    chunk: Sequence[int],
    limit: int,
) -> Iterator[tuple[slice, ...]]:
    """Cuts a box along a grid: into runs of whole chunks of at most `limit` elements, or one chunk.

    Args:
        lower: Inclusive lower bounds of the box.
        upper: Exclusive upper bounds.
        origin: A corner of the grid.
        chunk: Chunk shape.
        limit: Elements per piece.
    """
    shape = list(chunk)
    for dim in reversed(range(len(shape))):
        extent = max(1, upper[dim] - lower[dim])
        others = math.prod(shape) // shape[dim]
        fits = max(1, limit // max(1, others * chunk[dim]))
        shape[dim] = min(fits * chunk[dim], -(-extent // chunk[dim]) * chunk[dim])
    # Ranges, and nothing made of them before it is needed: a target may be larger than any list.
    steps = []
    for low, high, start, step in zip(lower, upper, origin, shape, strict=True):
        steps.append(range(start + (low - start) // step * step, high, step))
    for corner in product_of_ranges(steps):
        yield tuple(
            slice(max(low, at), min(high, at + line.step))
            for low, high, at, line in zip(lower, upper, corner, steps, strict=True)
        )


def pieces_of(
    domain: IndexDomain, layout: ChunkLayout, itemsize: int, *, written: bool = False
) -> Iterator[Piece]:
    """The pieces of a domain, along its read chunks or, if it is to be written, its write chunks.

    Args:
        domain: Finite.
        layout: Of the view, in its indices.
        itemsize: Bytes per element.
        written: Which chunks.
    """
    grid = layout.write_chunk if written else layout.read_chunk
    shape = grid.shape or (0,) * domain.rank
    chunk = [size or max(1, extent) for size, extent in zip(shape, domain.shape, strict=True)]
    given = layout.grid_origin or domain.inclusive_min
    origin = [
        low if at is None else at for at, low in zip(given, domain.inclusive_min, strict=True)
    ]
    limit = PIECE_BYTES // max(1, itemsize)
    return boxes(domain.inclusive_min, domain.exclusive_max, origin, chunk, limit)


async def for_each(
    pieces: Iterator[Piece], work: Callable[[Piece], Awaitable[object]], width: int = PIECES
) -> None:
    """Does ``work(piece)`` for all pieces, for `width` of them at a time.

    Raises:
        Error: What the first one that failed raised; all others have ended by then, and no further
            one was begun.
    """

    async def some() -> None:
        for piece in pieces:
            await work(piece)

    # The group ends only once every piece under way has: an error leaves nothing behind.
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(some())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def place_of(piece: Piece, origin: Sequence[int]) -> Piece:
    """Where the elements of a piece are in an array that holds its domain from `origin` on."""
    return tuple(
        slice(each.start - low, each.stop - low) for each, low in zip(piece, origin, strict=True)
    )

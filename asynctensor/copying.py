"""Copying one array into another, piece by piece, in bounded memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asynctensor.chunked.array_driver import Progress, ProgressFunction
from asynctensor.errors import IncompatibleType
from asynctensor.index_space.alignment import align_to
from asynctensor.index_space.domain import IndexDomain

if TYPE_CHECKING:
    from asynctensor.tensorstore import TensorStore

#: A piece is grown to about so many bytes: a few chunks, so that several are under way at once.
_PIECE_BYTES = 8 * 2**20
#: Pieces under way at once: with their size, what a copy holds in memory.
_PIECES = 4


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
    for corner in _product(steps):
        yield tuple(
            slice(max(low, at), min(high, at + line.step))
            for low, high, at, line in zip(lower, upper, corner, steps, strict=True)
        )


def _product(lines: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """`itertools.product`, which would hold every element of every operand."""
    if not lines:
        yield ()
        return
    for first in lines[0]:
        for rest in _product(lines[1:]):
            yield (first, *rest)


async def copy_view(
    source: TensorStore, target: TensorStore, progress: ProgressFunction | None
) -> None:
    """Copies `source` into `target`, whose domain it must fit or be broadcast to.

    Raises:
        InvalidArgument: The domains do not fit.
        IncompatibleType: The data type cannot be cast without loss.

    A copy that fails or is cancelled has copied some pieces; none is being written any more.
    """
    theirs, ours = source.dtype.numpy_dtype, target.dtype.numpy_dtype
    if theirs != ours and not np.can_cast(theirs, ours, "safe"):
        raise IncompatibleType(f"cannot cast {theirs} to {ours} without loss")
    source, target = await source.resolve(), await target.resolve()
    aligned = source[align_to(source.domain, target.domain)]
    pieces = list_pieces(target)
    done = 0

    async def work() -> None:
        nonlocal done
        for piece in pieces:
            view = target[piece]
            data = await aligned[piece].read()
            await view.write(data)
            done += 1
            if progress is not None:
                progress(Progress("copy", done, None))

    # The group ends only once every piece under way has: an error leaves nothing behind.
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_PIECES):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def list_pieces(target: TensorStore) -> Iterator[Any]:
    """The pieces of `target`, along its write chunks."""
    domain: IndexDomain = target.domain
    grid = target.chunk_layout.write_chunk
    shape = grid.shape
    chunk = [s or max(1, n) for s, n in zip(shape or (0,) * domain.rank, domain.shape, strict=True)]
    given = target.chunk_layout.grid_origin or domain.inclusive_min
    origin = [
        low if at is None else at for at, low in zip(given, domain.inclusive_min, strict=True)
    ]
    limit = _PIECE_BYTES // max(1, target.dtype.numpy_dtype.itemsize)
    return boxes(domain.inclusive_min, domain.exclusive_max, origin, chunk, limit)

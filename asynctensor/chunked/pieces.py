"""Pieces of a view, cut along its chunks, and work on a few of them at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from asynctensor.chunked.array_driver import Progress, ProgressFunction
from asynctensor.index_space.domain import IndexDomain
from asynctensor.runtime.workers import WorkerPool
from asynctensor.schema.chunk_layout import ChunkLayout

#: A piece is grown to about so many bytes: a few chunks, so that several are under way at once.
PIECE_BYTES = 8 * 2**20
#: Pieces under way at once: with their size, what the work holds in memory.
PIECES = 4
#: What to index a view with: positions in its own domain.
Piece: TypeAlias = tuple[slice, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PieceGrid:
    """A box cut along a grid; its pieces are counted, and made one by one.

    Attributes:
        lower: Inclusive lower bounds of the box.
        upper: Exclusive upper bounds.
        steps: Where pieces begin, per dimension; the first ones may begin before the box.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    steps: tuple[range, ...]

    @property
    def count(self) -> int:
        """How many pieces there are; more, maybe, than a list could hold."""
        return math.prod(_length(line) for line in self.steps)

    def piece(self, number: int) -> Piece:
        """The piece of a number, the last dimension counting fastest."""
        found = []
        for line in reversed(self.steps):
            number, place = divmod(number, _length(line))
            found.append(line.start + place * line.step)
        return tuple(
            slice(max(low, at), min(high, at + line.step))
            for low, high, at, line in zip(
                self.lower, self.upper, reversed(found), self.steps, strict=True
            )
        )

    def __iter__(self) -> Iterator[Piece]:
        number, count = 0, self.count
        while number < count:
            yield self.piece(number)
            number += 1


def _length(line: range) -> int:
    """Its length, which ``len`` gives only where it is no longer than a list can be."""
    return max(0, -(-(line.stop - line.start) // line.step))


def boxes(
    lower: Sequence[int],
    upper: Sequence[int],
    origin: Sequence[int],
    chunk: Sequence[int],
    limit: int,
) -> PieceGrid:
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
    steps = []
    for low, high, start, step in zip(lower, upper, origin, shape, strict=True):
        first = start + (low - start) // step * step
        steps.append(range(first, high if high > low else first, step))
    return PieceGrid(tuple(lower), tuple(upper), tuple(steps))


def pieces_of(
    domain: IndexDomain, layout: ChunkLayout, itemsize: int, *, written: bool = False
) -> PieceGrid:
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
    pieces: Iterable[T], work: Callable[[T], Awaitable[object]], width: int = PIECES
) -> None:
    """Does ``work(piece)`` for all pieces, for `width` of them at a time.

    Raises:
        Error: What the first one that failed raised; all others have ended by then, and no further
            one was begun.
    """
    shared = iter(pieces)

    async def some() -> None:
        for piece in shared:
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


class Counter:
    """Counts the pieces done of an operation, and tells a user's function, on a worker."""

    def __init__(
        self,
        progress: ProgressFunction | None,
        operation: str,
        total: int,
        workers: WorkerPool,
        done: int = 0,
    ) -> None:
        self._progress, self._operation, self._workers = progress, operation, workers
        self._total, self._done = total, done
        self._lock = asyncio.Lock()

    async def count(self) -> None:
        """Says that one more is done."""
        if self._progress is None:
            return
        # One call at a time, in order.
        async with self._lock:
            self._done += 1
            told = Progress(self._operation, self._done, self._total)
            await self._workers.run(self._progress, told)

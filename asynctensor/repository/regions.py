"""Changed chunks of one array, gathered as boxes of its index space. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asynctensor.hierarchy.array_summary import ArraySummary
from asynctensor.index_space.domain import IndexDomain
from asynctensor.repository.boxes import Boxes
from asynctensor.repository.changes import ChunkCounts

#: Boxes that are told of one array.
MOST_REGIONS = 64
#: Grids: shapes of the boxes that one key holds.
_Grid = tuple[int, ...]


class Regions:
    """Chunks that differ, by the grids of both states.

    Args:
        before: The array in the first state; None if it was not there.
        after: The same in the second.
    """

    def __init__(self, before: ArraySummary | None, after: ArraySummary | None) -> None:
        self.counts = ChunkCounts()
        self._before, self._after = before, after
        self._boxes: dict[_Grid, Boxes] = {}

    def add(
        self,
        cells: NDArray[np.uint64],
        created: NDArray[np.bool_],
        deleted: NDArray[np.bool_],
    ) -> None:
        """Adds chunks.

        Args:
            cells: Their places in the grid, of shape (number of chunks, rank).
            created: Which of them the first state has not.
            deleted: Which of them the second state has not.
        """
        made, gone = int(created.sum()), int(deleted.sum())
        self.counts += ChunkCounts(made, len(cells) - made - gone, gone)
        # A chunk that is gone lay in the old grid.
        for there, some in ((self._after, cells[~deleted]), (self._before, cells[deleted])):
            known = there or self._after or self._before
            grid = grid_of(known) if known is not None else None
            if grid is not None and len(some):
                boxes = self._boxes.setdefault(grid, Boxes(len(grid), MOST_REGIONS))
                boxes.add(some[:, : len(grid)])

    @property
    def exact(self) -> bool:
        """Whether `domains` cover nothing else; to be asked behind it."""
        return all(boxes.exact for boxes in self._boxes.values())

    def domains(self) -> tuple[IndexDomain, ...]:
        """The regions, in which chunks behind the edges of the array are left out."""
        shapes = [each.shape for each in (self._before, self._after) if each is not None]
        if not shapes:
            return ()
        found: list[IndexDomain] = []
        for grid, boxes in self._boxes.items():
            fitting = [shape for shape in shapes if len(shape) == len(grid)]
            edge = [max(sizes) for sizes in zip(*fitting, strict=True)]
            for low, high in boxes.corners():
                first = [cell * size for cell, size in zip(low, grid, strict=True)]
                ends = [cell * size for cell, size in zip(high, grid, strict=True)]
                behind = [min(end, size) for end, size in zip(ends, edge, strict=True)]
                if all(start < stop for start, stop in zip(first, behind, strict=True)):
                    found.append(IndexDomain(inclusive_min=first, exclusive_max=behind))
        return tuple(found)


def grid_of(array: ArraySummary) -> tuple[int, ...] | None:
    """The shape of what one key of an array holds; None if its metadata does not say."""
    grid = array.shard_shape or array.chunk_shape
    if grid is None or len(grid) != len(array.shape) or 0 in grid:
        return None
    return grid


def numbers_of(array: ArraySummary) -> int:
    """How many numbers the keys of an array's chunks have."""
    return max(1, len(array.shape))

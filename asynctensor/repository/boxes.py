"""Sets of grid cells as few boxes, in bounded memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.uint64]

#: Boxes that are held before they are merged.
_HELD = 1 << 16
#: No coordinate of a cell is as large.
_END = 1 << 63


class Boxes:
    """Cells of a grid of `rank` dimensions, as boxes that cover them.

    Args:
        rank: Of the grid.
        limit: How many boxes there are in the end, at most.

    Attributes:
        exact: Whether the boxes cover nothing but the cells that were added, and each once. Where
            those take more boxes than the limit, cells are rounded to blocks of 2, 4, 8 ... .
    """

    def __init__(self, rank: int, limit: int) -> None:
        self._limit = limit
        self._lows: Corners = np.zeros((0, rank), np.uint64)
        self._highs: Corners = np.zeros((0, rank), np.uint64)
        self._block = 1
        self.exact = True

    def __len__(self) -> int:
        return len(self._lows)

    def add(self, cells: NDArray[np.uint64]) -> None:
        """Adds cells, of shape (number of cells, rank); none is added twice."""
        self._take(cells, cells + np.uint64(1))
        if len(self) > _HELD:
            self._few(max(self._limit, _HELD // 4))

    def corners(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The boxes, ascending: first cell, and the corner behind the last."""
        self._few(self._limit)
        order = np.lexsort(self._lows.T[::-1]) if self._lows.shape[1] else np.arange(len(self))
        for low, high in zip(self._lows[order].tolist(), self._highs[order].tolist(), strict=True):
            yield tuple(low), tuple(high)

    def _take(self, lows: Corners, highs: Corners) -> None:
        if self._block > 1:
            lows, highs = _rounded(lows, highs, self._block)
        self._lows = np.concatenate([self._lows, lows])
        self._highs = np.concatenate([self._highs, highs])

    def _few(self, most: int) -> None:
        self._lows, self._highs = merged(self._lows, self._highs)
        while len(self) > most:
            self.exact = False
            self._block *= 2
            self._lows, self._highs = _rounded(self._lows, self._highs, self._block)
            self._lows, self._highs = merged(self._lows, self._highs)


def merged(lows: Corners, highs: Corners) -> tuple[Corners, Corners]:
    """The same cells in fewer boxes: neighbours that make one box are joined, axis by axis."""
    rank = lows.shape[1]
    lows, highs = _distinct(lows, highs)
    before = -1
    while before != len(lows):
        before = len(lows)
        for axis in reversed(range(rank)):
            lows, highs = _joined(lows, highs, axis)
    return lows, highs


def _joined(lows: Corners, highs: Corners, axis: int) -> tuple[Corners, Corners]:
    """Joins boxes that lie behind one another along an axis, and are alike along the others."""
    if len(lows) < 2:
        return lows, highs
    others = [each for each in range(lows.shape[1]) if each != axis]
    alike = np.concatenate([lows[:, others], highs[:, others]], axis=1)
    order = np.lexsort([lows[:, axis], *alike.T])
    lows, highs, alike = lows[order], highs[order], alike[order]
    follows = (alike[1:] == alike[:-1]).all(axis=1) & (lows[1:, axis] == highs[:-1, axis])
    if not follows.any():
        return lows, highs
    first = np.concatenate([[True], ~follows])
    last = np.concatenate([~follows, [True]])
    made = highs[first].copy()
    made[:, axis] = highs[last, axis]
    return lows[first], made


def _distinct(lows: Corners, highs: Corners) -> tuple[Corners, Corners]:
    if len(lows) < 2:
        return lows, highs
    both = np.unique(np.concatenate([lows, highs], axis=1), axis=0)
    rank = lows.shape[1]
    return cast("Corners", both[:, :rank]), cast("Corners", both[:, rank:])


def _rounded(lows: Corners, highs: Corners, block: int) -> tuple[Corners, Corners]:
    """The boxes with corners at multiples of `block`, outwards."""
    step = np.uint64(min(block, _END))
    one = np.uint64(1)
    ends = ((highs - one) // step + one) * step
    return lows // step * step, np.minimum(ends, np.uint64(_END))

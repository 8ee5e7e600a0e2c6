"""Groups of dimensions whose points are given one by one, sorted by grid cell once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from asynctensor.chunked.segment import Int64Array, Segment, Term

_RADIX: Final = 2**16


class IndexSet:
    """Points given one by one: index arrays, and input dimensions used by several dimensions.

    There may be very many of them, so that what is kept for each is its place in the order of
    the cells, and nothing else.

    Args:
        in_dims: Input dimensions of the group.
        out_dims: Array dimensions of the group.
        shape: What the points fill in C order, where there are no `positions`.
        indices: Per array dimension, the index of each point.
        sizes: Chunk size of every array dimension.
        positions: Per input dimension, the position (origin 0) of each point.
    """

    __slots__ = (
        "_bounds", "_cells", "_indices", "_order", "_positions", "_shape", "_sizes", "count",
        "in_dims", "out_dims",
    )  # fmt: skip

    def __init__(
        self,
        in_dims: tuple[int, ...],
        out_dims: tuple[int, ...],
        shape: tuple[int, ...],
        indices: Sequence[Int64Array],
        sizes: Sequence[int],
        positions: Sequence[Int64Array] | None = None,
    ) -> None:
        self.in_dims, self.out_dims = in_dims, out_dims
        self._shape, self._positions, self._indices = shape, positions, indices
        self._sizes = [sizes[d] for d in out_dims]
        self._order, self._bounds = _by_cell(indices, self._sizes)
        self.count = len(self._bounds) - 1
        first = self._order[self._bounds[:-1]]
        self._cells = [a[first] // size for a, size in zip(indices, self._sizes, strict=True)]

    def segment(self, i: int) -> Segment:
        """The segment of the `i`-th cell, in lexicographical order of the cells."""
        points = self._order[int(self._bounds[i]) : int(self._bounds[i + 1])]
        cell = tuple([int(c[i]) for c in self._cells])
        begins = [c * size for c, size in zip(cell, self._sizes, strict=True)]
        return Segment(
            cell,
            tuple([a[points] - begin for a, begin in zip(self._indices, begins, strict=True)]),
            self._positions_of(points),
            len(points),
            False,
        )

    def _positions_of(self, points: Int64Array) -> tuple[Int64Array, ...]:
        if self._positions is not None:
            return tuple([p[points] for p in self._positions])
        if len(self._shape) == 1:
            return (points,)
        return tuple(np.unravel_index(points, self._shape))

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether a point lies in `cell`."""
        if not self.count:
            return False
        # Asked for each of perhaps many stored chunks: the cells are sorted.
        begin, end = 0, self.count
        for cells, k in zip(self._cells, cell, strict=True):
            part = cells[begin:end]
            low, high = np.searchsorted(part, k, "left"), np.searchsorted(part, k, "right")
            begin, end = begin + int(low), begin + int(high)
        return end > begin

    def within(self, segment: Segment, sizes: Sequence[int]) -> IndexSet:
        """The points of `segment` on a finer grid that starts where its cell starts."""
        return IndexSet(
            self.in_dims,
            self.out_dims,
            (segment.count,),
            [_as_array(a) for a in segment.chunk],
            sizes,
            [_as_array(p) for p in segment.view],
        )


def _by_cell(indices: Sequence[Int64Array], sizes: Sequence[int]) -> tuple[Int64Array, Int64Array]:
    """Sorts points by the grid cells that they lie in.

    Stable, so that of points that hit one element the last in the view stays the last.

    Returns:
        The points in the order of their cells, and where in it each cell begins; at the end,
        the number of points.
    """
    points = len(indices[0])
    if not points:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    order: Int64Array | None = None
    digits = _digits(indices, sizes)
    for digit in digits:
        # NumPy sorts 16 bits in time proportional to their number, and anything longer slower.
        by_digit = np.argsort(digit if order is None else digit[order], kind="stable")
        order = by_digit if order is None else order[by_digit]
    if order is None:
        return np.arange(points), np.array([0, points])
    changes = np.zeros(points - 1, dtype=bool)
    for digit in digits:
        ordered = digit[order]
        changes |= ordered[1:] != ordered[:-1]
    return order, np.concatenate(([0], np.flatnonzero(changes) + 1, [points]))


def _digits(indices: Sequence[Int64Array], sizes: Sequence[int]) -> list[npt.NDArray[np.uint16]]:
    """The cells of points as numbers of 16-bit digits, the least significant one first."""
    digits: list[npt.NDArray[np.uint16]] = []
    weight = _RADIX
    for array, size in zip(reversed(indices), reversed(sizes), strict=True):
        low, high = int(array.min()) // size, int(array.max()) // size
        extent = high - low + 1
        if extent == 1:
            continue
        if extent > _RADIX:
            cells = array // size - low
            digits += [(cells >> shift).astype(np.uint16) for shift in range(0, 64, 16)
                       if high - low >> shift]  # fmt: skip
            weight = _RADIX
            continue
        digit = np.empty(len(array), np.uint16)
        np.floor_divide(array, size, out=digit, casting="unsafe")
        # Both are taken modulo the radix, so that their difference is right.
        digit -= np.uint16(low % _RADIX)
        if weight * extent <= _RADIX:
            digit *= np.uint16(weight % _RADIX)
            digits[-1] += digit
            weight *= extent
        else:
            digits.append(digit)
            weight = extent
    return digits


def _as_array(term: Term) -> Int64Array:
    assert isinstance(term, np.ndarray)
    return term

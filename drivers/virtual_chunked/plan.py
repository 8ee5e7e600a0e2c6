"""Which chunks of a virtual array a view touches: a `Partition` of cells anywhere on the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.index_set import IndexSet
from asynctensor.chunked.segment import Segment, Term, points_of
from asynctensor.drivers.virtual_chunked.layout import VirtualLayout
from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform


class VirtualPartition(Partition):
    """The chunks that a view touches. Grid positions count from the grid's origin.

    A partition plans from an origin of 0. So planning is done on indices from which the first one
    of some chunk at or before the view was taken away, and positions are given back from there.
    """

    __slots__ = ("_first", "_layout")

    _first: tuple[int, ...]
    _layout: VirtualLayout

    @classmethod
    def over(cls, transform: IndexTransform, layout: VirtualLayout) -> Self:
        """Splits a view, whose domain is finite and not empty.

        Raises:
            OutOfRange: It leaves the array.
        """
        first, extents, maps = [], [], []
        for dim, (low, high) in enumerate(_ranges(transform, layout)):
            size, origin = layout.chunk_shape[dim], layout.grid_origin[dim]
            cell = (low - origin) // size
            first.append(cell)
            start = origin + cell * size
            extents.append(high + 1 - start)
            maps.append(_shifted(transform.maps[dim], start))
        moved = IndexTransform.make(transform.bounds, transform.input_labels, tuple(maps))
        self = cls.of(moved, layout.chunk_shape, extents)
        self._first, self._layout = tuple(first), layout
        return self

    def index(self, cell: Cell) -> tuple[int, ...]:
        """The grid position of `cell`."""
        found = super().index(cell)
        return tuple([k + first for k, first in zip(found, self._first, strict=True)])

    def is_full(self, cell: Cell) -> bool:
        """Whether every element that the chunk has is hit."""
        lower, upper = self._layout.bounds(self.index(cell))
        for group, segment in zip(self.sets, cell, strict=True):
            if not group.out_dims:
                continue
            wanted = math.prod([upper[d] - lower[d] for d in group.out_dims])
            if segment.count < wanted or (
                isinstance(group, IndexSet) and _distinct(segment) < wanted
            ):
                return False
        return True

    def gather(self, chunk: Array, data: Array, cell: Cell) -> None:
        """See `Partition.gather`; `chunk` begins where the array does."""
        super().gather(chunk, data, self._within(cell))

    def scatter(self, data: Array, chunk: Array, cell: Cell) -> None:
        """See `Partition.scatter`; `chunk` begins where the array does."""
        super().scatter(data, chunk, self._within(cell))

    def _within(self, cell: Cell) -> Cell:
        """`cell` with its places counted from the first element that the chunk really has."""
        layout, index = self._layout, self.index(cell)
        lower, _ = layout.bounds(index)
        missing = [
            low - (origin + k * size)
            for low, origin, k, size in zip(
                lower, layout.grid_origin, index, layout.chunk_shape, strict=True
            )
        ]
        if not any(missing):
            return cell
        return tuple(
            _moved(segment, [missing[d] for d in group.out_dims])
            for group, segment in zip(self.sets, cell, strict=True)
        )


def _distinct(segment: Segment) -> int:
    """Number of elements of the chunk that an index array hits, some perhaps more than once."""
    points = [points_of(term, segment.count) for term in segment.chunk]
    return len(np.unique(np.stack(points, axis=1), axis=0))


def _moved(segment: Segment, missing: Sequence[int]) -> Segment:
    if not any(missing):
        return segment
    terms = tuple(_moved_term(t, by) for t, by in zip(segment.chunk, missing, strict=True))
    return Segment(
        segment.cell, terms, segment.view, segment.count, segment.full, segment.low, segment.high
    )


def _moved_term(term: Term, by: int) -> Term:
    if not isinstance(term, slice):
        return term - by
    stop = None if term.stop is None or term.stop < by else term.stop - by
    return slice(term.start - by, stop, term.step)


def _shifted(output: OutputIndexMap, start: int) -> OutputIndexMap:
    if output.index_array is not None:
        return OutputIndexMap(
            output.index_array,
            offset=output.offset - start,
            stride=output.stride,
            index_range=output.index_range,
        )
    if output.input_dimension is None:
        return OutputIndexMap.constant(output.offset - start)
    assert output.stride is not None
    return OutputIndexMap.single(output.input_dimension, output.offset - start, output.stride)


def _ranges(transform: IndexTransform, layout: VirtualLayout) -> list[tuple[int, int]]:
    """First and last index that the view touches along each dimension of the array."""
    found = []
    for dim, output in enumerate(transform.maps):
        low, high = _range(transform, output)
        domain = layout.domain
        lower, upper = domain.inclusive_min[dim], domain.exclusive_max[dim]
        if low < lower or high >= upper:
            bad = low if low < lower else high
            raise OutOfRange(
                f"index {bad} is outside the valid range [{lower}, {upper}) of dimension {dim}"
            )
        found.append((low, high))
    return found


def _range(transform: IndexTransform, output: OutputIndexMap) -> tuple[int, int]:
    stride = output.stride or 0
    if output.index_array is not None:
        ends = [int(output.index_array.min()), int(output.index_array.max())]
    elif output.input_dimension is not None:
        dim = output.input_dimension
        ends = [transform.input_inclusive_min[dim], transform.input_exclusive_max[dim] - 1]
    else:
        ends = [0]
    indices = [output.offset + stride * end for end in ends]
    return min(indices), max(indices)


def check_finite(transform: IndexTransform, what: str) -> None:
    """Refuses a view that nobody could hold.

    Raises:
        InvalidArgument: A bound is infinite.
    """
    lowest, highest = transform.input_inclusive_min, transform.input_exclusive_max
    if any(low <= UNBOUNDED_MIN for low in lowest) or any(
        high >= UNBOUNDED_MAX for high in highest
    ):
        raise InvalidArgument(f"{what} requires a finite domain, got {transform.domain}")

"""How one independent group of dimensions of a view falls onto a regular grid.

A view maps input positions to positions in the array. Dimensions fall into groups that do not
influence each other (TensorStore calls them connected sets): mostly one input dimension feeding
one array dimension by an offset and a stride, for which every segment follows from arithmetic and
nothing is stored; or index arrays, whose points are sorted by grid cell once.

A *segment* is the part of a group that lies in one grid cell (one position per array dimension of
the group). The cells that a view touches are the products of its groups' segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import OutOfRange
from asynctensor.index_space.propagate_bounds import check_index_arrays

Int64Array: TypeAlias = npt.NDArray[np.int64]
_RADIX: Final = 2**16
Term: TypeAlias = "int | slice | Int64Array"

#: Strided sets that are kept for the next read with the same part of a dimension.
_KEPT_SETS: Final = 4096


class Segment:
    """Where one group of dimensions meets one grid cell.

    Attributes:
        cell: Grid position along each array dimension of the group.
        chunk: Index into the chunk, a term per array dimension.
        view: Index into the view's data (origin 0), a term per input dimension.
        count: Number of points.
        full: Whether every element of the cell is hit along these dimensions. A cell that the
            array ends in never is: the array may have grown since, and have more in it.
    """

    __slots__ = ("cell", "chunk", "count", "full", "high", "low", "view")

    def __init__(
        self,
        cell: tuple[int, ...],
        chunk: tuple[Term, ...],
        view: tuple[Term, ...],
        count: int,
        full: bool,
        low: int = 0,
        high: int = 0,
    ) -> None:
        self.cell = cell
        self.chunk = chunk
        self.view = view
        self.count = count
        self.full = full
        self.low = low
        self.high = high


class StridedSet:
    """One input dimension ``x`` in [low, high), at ``offset + stride * x`` of one array dimension.

    Attributes:
        in_dims: The input dimension.
        out_dims: The array dimension.
        count: Number of cells touched.
    """

    __slots__ = (
        "_first", "_high", "_leading", "_low", "_offset", "_origin", "_size", "_stride", "count",
        "in_dims", "out_dims",
    )  # fmt: skip

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        offset: int,
        stride: int,
        low: int,
        high: int,
        origin: int,
        size: int,
    ) -> None:
        self.in_dims = (in_dim,)
        self.out_dims = (out_dim,)
        self._offset, self._stride = offset, stride
        self._low, self._high, self._origin = low, high, origin
        self._size = size
        self._leading: Segment | None = None
        first = offset + stride * low
        last = offset + stride * (high - 1)
        self._first = first // size
        if high <= low:
            self.count = 0
        elif abs(stride) <= size:
            self.count = abs(last // size - self._first) + 1
        else:
            self.count = high - low

    @property
    def length(self) -> int:
        """Number of positions."""
        return self._high - self._low

    def leading(self) -> Segment:
        """The first segment, kept for who asks again."""
        if self._leading is None:
            self._leading = self.segment(0)
        return self._leading

    def segment(self, i: int) -> Segment:
        """The `i`-th segment in order of the input dimension."""
        offset, stride, size = self._offset, self._stride, self._size
        if stride == 1:
            cell = self._first + i
            low = max(self._low, cell * size - offset)
            high = min(self._high, (cell + 1) * size - offset)
        elif abs(stride) > size:
            low = self._low + i
            high = low + 1
            cell = (offset + stride * low) // size
        elif stride > 0:
            cell = self._first + i
            low = max(self._low, -((offset - cell * size) // stride))
            high = min(self._high, -((offset - (cell + 1) * size) // stride))
        else:
            cell = self._first - i
            low = max(self._low, (offset - (cell + 1) * size) // -stride + 1)
            high = min(self._high, (offset - cell * size) // -stride + 1)
        start = offset + stride * low - cell * size
        count = high - low
        stop: int | None = start + stride * (count - 1) + (1 if stride > 0 else -1)
        if stop is not None and stop < 0:
            stop = None
        full = count == size and (stride in (1, -1) or count == 1)
        return Segment(
            (cell,),
            (slice(start, stop, stride),),
            (slice(low - self._origin, high - self._origin),),
            count,
            full,
            low,
            high,
        )

    def whole(self) -> range:
        """Which segments are all of their cell, element by element in order."""
        if self._stride != 1 or not self.count:
            return range(0)
        begins = self._first * self._size - self._offset
        first = 0 if begins >= self._low else 1
        ends = begins + self.count * self._size
        stop = self.count if ends <= self._high else self.count - 1
        return range(first, max(first, stop))

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether a segment lies in `cell`."""
        if not self.count:
            return False
        begin, end = cell[0] * self._size - self._offset, (cell[0] + 1) * self._size - self._offset
        # Positions x with begin <= stride * x < end.
        if self._stride > 0:
            low, high = -(-begin // self._stride), -(-end // self._stride)
        else:
            low, high = -end // -self._stride + 1, -begin // -self._stride + 1
        return max(low, self._low) < min(high, self._high)

    def within(self, segment: Segment, sizes: Sequence[int]) -> StridedSet:
        """The part in `segment`, on a finer grid that starts where its cell starts."""
        (cell,) = segment.cell
        begin = cell * self._size
        return StridedSet(
            self.in_dims[0],
            self.out_dims[0],
            self._offset - begin,
            self._stride,
            segment.low,
            segment.high,
            self._origin,
            sizes[self.out_dims[0]],
        )


class ConstantSet:
    """One array dimension at a fixed index."""

    __slots__ = ("_index", "_size", "count", "in_dims", "out_dims")

    def __init__(self, out_dim: int, index: int, size: int) -> None:
        self.in_dims: tuple[int, ...] = ()
        self.out_dims = (out_dim,)
        self.count = 1
        self._index, self._size = index, size

    def segment(self, i: int) -> Segment:
        """The only segment."""
        cell, index = divmod(self._index, self._size)
        return Segment((cell,), (index,), (), 1, self._size == 1)

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether `cell` is its cell."""
        return self._index // self._size == cell[0]

    def within(self, segment: Segment, sizes: Sequence[int]) -> ConstantSet:
        """The same on a finer grid that starts where the segment's cell starts."""
        out_dim = self.out_dims[0]
        begin = segment.cell[0] * self._size
        return ConstantSet(out_dim, self._index - begin, sizes[out_dim])


class UnusedSet:
    """One input dimension that no array dimension depends on: its positions share their data."""

    __slots__ = ("_length", "count", "in_dims", "out_dims")

    def __init__(self, in_dim: int, length: int) -> None:
        self.in_dims = (in_dim,)
        self.out_dims: tuple[int, ...] = ()
        self.count = 1 if length > 0 else 0
        self._length = length

    def segment(self, i: int) -> Segment:
        """The only segment."""
        return Segment((), (), (slice(0, self._length),), self._length, True)

    def touches(self, cell: tuple[int, ...]) -> bool:
        """Whether there is anything at all."""
        return self.count > 0

    def within(self, segment: Segment, sizes: Sequence[int]) -> UnusedSet:
        """Itself: a grid does not matter to it."""
        return self


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


DimSet: TypeAlias = StridedSet | ConstantSet | UnusedSet | IndexSet


def _as_array(term: Term) -> Int64Array:
    assert isinstance(term, np.ndarray)
    return term


def points_of(term: Term, count: int) -> Int64Array:
    """A term's indices one by one."""
    if isinstance(term, slice):
        points: Int64Array = term.start + np.arange(count, dtype=np.int64) * (term.step or 1)
        return points
    if isinstance(term, int):
        return np.full(1, term, dtype=np.int64)
    return term


def dim_sets(transform: Any, sizes: Sequence[int], extents: Sequence[int]) -> list[DimSet]:
    """Splits a view into its independent groups of dimensions.

    Args:
        transform: `IndexTransform` from the view's finite domain to an array of origin 0.
        sizes: Chunk size along each array dimension.
        extents: Size of the array along each dimension.

    Returns:
        The groups, ordered by their first array dimension, those without one last.

    Raises:
        OutOfRange: An index array leaves the array, or the view that it indexed.
    """
    aligned = aligned_sets(transform, sizes, extents)
    if aligned is not None:
        return list(aligned)
    check_index_arrays(transform)
    lows, highs = transform.input_inclusive_min, transform.input_exclusive_max
    depends = [_depends_on(m) for m in transform.maps]
    groups = _connected(depends, transform.input_rank)
    sets: list[DimSet] = []
    for in_dims, out_dims in groups:
        if not in_dims:
            (o,) = out_dims
            index = _constant_index(transform.maps[o])
            _check_index(index, index, o, extents)
            sets.append(ConstantSet(o, index, sizes[o]))
        elif not out_dims:
            (d,) = in_dims
            sets.append(UnusedSet(d, highs[d] - lows[d]))
        elif len(out_dims) == 1 and transform.maps[out_dims[0]].index_array is None:
            (d,), (o,) = in_dims, out_dims
            m = transform.maps[o]
            if highs[d] > lows[d]:
                ends = m.offset + m.stride * lows[d], m.offset + m.stride * (highs[d] - 1)
                _check_index(min(ends), max(ends), o, extents)
            sets.append(StridedSet(d, o, m.offset, m.stride, lows[d], highs[d], lows[d], sizes[o]))
        else:
            sets.append(_index_set(transform, in_dims, out_dims, sizes, extents))
    return sets


def aligned_sets(
    transform: Any, sizes: Sequence[int], extents: Sequence[int]
) -> list[StridedSet] | None:
    """`dim_sets` of a view with the array's dimensions in order; None for any other view.

    This is the path of nearly every small read.
    """
    lows, highs = transform.input_inclusive_min, transform.input_exclusive_max
    maps = transform.maps
    if len(lows) != len(maps):
        return None
    sets = []
    for dim, m in enumerate(maps):
        stride = m.stride
        if m.input_dimension != dim or not stride:
            return None
        low, high, offset = lows[dim], highs[dim], m.offset
        if high > low:
            first, last = offset + stride * low, offset + stride * (high - 1)
            if first < 0 or last < 0 or first >= extents[dim] or last >= extents[dim]:
                _check_index(min(first, last), max(first, last), dim, extents)
        sets.append(_strided(dim, dim, offset, stride, low, high, low, sizes[dim]))
    return sets


#: Sets do not change. Reads whose boxes share edges share them, instead of making some thirty
#: objects each: thousands of reads at once would have the garbage collector look at every object
#: of the process again and again.
_strided = lru_cache(_KEPT_SETS)(StridedSet)


def _depends_on(output_map: Any) -> tuple[int, ...]:
    if output_map.index_array is not None:
        return tuple(d for d, n in enumerate(output_map.index_array.shape) if n != 1)
    if output_map.input_dimension is None or output_map.stride == 0:
        return ()
    return (int(output_map.input_dimension),)


def _constant_index(output_map: Any) -> int:
    if output_map.index_array is None:
        return int(output_map.offset)
    return int(output_map.offset + output_map.stride * output_map.index_array.item())


def _connected(
    depends: Sequence[tuple[int, ...]], input_rank: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Groups of (input dimensions, array dimensions) that depend on each other."""
    leader = list(range(input_rank))

    def find(d: int) -> int:
        while leader[d] != d:
            d = leader[d]
        return d

    for dims in depends:
        for d in dims[1:]:
            leader[find(d)] = find(dims[0])
    groups: list[tuple[list[int], list[int]]] = []
    of_leader: dict[int, tuple[list[int], list[int]]] = {}
    for o, dims in enumerate(depends):
        if not dims:
            groups.append(([], [o]))
            continue
        root = find(dims[0])
        if root not in of_leader:
            of_leader[root] = ([], [])
            groups.append(of_leader[root])
        of_leader[root][1].append(o)
    for d in range(input_rank):
        group = of_leader.get(find(d))
        if group is None:
            groups.append(([d], []))
        else:
            group[0].append(d)
    return [(tuple(i), tuple(o)) for i, o in groups]


def _index_set(
    transform: Any,
    in_dims: tuple[int, ...],
    out_dims: tuple[int, ...],
    sizes: Sequence[int],
    extents: Sequence[int],
) -> IndexSet:
    lows = [transform.input_inclusive_min[d] for d in in_dims]
    shape = tuple(
        transform.input_exclusive_max[d] - low for d, low in zip(in_dims, lows, strict=True)
    )
    indices = []
    for o in out_dims:
        m = transform.maps[o]
        if m.index_array is not None:
            array = m.index_array.reshape([m.index_array.shape[d] for d in in_dims])
            if array.size:
                # As Python's integers, which do not wrap around.
                ends = [m.offset + m.stride * int(k) for k in (array.min(), array.max())]
                _check_index(min(ends), max(ends), o, extents)
            if m.offset or m.stride != 1:
                array = m.offset + m.stride * array
            values = np.broadcast_to(array, shape)
        else:
            k = in_dims.index(m.input_dimension)
            ends = [m.offset + m.stride * k for k in (lows[k], lows[k] + shape[k] - 1)]
            if shape[k]:
                _check_index(min(ends), max(ends), o, extents)
            line = m.offset + m.stride * (lows[k] + np.arange(shape[k], dtype=np.int64))
            values = np.broadcast_to(line.reshape([-1] + [1] * (len(shape) - 1 - k)), shape)
        indices.append(values.reshape(-1))
    return IndexSet(in_dims, out_dims, shape, indices, sizes)


def _check_index(low: int, high: int, dim: int, extents: Sequence[int]) -> None:
    if low < 0 or high >= extents[dim]:
        bad = low if low < 0 else high
        raise OutOfRange(
            f"index {bad} is outside the valid range [0, {extents[dim]}) of dimension {dim}"
        )

"""How one independent group of dimensions of a view falls onto a regular grid.

A view maps input positions to positions in the array. Dimensions fall into groups that do not
influence each other (TensorStore calls them connected sets): mostly one input dimension feeding
one array dimension by an offset and a stride, for which every segment follows from arithmetic and
nothing is stored (`strided_set`); or index arrays, whose points are sorted by grid cell once
(`index_set`).

A *segment* is the part of a group that lies in one grid cell (one position per array dimension of
the group). The cells that a view touches are the products of its groups' segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np

from asynctensor.chunked.index_set import IndexSet
from asynctensor.chunked.strided_set import ConstantSet, StridedSet, UnusedSet
from asynctensor.errors import OutOfRange
from asynctensor.index_space.propagate_bounds import check_index_arrays

#: Strided sets that are kept for the next read with the same part of a dimension.
_KEPT_SETS: Final = 4096

DimSet: TypeAlias = StridedSet | ConstantSet | UnusedSet | IndexSet


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

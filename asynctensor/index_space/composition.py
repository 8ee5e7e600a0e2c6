"""Composition: the maps and the domain of ``x -> left(right(x))``.

The normal form (constant, one dimension, array) is closed under composition, and arrays are
only copied where an array meets an array; a slice of an array stays a view of it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from asynctensor.errors import InvalidIndex, OutOfRange
from asynctensor.index_space.interval import (
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    affine_domain,
    contains,
    effective,
    format_interval,
    is_explicitly_empty,
)
from asynctensor.index_space.output_map import IndexArray, OutputIndexMap
from asynctensor.index_space.representation import BoxBounds, R, TransformRep


def compose(left: R, right: TransformRep) -> R:
    """The transform ``x -> left(right(x))``.

    Raises:
        InvalidIndex: If the ranks do not fit.
        OutOfRange: If explicit bounds of `right`, or a constant in it, reach outside `left`.
    """
    if right.output_rank != left.input_rank:
        raise InvalidIndex(
            f"Rank {left.input_rank} -> {left.output_rank} transform cannot be composed with "
            f"rank {right.input_rank} -> {right.output_rank} transform."
        )
    bounds = propagate(right, left.bounds)
    return left.make(bounds, right.input_labels, compose_maps(left, right.maps, bounds))


def propagate(transform: TransformRep, output: BoxBounds) -> BoxBounds:
    """Input bounds of `transform` over an output space with these bounds.

    Implicit input bounds are replaced by what the output space implies, and stay implicit only
    if all bounds that imply them are; explicit ones stay, and must not reach outside.

    Raises:
        OutOfRange: If an explicit input bound or a constant lies outside explicit output bounds.
    """
    if _lies_inside(transform, output):
        return transform.bounds
    lower, upper = list(transform.input_inclusive_min), list(transform.input_exclusive_max)
    new_implicit_lower = list(transform.implicit_lower_bounds)
    new_implicit_upper = list(transform.implicit_upper_bounds)
    empty = is_explicitly_empty(lower, upper, new_implicit_lower, new_implicit_upper)
    inferred: dict[int, tuple[int, int, bool, bool]] = {}
    for out, item in enumerate(transform.maps):
        lo, hi, ilo, ihi = (output[0][out], output[1][out], output[2][out], output[3][out])
        dim = item.input_dimension
        if dim is None:
            if item.index_array is None and not empty:
                check_constant(out, item.offset, effective(lo, hi, ilo, ihi))
            continue
        stride = item.stride or 0
        lo, hi = affine_domain(lo, hi, item.offset, stride)
        if stride < 0:
            ilo, ihi = ihi, ilo
        known = inferred.get(dim)
        inferred[dim] = (lo, hi, ilo, ihi) if known is None else _meet(known, (lo, hi, ilo, ihi))
    for dim, (lo, hi, ilo, ihi) in inferred.items():
        old = (lower[dim], upper[dim])
        if new_implicit_lower[dim]:
            lower[dim], new_implicit_lower[dim] = lo, ilo
            kept_lower = lo
        else:
            kept_lower = old[0]
        if new_implicit_upper[dim]:
            upper[dim], new_implicit_upper[dim] = hi, ihi
        upper[dim] = max(upper[dim], kept_lower)
        if not empty and not contains(effective(lo, hi, ilo, ihi), lower[dim], upper[dim]):
            raise OutOfRange(
                f"Propagated bounds {format_interval(lo, hi)} for dimension {dim} are "
                f"incompatible with existing bounds {format_interval(*old)}."
            )
    return tuple(lower), tuple(upper), tuple(new_implicit_lower), tuple(new_implicit_upper)


def _lies_inside(transform: TransformRep, output: BoxBounds) -> bool:
    """Whether plainly nothing changes: explicit bounds, moved by the maps, are inside `output`.

    False says nothing: infinite and empty intervals have rules of their own.
    """
    if True in transform.implicit_lower_bounds or True in transform.implicit_upper_bounds:
        return False
    lower, upper = transform.input_inclusive_min, transform.input_exclusive_max
    if UNBOUNDED_MIN in lower or UNBOUNDED_MAX in upper or any(map(operator.eq, lower, upper)):
        return False
    for item, low, high in zip(transform.maps, output[0], output[1], strict=True):
        dim, offset = item.input_dimension, item.offset
        if dim is not None:
            inside = item.stride == 1 and low <= lower[dim] + offset and upper[dim] + offset <= high
        else:
            inside = item.index_array is not None or low <= offset < high
        if not inside or low == UNBOUNDED_MIN or high == UNBOUNDED_MAX:
            return False
    return True


def _meet(
    a: tuple[int, int, bool, bool], b: tuple[int, int, bool, bool]
) -> tuple[int, int, bool, bool]:
    """Intersects two intervals; an explicit bound wins over an implicit one."""
    lower = max(a[0], b[0]) if a[2] == b[2] else (b if a[2] else a)[0]
    upper = min(a[1], b[1]) if a[3] == b[3] else (b if a[3] else a)[1]
    return lower, max(lower, upper), a[2] and b[2], a[3] and b[3]


def check_constant(dim: int, index: int, bounds: tuple[int, int]) -> None:
    """Refuses a constant index outside `bounds`.

    Raises:
        OutOfRange: If it is outside, or no finite index at all.
    """
    if not (bounds[0] <= index < bounds[1] and UNBOUNDED_MIN < index < UNBOUNDED_MAX - 1):
        hint = "; it is a position, and does not count from the end" if index < 0 else ""
        raise OutOfRange(
            f"Checking bounds of constant output index map for dimension {dim}: "
            f"Index {index} is outside valid range {format_interval(*bounds)}{hint}"
        )


def compose_maps(
    left: TransformRep, right: Sequence[OutputIndexMap], bounds: BoxBounds
) -> tuple[OutputIndexMap, ...]:
    """The maps of ``left(right(x))`` over a domain with the given bounds.

    Args:
        left: The transform applied last.
        right: One map per input dimension of `left`, over the new domain.
        bounds: The bounds of the new domain.

    Raises:
        OutOfRange: If an index array leaves the bounds of `left` where it is looked up.
    """
    empty = is_explicitly_empty(*bounds)
    maps: list[OutputIndexMap] = []
    for item in left.maps:
        dim = item.input_dimension
        if item.index_array is not None:
            maps.append(
                OutputIndexMap.constant(0) if empty else _compose_array(left, item, right, bounds)
            )
        elif dim is None:
            maps.append(item)
        else:
            maps.append(_compose_single(left, item, dim, right[dim], empty))
    return tuple(maps)


def _compose_single(
    left: TransformRep, item: OutputIndexMap, dim: int, inner: OutputIndexMap, empty: bool
) -> OutputIndexMap:
    stride = item.stride or 0
    offset = item.offset + stride * inner.offset
    if inner.index_array is None:
        if inner.input_dimension is None:
            return OutputIndexMap.constant(offset)
        if stride == 1 and not item.offset:
            return inner
        return OutputIndexMap.single(inner.input_dimension, offset, stride * (inner.stride or 0))
    if empty:
        return OutputIndexMap.constant(0)
    bounds = effective(
        left.input_inclusive_min[dim],
        left.input_exclusive_max[dim],
        left.implicit_lower_bounds[dim],
        left.implicit_upper_bounds[dim],
    )
    factor = inner.stride or 0
    low, high = affine_domain(*bounds, inner.offset, factor)
    low = max(low, inner.range[0])
    allowed = (low, max(low, min(high, inner.range[1])))
    return array_map(inner.index_array, offset, stride * factor, allowed)


def array_map(
    array: IndexArray, offset: int, stride: int, bounds: tuple[int, int]
) -> OutputIndexMap:
    """An array map, or the constant that it is if it has but one element.

    Raises:
        OutOfRange: If that one element is outside `bounds`.
    """
    if array.size != 1:
        return OutputIndexMap.array(array, offset, stride, bounds)
    index = int(array.reshape(-1)[0])
    if not (bounds[0] <= index < bounds[1] and UNBOUNDED_MIN < index < UNBOUNDED_MAX - 1):
        raise OutOfRange(f"Index {index} is outside valid range {format_interval(*bounds)}")
    return OutputIndexMap.constant(offset + stride * index)


def _compose_array(
    left: TransformRep,
    item: OutputIndexMap,
    right: Sequence[OutputIndexMap],
    bounds: BoxBounds,
) -> OutputIndexMap:
    array = item.index_array
    assert array is not None
    used = [item for _, item in _used(array, right)]
    inputs = [item.input_dimension for item in used if item.input_dimension is not None]
    gathers = any(item.index_array is not None for item in used)
    if gathers or len(set(inputs)) != len(inputs):
        result = _gather(left, array, right, bounds)
    else:
        result = _slice_array(left, array, right, bounds)
    return array_map(result, item.offset, item.stride or 0, item.range)


def _used(array: IndexArray, right: Sequence[OutputIndexMap]) -> list[tuple[int, OutputIndexMap]]:
    """The dimensions that `array` depends on, with what they become."""
    return [(dim, right[dim]) for dim, size in enumerate(array.shape) if size != 1]


def _slice_array(
    left: TransformRep,
    array: IndexArray,
    right: Sequence[OutputIndexMap],
    bounds: BoxBounds,
) -> IndexArray:
    """A view of `array` where each of its dimensions is a constant or one new dimension."""
    lower, upper = bounds[:2]
    selection: list[int | slice] = [0] * array.ndim
    axes: list[int] = []
    for dim, item in _used(array, right):
        start = item.offset - left.input_inclusive_min[dim]
        if item.input_dimension is None:
            selection[dim] = start
            continue
        new, stride = item.input_dimension, item.stride or 0
        first, last = start + stride * lower[new], start + stride * (upper[new] - 1)
        stop = last + (1 if stride > 0 else -1)
        selection[dim] = slice(first, None if stop < 0 else stop, stride)
        axes.append(new)
    view = array[tuple(selection)]
    order = sorted(range(len(axes)), key=axes.__getitem__)
    shape = [1] * len(lower)
    for new in axes:
        shape[new] = upper[new] - lower[new]
    # Splitting off dimensions of size 1 never copies.
    return np.asarray(view).transpose(order).reshape(shape)


def _gather(
    left: TransformRep,
    array: IndexArray,
    right: Sequence[OutputIndexMap],
    bounds: BoxBounds,
) -> IndexArray:
    """A new array: the elements of `array` at the positions that `right` gives."""
    lower, upper = bounds[:2]
    rank = len(lower)
    selection: list[int | IndexArray] = [0] * array.ndim
    for dim, item in _used(array, right):
        values: IndexArray
        if item.index_array is not None:
            _check_values(item.index_array, item.range, dim)
            values = item.index_array * (item.stride or 0) + item.offset
            domain = (left.input_inclusive_min[dim], left.input_exclusive_max[dim])
            _check_values(values, domain, dim)
        elif item.input_dimension is not None:
            new = item.input_dimension
            shape = [1] * rank
            shape[new] = -1
            steps = np.arange(lower[new], upper[new], dtype=np.int64).reshape(shape)
            values = steps * (item.stride or 0) + item.offset
        else:
            values = np.full((1,) * rank, item.offset, np.int64)
        selection[dim] = values - left.input_inclusive_min[dim]
    result = np.asarray(array[tuple(selection)])
    result.flags.writeable = False
    return result


def _check_values(values: IndexArray, bounds: tuple[int, int], dim: int) -> None:
    outside = (values < bounds[0]) | (values >= bounds[1])
    if outside.any():
        raise OutOfRange(
            f"Index {int(values[outside][0])} is outside valid range "
            f"{format_interval(*bounds)} of dimension {dim}"
        )

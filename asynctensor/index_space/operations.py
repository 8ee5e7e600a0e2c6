"""Operations on chosen input dimensions that move, name, free or reorder them.

Each takes a transform (or the transform without outputs that a domain is) and gives another;
none looks at data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, SupportsIndex, TypeVar

import numpy as np

from asynctensor.errors import IncompatibleType, InvalidArgument, InvalidIndex, OutOfRange
from asynctensor.index_space.integers import is_index
from asynctensor.index_space.interval import (
    MAX_RANK,
    UNBOUNDED_MIN,
    contains,
    effective,
    format_interval,
    is_explicitly_empty,
    translate_box,
)
from asynctensor.index_space.labels import check_unique, find_label, parse_labels
from asynctensor.index_space.output_map import IDENTITIES, OutputIndexMap
from asynctensor.index_space.representation import BoxBounds, R, TransformRep

T_co = TypeVar("T_co", covariant=True)
Vector = Iterable[SupportsIndex | None] | SupportsIndex | None


class Subscript(Generic[T_co]):
    """An operation written with brackets: ``transform.translate_by[1, 2]``."""

    __slots__ = ("_call", "_name", "_owner")
    __iter__ = None

    def __init__(self, owner: object, name: str, call: Callable[[Any], T_co]) -> None:
        self._owner, self._name, self._call = owner, name, call

    def __getitem__(self, argument: Any) -> T_co:
        return self._call(argument)

    def __repr__(self) -> str:
        return f"{self._owner!r}.{self._name}"


def as_vector(value: object, count: int) -> list[int | None]:
    """One int or None for each of `count` dimensions; a scalar stands for all.

    Raises:
        InvalidIndex: If there are more or fewer.
        IncompatibleType: If one is neither an integer nor None.
    """
    if type(value) is int:
        return [value] * count
    if value is None:
        return [None] * count
    if isinstance(value, (tuple, list)) and len(value) == count and {*map(type, value)} == {int}:
        return [*value]
    if is_index(value):
        return [value.__index__()] * count
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes)):
        raise IncompatibleType(f"expected integers or None, not {value!r}")
    items: list[int | None] = []
    for item in value:
        if item is None or type(item) is int:
            items.append(item)
        elif is_index(item):
            items.append(item.__index__())
        else:
            raise IncompatibleType(f"expected integers or None, not {item!r}")
    if len(items) != count:
        raise InvalidIndex(
            f"Number of dimensions ({count}) does not match number of indices ({len(items)})"
        )
    return items


def translate_by(rep: R, dims: Sequence[int], offsets: object, sign: int = 1) -> R:
    """Moves the domain by `offsets`; the same elements are meant.

    Raises:
        InvalidIndex: If there is not one offset for each of `dims`, or a bound would leave the
            index space.
    """
    given = as_vector(offsets, len(dims))
    moves = [0] * len(rep.input_inclusive_min)
    for dim, offset in zip(dims, given, strict=True):
        if offset:
            moves[dim] = offset if sign == 1 else -offset
    return _translate(rep, moves)


def translate_to(rep: R, dims: Sequence[int], origins: object) -> R:
    """Moves the domain so that it begins at `origins`; the same elements are meant.

    Raises:
        InvalidIndex: If there is not one origin for each of `dims`, one has no lower bound, or
            would leave the index space.
    """
    lower = rep.input_inclusive_min
    moves = [0] * len(lower)
    for dim, origin in zip(dims, as_vector(origins, len(dims)), strict=True):
        if origin is None:
            continue
        if lower[dim] == UNBOUNDED_MIN:
            interval = format_interval(lower[dim], rep.input_exclusive_max[dim])
            raise InvalidIndex(f"Interval {interval} is not bounded below")
        moves[dim] = origin - lower[dim]
    return _translate(rep, moves)


def _translate(rep: R, moves: Sequence[int]) -> R:
    lower, upper = translate_box(rep.input_inclusive_min, rep.input_exclusive_max, moves)
    maps: list[OutputIndexMap] = []
    for item in rep.maps:
        dim = item.input_dimension
        # An index array counts from the origin, so it moves along by itself.
        if dim is None or not moves[dim]:
            maps.append(item)
        else:
            stride = item.stride or 0
            maps.append(OutputIndexMap.single(dim, item.offset - stride * moves[dim], stride))
    moved = (lower, upper, rep.implicit_lower_bounds, rep.implicit_upper_bounds)
    return rep.make(moved, rep.input_labels, tuple(maps))


def label(rep: R, dims: Sequence[int], labels: object) -> R:
    """Gives `dims` these labels.

    Raises:
        InvalidIndex: If there is not one label for each of `dims`, or two would be the same.
        IncompatibleType: If one is no string.
    """
    given = [labels] if isinstance(labels, str) else labels
    if not isinstance(given, Iterable):
        raise IncompatibleType(f"expected labels, not {labels!r}")
    names = list(given)
    if not all(isinstance(name, str) for name in names):
        raise IncompatibleType(f"Dimension labels must be strings, not {names!r}")
    if len(names) != len(dims):
        raise InvalidIndex(
            f"Number of dimensions ({len(dims)}) does not match number of labels ({len(names)})"
        )
    new = list(rep.input_labels)
    for dim, name in zip(dims, names, strict=True):
        new[dim] = name
    try:
        check_unique(new)
    except InvalidArgument as error:
        raise InvalidIndex(error.message) from None
    return rep.make(
        rep.bounds,
        parse_labels(new),
        rep.maps,
    )


def mark_bounds_implicit(rep: R, dims: Sequence[int], implicit: object) -> R:
    """Marks bounds of `dims` implicit or explicit.

    Args:
        rep: The transform.
        dims: The dimensions to change.
        implicit: True, False or None (no change), or a slice of two of them for the lower and
            the upper bound.

    Raises:
        InvalidIndex: If a dimension that an index array depends on would become implicit.
        IncompatibleType: If `implicit` is none of these.
    """
    low: object = implicit
    high: object = implicit
    if isinstance(implicit, slice):
        if implicit.step is not None:
            raise IncompatibleType("mark_bounds_implicit takes no step")
        low, high = implicit.start, implicit.stop
    new_lower, new_upper = _flag(low), _flag(high)
    if new_lower or new_upper:
        _check_no_arrays(rep, dims)
    marked = (
        rep.input_inclusive_min,
        rep.input_exclusive_max,
        _marked(rep.implicit_lower_bounds, dims, new_lower),
        _marked(rep.implicit_upper_bounds, dims, new_upper),
    )
    return rep.make(marked, rep.input_labels, rep.maps)


def _marked(flags: tuple[bool, ...], dims: Sequence[int], new: bool | None) -> tuple[bool, ...]:
    if new is None:
        return flags
    if len(dims) == len(flags):
        return (new,) * len(flags)
    found = list(flags)
    for dim in dims:
        found[dim] = new
    return tuple(found)


def _check_no_arrays(rep: TransformRep, dims: Sequence[int]) -> None:
    for out, item in enumerate(rep.maps):
        array = item.index_array
        if array is None:
            continue
        for dim in dims:
            if array.shape[dim] != 1:
                raise InvalidIndex(
                    f"Cannot mark input dimension {dim} as having implicit bounds because it "
                    f"indexes the index array map for output dimension {out}"
                )


def _flag(value: object) -> bool | None:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, (bool, np.bool_, int)):
        return bool(value)
    raise IncompatibleType(f"expected None, bool or a slice of two of them, not {value!r}")


def transpose(rep: R, order: Sequence[int]) -> R:
    """Reorders the input dimensions: new dimension ``i`` is old dimension ``order[i]``."""
    if len(order) < 2:
        return rep
    pick = operator.itemgetter(*order)
    new_of = dict(zip(order, range(len(order)), strict=True))
    bounds = (
        pick(rep.input_inclusive_min),
        pick(rep.input_exclusive_max),
        pick(rep.implicit_lower_bounds),
        pick(rep.implicit_upper_bounds),
    )
    return rep.make(bounds, pick(rep.input_labels), _transposed_maps(rep, order, new_of))


def reverse(rep: R) -> R:
    """The input dimensions in reverse order."""
    lower = rep.input_inclusive_min
    bounds = (
        lower[::-1],
        rep.input_exclusive_max[::-1],
        rep.implicit_lower_bounds[::-1],
        rep.implicit_upper_bounds[::-1],
    )
    order = _REVERSED[len(lower)]
    return rep.make(bounds, rep.input_labels[::-1], _transposed_maps(rep, order, order))


_REVERSED: Final = tuple([range(rank)[::-1] for rank in range(MAX_RANK + 1)])


def _transposed_maps(
    rep: TransformRep, order: Sequence[int], new_of: Mapping[int, int] | Sequence[int]
) -> tuple[OutputIndexMap, ...]:
    maps: list[OutputIndexMap] = []
    for item in rep.maps:
        dim = item.input_dimension
        if dim is not None:
            if item is IDENTITIES[dim]:
                maps.append(IDENTITIES[new_of[dim]])
            else:
                maps.append(OutputIndexMap.single(new_of[dim], item.offset, item.stride or 0))
        elif item.index_array is None:
            maps.append(item)
        else:
            array = item.index_array.transpose(order)
            maps.append(OutputIndexMap.array(array, item.offset, item.stride or 0, item.range))
    return tuple(maps)


def restrict(rep: R, domain: TransformRep) -> R:
    """Slices by another domain: by label where both have labels, else by position.

    Raises:
        InvalidIndex: If a dimension of `domain` has no counterpart.
        OutOfRange: If `domain` reaches outside explicit bounds.
    """
    dims = _matching_dims(rep, domain)
    lower, upper = list(rep.input_inclusive_min), list(rep.input_exclusive_max)
    ilo, ihi = list(rep.implicit_lower_bounds), list(rep.implicit_upper_bounds)
    labels = rep.input_labels if any(rep.input_labels) else domain.input_labels
    for i, dim in enumerate(dims):
        low, high = domain.input_inclusive_min[i], domain.input_exclusive_max[i]
        if not contains(effective(lower[dim], upper[dim], ilo[dim], ihi[dim]), low, high):
            raise OutOfRange(
                f"Cannot slice target dimension {dim} {{{_dim_text(rep, dim)}}} with index "
                f"domain dimension {i} {{{_dim_text(domain, i)}}}"
            )
        lower[dim], upper[dim], ilo[dim], ihi[dim] = low, high, False, False
    bounds = (tuple(lower), tuple(upper), tuple(ilo), tuple(ihi))
    return rep.make(bounds, labels, tuple(_cropped_map(rep, item, bounds) for item in rep.maps))


def _cropped_map(rep: TransformRep, item: OutputIndexMap, bounds: BoxBounds) -> OutputIndexMap:
    """A map over a part of its domain, which matters only to arrays."""
    array = item.index_array
    if array is None:
        return item
    if is_explicitly_empty(*bounds):
        return OutputIndexMap.constant(0)
    crop = tuple(
        slice(lo - origin, hi - origin) if size != 1 else slice(None)
        for lo, hi, origin, size in zip(
            bounds[0], bounds[1], rep.input_inclusive_min, array.shape, strict=True
        )
    )
    return OutputIndexMap.array(array[crop], item.offset, item.stride or 0, item.range)


def _matching_dims(rep: TransformRep, domain: TransformRep) -> list[int]:
    labeled = any(rep.input_labels) and any(domain.input_labels)
    if (not labeled or not all(domain.input_labels)) and rep.input_rank != domain.input_rank:
        raise InvalidIndex(
            f"Rank of index domain ({domain.input_rank}) must match rank of slice target "
            f"({rep.input_rank}) when the index domain or slice target is unlabeled"
        )
    if not labeled:
        return list(range(rep.input_rank))
    unlabeled = [dim for dim, name in enumerate(rep.input_labels) if not name]
    dims: list[int] = []
    for name in domain.input_labels:
        if name:
            dims.append(find_label(name, rep.input_labels))
        elif unlabeled:
            dims.append(unlabeled.pop(0))
        else:
            raise InvalidIndex(
                "Number of unlabeled dimensions in index domain exceeds number of unlabeled "
                "dimensions in slice target"
            )
    return dims


def _dim_text(rep: TransformRep, dim: int) -> str:
    text = format_interval(
        rep.input_inclusive_min[dim],
        rep.input_exclusive_max[dim],
        rep.implicit_lower_bounds[dim],
        rep.implicit_upper_bounds[dim],
    )
    name = rep.input_labels[dim]
    return f'"{name}": {text}' if name else text

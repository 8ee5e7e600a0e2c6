"""Bounds of an output space brought to the input of a transform, when data is to be touched.

Indexing checks nothing against implicit bounds, and index arrays not at all; reading and writing
do, against the bounds that the array has then. (TensorStore's ``propagate_bounds.h``.)
"""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.errors import OutOfRange
from asynctensor.index_space.composition import propagate
from asynctensor.index_space.interval import affine_domain, effective, format_interval
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.representation import R, TransformRep


def propagate_bounds(
    transform: R,
    output_lower: Sequence[int],
    output_upper: Sequence[int],
    implicit_lower: Sequence[bool] | None = None,
    implicit_upper: Sequence[bool] | None = None,
) -> R:
    """Resolves the implicit bounds of a transform over an output space with these bounds.

    Args:
        transform: Whose input bounds are resolved.
        output_lower: Inclusive lower bound of each output dimension.
        output_upper: Exclusive upper bound of each output dimension.
        implicit_lower: Which lower bounds do not constrain and leave the input bounds that
            follow from them implicit; by default none, which is right for reading and writing.
        implicit_upper: The same for upper bounds.

    Returns:
        The transform with its implicit bounds replaced, and the range of each index array
        narrowed to the bounds.

    Raises:
        OutOfRange: If explicit input bounds or a constant reach outside ("Propagated bounds").
    """
    explicit = (False,) * transform.output_rank
    ilo = explicit if implicit_lower is None else tuple(implicit_lower)
    ihi = explicit if implicit_upper is None else tuple(implicit_upper)
    bounds = propagate(transform, (tuple(output_lower), tuple(output_upper), ilo, ihi))
    maps = transform.maps
    if any(item.index_array is not None for item in maps):
        maps = tuple(
            _narrowed(item, effective(output_lower[i], output_upper[i], ilo[i], ihi[i]))
            for i, item in enumerate(maps)
        )
    return transform.make(bounds, transform.input_labels, maps)


def resolve_over(transform: R, array: TransformRep) -> R:
    """`transform` with its implicit bounds as they follow from those of `array`'s domain.

    Raises:
        OutOfRange: If explicit input bounds or a constant reach outside.
    """
    return propagate_bounds(
        transform,
        array.input_inclusive_min,
        array.input_exclusive_max,
        array.implicit_lower_bounds,
        array.implicit_upper_bounds,
    )


def _narrowed(item: OutputIndexMap, bounds: tuple[int, int]) -> OutputIndexMap:
    if item.index_array is None:
        return item
    stride = item.stride or 0
    low, high = affine_domain(*bounds, item.offset, stride)
    low = max(low, item.range[0])
    allowed = (low, max(low, min(high, item.range[1])))
    return OutputIndexMap.array(item.index_array, item.offset, stride, allowed)


def check_index_arrays(transform: TransformRep) -> None:
    """Refuses index arrays with elements outside their range.

    Looks at every element, so it is for the moment when data is touched, not for indexing.

    Raises:
        OutOfRange: Naming the first such element and the dimension of the array.
    """
    for out, item in enumerate(transform.maps):
        array = item.index_array
        if array is None or not array.size:
            continue
        low, high = item.range
        if low <= int(array.min()) and int(array.max()) < high:
            continue
        outside = array[(array < low) | (array >= high)]
        raise OutOfRange(
            f"Index {int(outside[0])} is outside valid range {format_interval(low, high)} "
            f"for output dimension {out}"
        )

"""Schemas and chunk layouts seen through an index transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.index_space.interval import MAX_FINITE_INDEX, MIN_FINITE_INDEX, UNBOUNDED_MIN
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.constraint import Constraint, PerDimension
from asynctensor.schema.fill_constraint import Fill, unbroadcast
from asynctensor.schema.json_value import annotated
from asynctensor.schema.layout_state import USAGES, LayoutState
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.unit import Unit

T = TypeVar("T")


def transformed(state: SchemaState, transform: IndexTransform) -> SchemaState:
    """What `state`, which constrains the output space, says about the input space.

    Args:
        state: Constraints of rank ``transform.output_rank``, or of unknown rank.
        transform: Its domain is final: what `state` says about bounds is in it already.

    Raises:
        InvalidArgument: Ranks differ, or the fill value cannot be followed without a domain.
        OutOfRange: A chunk's origin or shape leaves the index space.
    """
    if state.rank not in (None, transform.output_rank):
        raise InvalidArgument(
            f"Cannot transform schema of rank {state.rank} by index transform of rank "
            f"{transform.input_rank} -> {transform.output_rank}"
        )
    fill = state.fill_value
    if fill is not None and fill.ndim:
        with annotated("Error transforming fill_value"):
            fill = _transformed_fill(state, fill, transform)
    units: list[Unit | None] = [None] * transform.input_rank
    if state.units:
        for output, item in one_to_one(transform):
            unit, stride = state.units[output], item.stride or 1
            units[item.input_dimension or 0] = unit and unit * abs(stride)
    return replace(
        state,
        rank=transform.input_rank,
        domain=None if state.domain is None else transform.domain,
        layout=transformed_layout(state.layout, transform),
        fill_value=fill,
        units=tuple(units) if any(units) else (),
    )


def transformed_layout(layout: LayoutState, transform: IndexTransform) -> LayoutState:
    """What `layout`, which constrains the output space, says about the input space.

    Dimensions that no single output dimension follows, with a stride, are left unconstrained.

    Raises:
        InvalidArgument: Ranks differ.
        OutOfRange: An origin or shape leaves the index space.
    """
    if layout.rank is None:
        return layout
    if layout.rank != transform.output_rank:
        raise InvalidArgument(
            f"Cannot transform constraints of rank {layout.rank} by index transform of rank "
            f"{transform.input_rank} -> {transform.output_rank}"
        )
    order = layout.inner_order
    if order is not None and not transform.input_rank:
        order = None
    elif order is not None:
        order = Constraint(_input_order(order.value, transform), order.hard)
    grids: dict[str, GridConstraints] = {}
    for usage in USAGES:
        grid = layout.grid(usage)
        grids[usage] = GridConstraints(
            _to_input(grid.shape, transform, _input_size),
            _to_input(grid.aspect_ratio, transform, _input_ratio),
            grid.elements,
        )
    return replace(
        layout,
        rank=transform.input_rank,
        inner_order=order,
        grid_origin=_to_input(layout.grid_origin, transform, _input_origin),
        **grids,
    )


def one_to_one(transform: IndexTransform) -> list[tuple[int, OutputIndexMap]]:
    """Output dimensions that alone follow their input dimension, with their maps."""
    strided = [
        (output, item)
        for output, item in enumerate(transform.output)
        if item.input_dimension is not None and item.stride
    ]
    followed = [item.input_dimension for _, item in strided]
    return [(out, item) for out, item in strided if followed.count(item.input_dimension) == 1]


def _to_input(
    constraints: PerDimension[T],
    transform: IndexTransform,
    convert: Callable[[T, int, int], T],
) -> PerDimension[T]:
    if not constraints:
        return ()
    found: list[Constraint[T] | None] = [None] * transform.input_rank
    for output, item in one_to_one(transform):
        constraint, stride = constraints[output], item.stride or 1
        if constraint is not None and item.input_dimension is not None:
            with annotated(
                f"Error transforming output dimension {output} -> "
                f"input dimension {item.input_dimension}"
            ):
                value = convert(constraint.value, item.offset, stride)
            found[item.input_dimension] = Constraint(value, constraint.hard)
    return tuple(found)


def _input_origin(value: int, offset: int, stride: int) -> int:
    moved = value - offset
    if not MIN_FINITE_INDEX <= moved <= MAX_FINITE_INDEX:
        raise OutOfRange(
            f"Integer overflow transforming output origin {value} by offset {offset} and "
            f"stride {stride}"
        )
    # The first input index at or after the edge of a chunk; with a negative stride the chunk
    # that ends there begins, so its edge is one less.
    return -((moved if stride > 0 else moved - 1) // -stride)


def _input_size(value: int, offset: int, stride: int) -> int:
    return value if value == -1 else value // math.gcd(value, stride)


def _input_ratio(value: float, offset: int, stride: int) -> float:
    return value / abs(stride)


def _input_order(order: tuple[int, ...], transform: IndexTransform) -> tuple[int, ...]:
    last = len(order)
    first = [last] * transform.input_rank
    for position, output in enumerate(order):
        dim = transform.output[output].input_dimension
        if dim is not None:
            first[dim] = min(first[dim], position)
    return tuple(sorted(range(transform.input_rank), key=lambda dim: (first[dim], dim)))


def _transformed_fill(state: SchemaState, fill: Fill, transform: IndexTransform) -> Fill:
    rank = transform.output_rank
    full = fill.reshape((1,) * (rank - fill.ndim) + fill.shape)
    origin = state.domain.origin if state.domain is not None else (UNBOUNDED_MIN,) * rank
    index: list[np.ndarray] = []
    for output, item in enumerate(transform.output):
        at = np.zeros((1,) * transform.input_rank, np.int64)
        if full.shape[output] != 1:
            if origin[output] == UNBOUNDED_MIN:
                raise InvalidArgument(
                    f"The fill value varies along dimension {output}, whose domain is not known"
                )
            at = _positions(item, transform) - origin[output]
        index.append(at)
    found = np.array(unbroadcast(np.asarray(full[tuple(index)])), fill.dtype)
    found.flags.writeable = False
    return found


def _positions(item: OutputIndexMap, transform: IndexTransform) -> np.ndarray:
    """The output indices of one map, with the rank of the input and size 1 where it can be."""
    ones = [1] * transform.input_rank
    if item.index_array is not None:
        return item.offset + (item.stride or 0) * item.index_array
    if item.input_dimension is None:
        return np.full(ones, item.offset, np.int64)
    dim = item.input_dimension
    span = np.arange(transform.input_inclusive_min[dim], transform.input_exclusive_max[dim])
    ones[dim] = len(span)
    return (item.offset + (item.stride or 0) * span).reshape(ones)

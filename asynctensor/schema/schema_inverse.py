"""Constraints on a view as constraints on what it is a view of: TensorStore's rules.

What a view says of one of its dimensions holds of every dimension of the array that follows it. A
domain and a fill value are carried through where each dimension of the array follows one of the
view, one to one; chunks, units and the order of dimensions through steps too, and past dimensions
that are fixed or indexed by an array, of which they say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import (
    MAX_FINITE_INDEX,
    MIN_FINITE_INDEX,
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
)
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.constraint import Constraint, PerDimension
from asynctensor.schema.fill_constraint import Fill, unbroadcast
from asynctensor.schema.json_value import annotated
from asynctensor.schema.layout_state import USAGES, LayoutState
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.unit import Unit

T = TypeVar("T")


def inverse_transformed(state: SchemaState, transform: IndexTransform) -> SchemaState:
    """What `state`, which constrains the input space, says about the output space.

    Raises:
        InvalidArgument: The ranks of the two differ, or a constraint cannot be carried through.
        OutOfRange: A bound, or a chunk's origin or shape, leaves the index space.
    """
    if state.rank not in (None, transform.input_rank):
        raise InvalidArgument(
            f"Cannot inverse transform schema of rank {state.rank} by index transform of rank "
            f"{transform.input_rank} -> {transform.output_rank}"
        )
    domain, fill, units = state.domain, state.fill_value, state.units
    with annotated("Error transforming domain"):
        domain = None if domain is None else _domain(domain, transform)
    with annotated("Error transforming fill_value"):
        fill = None if fill is None else _fill(fill, transform)
    with annotated("Error transforming dimension_units"):
        units = _units(units, transform) if any(units) else ()
    return replace(
        state,
        rank=transform.output_rank,
        domain=domain,
        layout=_layout(state.layout, transform),
        fill_value=fill,
        units=units,
    )


def _followed(transform: IndexTransform) -> Iterator[tuple[int, int, int] | None]:
    """Of each output dimension: input dimension, offset, stride; None if it follows none."""
    for item in transform.output:
        dim, stride = item.input_dimension, item.stride
        yield None if dim is None or not stride else (dim, item.offset, stride)


def _one_to_one(transform: IndexTransform, what: str) -> Iterator[tuple[int, int, int]]:
    """The same, where no output dimension is anything else, and none follows what another does.

    Raises:
        InvalidArgument: One does; it begins with `what`.
    """
    seen: set[int] = set()
    for out, (source, item) in enumerate(zip(_followed(transform), transform.output, strict=True)):
        if source is None:
            kind = "constant" if item.index_array is None else "array"
            raise InvalidArgument(
                f"{what} through a transform with a {kind} output index map (output dimension "
                f"{out}); constrain before indexing"
            )
        if source[0] in seen:
            raise InvalidArgument(
                f"{what} through a transform with multiple output dimensions mapping to the same "
                f"input dimension ({source[0]}); constrain before indexing"
            )
        seen.add(source[0])
        yield source


def _domain(domain: IndexDomain, transform: IndexTransform) -> IndexDomain:
    return IndexDomain(
        [
            _dim(domain[dim], out, offset, stride)
            for out, (dim, offset, stride) in enumerate(
                _one_to_one(transform, "Cannot specify domain")
            )
        ]
    )


def _dim(dim: Dim, out: int, offset: int, stride: int) -> Dim:
    if abs(stride) != 1:
        if dim != Dim(label=dim.label):
            raise InvalidArgument(
                "Cannot specify finite domain through a transform with non-unit-stride output "
                f"index map (stride {stride} of output dimension {out}); constrain before indexing"
            )
        return dim
    ends = (dim.inclusive_min, dim.exclusive_max - 1)
    flags = (dim.implicit_lower, dim.implicit_upper)
    if stride < 0:
        ends = (-ends[1], -ends[0])
        flags = flags[::-1]
    unbounded = (ends[0] <= UNBOUNDED_MIN, ends[1] >= UNBOUNDED_MAX - 1)
    low, high = (end if free else end + offset for end, free in zip(ends, unbounded, strict=True))
    for end, free in zip((low, high), unbounded, strict=True):
        if not free and not MIN_FINITE_INDEX <= end <= MAX_FINITE_INDEX:
            raise OutOfRange(
                f"Integer overflow moving the interval of output dimension {out} by {offset}"
            )
    return Dim(
        inclusive_min=low,
        exclusive_max=high + 1,
        implicit_lower=flags[0],
        implicit_upper=flags[1],
        label=dim.label,
    )


def _fill(fill: Fill, transform: IndexTransform) -> Fill:
    rank = transform.input_rank
    if fill.ndim > rank:
        raise InvalidArgument(f"its rank ({fill.ndim}) is greater than that of the view ({rank})")
    full = fill.reshape((1,) * (rank - fill.ndim) + fill.shape)
    sources = list(_one_to_one(transform, "Cannot transform input array"))
    for out, (_, _, stride) in enumerate(sources):
        if abs(stride) != 1:
            raise InvalidArgument(
                "Cannot transform input array through non-unit-stride output index map (stride "
                f"{stride} of output dimension {out}); constrain before indexing"
            )
    followed = [dim for dim, _, _ in sources]
    rest = [dim for dim in range(rank) if dim not in followed]
    for dim in rest:
        if full.shape[dim] != 1:
            raise InvalidArgument(f"Cannot transform input array; dimension {dim} cannot be mapped")
    steps: tuple[Any, ...] = tuple(slice(None, None, stride) for _, _, stride in sources)
    moved = full.transpose([*followed, *rest]).reshape([full.shape[dim] for dim in followed])
    found = np.array(unbroadcast(moved[(*steps, ...)]), fill.dtype)
    found.flags.writeable = False
    return found


def _units(units: tuple[Unit | None, ...], transform: IndexTransform) -> tuple[Unit | None, ...]:
    sources = list(_followed(transform))
    followed = {source[0] for source in sources if source is not None}
    for dim, unit in enumerate(units):
        if unit is not None and dim not in followed:
            raise InvalidArgument(
                f"No output dimension corresponds to input dimension {dim} with unit {unit}"
            )
    found: list[Unit | None] = []
    for source in sources:
        unit = None if source is None else units[source[0]]
        found.append(None if source is None or unit is None else unit / abs(source[2]))
    return tuple(found)


def _layout(layout: LayoutState, transform: IndexTransform) -> LayoutState:
    if layout.rank is None:
        return layout
    order = layout.inner_order
    if order is not None:
        order = Constraint(_order(order.value, transform), order.hard)
    with annotated("Error transforming grid_origin"):
        origin = _per_output(layout.grid_origin, transform, _origin)
    grids: dict[str, GridConstraints] = {}
    for usage in USAGES:
        grid = layout.grid(usage)
        with annotated(f"Error transforming {usage}_chunk"):
            with annotated("Error transforming shape"):
                shape = _per_output(grid.shape, transform, _size)
            with annotated("Error transforming aspect_ratio"):
                ratio = _per_output(grid.aspect_ratio, transform, _ratio)
        grids[usage] = GridConstraints(shape, ratio, grid.elements)
    return replace(
        layout, rank=transform.output_rank, inner_order=order, grid_origin=origin, **grids
    )


def _order(order: tuple[int, ...], transform: IndexTransform) -> tuple[int, ...]:
    """As the view's; dimensions that follow none of it vary fastest."""
    place = {dim: number for number, dim in enumerate(order)}
    keys = [len(order) if source is None else place[source[0]] for source in _followed(transform)]
    return tuple(sorted(range(transform.output_rank), key=lambda out: (keys[out], out)))


def _per_output(
    constraints: PerDimension[T], transform: IndexTransform, convert: Callable[[T, int, int], T]
) -> PerDimension[T]:
    if not constraints:
        return ()
    sources = list(_followed(transform))
    followed = {source[0] for source in sources if source is not None}
    for dim, constraint in enumerate(constraints):
        # Beside dimensions that follow none, TensorStore takes this for a constraint of those.
        lost = constraint is not None and constraint.hard and dim not in followed
        if lost and None not in sources:
            raise InvalidArgument(f"No output dimension corresponds to input dimension {dim}")
    found: list[Constraint[T] | None] = []
    for out, source in enumerate(sources):
        constraint = None if source is None else constraints[source[0]]
        if source is not None and constraint is not None:
            with annotated(
                f"Error transforming input dimension {source[0]} -> output dimension {out}"
            ):
                constraint = replace(
                    constraint, value=convert(constraint.value, source[1], source[2])
                )
        found.append(constraint)
    return tuple(found)


def _origin(value: int, offset: int, stride: int) -> int:
    # With a negative stride, the chunk that begins there ends here.
    moved = offset + stride * (value - (stride < 0))
    if not MIN_FINITE_INDEX <= moved <= MAX_FINITE_INDEX:
        raise OutOfRange(
            f"Integer overflow transforming origin {value} by offset {offset} and stride {stride}"
        )
    return moved


def _size(value: int, offset: int, stride: int) -> int:
    del offset
    if value == -1:
        return value
    if value * abs(stride) > MAX_FINITE_INDEX:
        raise OutOfRange(f"Integer overflow computing abs({stride}) * {value}")
    return value * abs(stride)


def _ratio(value: float, offset: int, stride: int) -> float:
    del offset
    return value * abs(stride)

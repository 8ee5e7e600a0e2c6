"""What a format's metadata and a schema have to do with each other, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import UNBOUNDED_MAX
from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.contradiction import between, colliding, contradiction, in_schema, same
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_constraint import converted_fill
from asynctensor.schema.json_value import dump
from asynctensor.schema.layout_state import LayoutState
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState


def array_domain(
    shape: Sequence[int | None], hidden: Sequence[int] = (), labels: Sequence[str] = ()
) -> IndexDomain:
    """The domain of an array whose upper bounds `resize` may move.

    Args:
        shape: Sizes; None: unknown.
        hidden: Sizes of trailing dimensions that are fixed.
        labels: One per dimension of `shape`, or none at all.
    """
    rank = len(shape) + len(hidden)
    return IndexDomain(
        inclusive_min=[0] * rank,
        implicit_lower_bounds=[False] * rank,
        exclusive_max=[UNBOUNDED_MAX if size is None else size for size in shape] + [*hidden],
        implicit_upper_bounds=[True] * len(shape) + [False] * len(hidden),
        labels=[*(labels or [""] * len(shape)), *([""] * len(hidden))],
    )


def unique_labels(names: Sequence[str | None] | None, rank: int) -> tuple[str, ...]:
    """Dimension names as labels: none at all if one occurs twice, as in TensorStore."""
    labels = tuple(name or "" for name in names or (None,) * rank)
    named = [label for label in labels if label]
    return labels if len(set(named)) == len(named) else ("",) * rank


def finished_layout(
    write_shape: Sequence[int], read_shape: Sequence[int], inner_order: Sequence[int]
) -> ChunkLayout:
    """The chunk layout of an array that exists: everything required."""
    rank = len(write_shape)
    layout = ChunkLayout(rank=rank)
    if rank:
        layout.update(
            inner_order=inner_order,
            grid_origin=[0] * rank,
            write_chunk_shape=write_shape,
            read_chunk_shape=read_shape,
        )
    return layout


def agreed(known: Schema, wanted: Schema) -> SchemaState:
    """What satisfies both what a spec's ``metadata`` says and its schema, for a new array.

    Raises:
        InvalidArgument: They contradict, or leave out the data type or a size.
    """
    # Fill values are compared when the data type is known.
    state = known.state.merged(replace(wanted.state, fill_value=None))
    if state.dtype is None:
        raise InvalidArgument("dtype must be specified")
    domain = state.domain
    if domain is not None:
        state = state.with_domain(array_domain([None] * domain.rank))
        domain = state.domain
    if domain is None or any(bound >= UNBOUNDED_MAX for bound in domain.exclusive_max):
        raise InvalidArgument("domain must be specified; every dimension needs a size")
    return state


def without_hidden(layout: LayoutState, rank: int) -> LayoutState:
    """The layout of the first `rank` dimensions: those that the format knows of."""
    if layout.rank in (None, rank):
        return replace(layout, rank=rank)

    def cut(grid: GridConstraints) -> GridConstraints:
        return replace(grid, shape=grid.shape[:rank], aspect_ratio=grid.aspect_ratio[:rank])

    order = layout.inner_order
    if order is not None:
        order = replace(order, value=tuple(axis for axis in order.value if axis < rank))
    return LayoutState(
        rank,
        order,
        layout.grid_origin[:rank],
        cut(layout.write),
        cut(layout.read),
        cut(layout.codec),
    )


def agreed_fill(
    found: Array | None, wanted: Schema, element: dtype, hidden: tuple[int, ...] = ()
) -> Array | None:
    """The fill value that both the metadata and the schema say; of shape `hidden`.

    Args:
        found: What the metadata says, of type `element`; None: nothing.
        wanted: The schema.
        element: The data type of the array.
        hidden: Sizes of trailing dimensions along which the fill value may vary.

    Raises:
        InvalidArgument: They differ, or the schema's is not one value for the whole array.
    """
    if wanted.fill_value is None:
        return found
    with colliding("schema.fill_value", "dtype"):
        fill = _uniform(wanted.fill_value, element, hidden)
    if found is not None and not _same_elements(found, fill):
        raise contradiction(
            f"Invalid fill_value: schema requires fill value of {fill}, "
            f"but metadata specifies fill value of {found}",
            "schema.fill_value",
            "metadata.fill_value",
        )
    return fill


def _same_elements(a: Array, b: Array) -> bool:
    if a.dtype.hasobject:
        return type(a[()]) is type(b[()]) and bool(a[()] == b[()])
    return a.tobytes() == b.tobytes()


def _uniform(fill: Array, element: dtype, hidden: tuple[int, ...]) -> Array:
    values = converted_fill(fill, element)
    varies = len(hidden) == 1 and values.ndim > 0 and values.shape[-1] in (1, *hidden)
    rows = values.reshape(-1, values.shape[-1]) if varies else values.reshape(-1)
    first = rows[:1].reshape(rows.shape[1:])
    if not rows.size or not all(_same_elements(np.asarray(row), first) for row in rows[1:]):
        raise InvalidArgument(
            f"Invalid fill_value: expected one value for all elements, got shape {fill.shape}"
        )
    return np.array(np.broadcast_to(first, hidden))


def check_schema(actual: Schema, wanted: Schema) -> None:
    """Checks that an array that exists is as a schema wants it.

    Args:
        actual: All that its metadata says.
        wanted: The schema; preferences do not count.

    Raises:
        FailedPrecondition: It is not; the message names the constraint and both values.
    """
    element = actual.dtype
    assert element is not None
    try:
        fill = actual.fill_value
        agreed_fill(fill, wanted, element, () if fill is None else fill.shape)
        with between(in_schema, same):
            actual.state.merged(replace(wanted.state, fill_value=None))
    except InvalidArgument as error:
        refused = FailedPrecondition(f"Mismatch between metadata and schema: {error.message}")
        refused.contradicting = error.contradicting[:1]
        raise refused from error


def expect(member: str, wanted: Any, found: Any) -> None:
    """Checks that a member of the metadata has the value that a spec asks for.

    Raises:
        FailedPrecondition: It has another.
    """
    if wanted != found:
        error = FailedPrecondition(
            f'Expected "{member}" of {dump(wanted)} but received: {dump(found)}'
        )
        error.contradicting = (f"metadata.{member}",)
        raise error

"""New metadata, from what a spec says and what its schema wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.chunk_choice import choose_chunk_shape, choose_read_and_write_shapes
from asynctensor.chunked.codec import Array
from asynctensor.chunked.schema_match import agreed, agreed_fill, array_domain, unique_labels
from asynctensor.drivers.zarr3.codec_chain import resolve
from asynctensor.drivers.zarr3.codecs import Chain, Sharding, Transpose, merge_chains
from asynctensor.drivers.zarr3.constraints import Zarr3Constraints
from asynctensor.drivers.zarr3.data_types import DataType, data_type_of
from asynctensor.drivers.zarr3.metadata import (
    ChunkKeyEncoding,
    Zarr3Metadata,
    check_chunk_size,
)
from asynctensor.drivers.zarr3.schema import attribute_units, chain_of, innermost, with_units
from asynctensor.errors import InvalidArgument
from asynctensor.schema.chunk_grid import GridConstraints, grid_of
from asynctensor.schema.fill_value import fill_value_from_json
from asynctensor.schema.layout_state import LayoutState
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState

#: As zarr-python writes it, with nothing left to defaults.
_KEYS = ChunkKeyEncoding("default", "/", explicit=True)


def create_metadata(wanted: Zarr3Constraints, schema: Schema) -> Zarr3Metadata:
    """New metadata that satisfies both; see `ArrayFormat.create`."""
    state = agreed(_known(wanted), schema)
    assert state.dtype is not None and state.domain is not None
    data_type = wanted.data_type or data_type_of(state.dtype)
    rank = state.domain.rank - len(data_type.hidden_shape)
    shape = tuple(state.domain.shape[:rank])
    layout = _without_hidden(state.layout, rank)
    if layout.codec.normalized().shape:
        raise InvalidArgument("codec_chunk_shape not supported")
    chain = merge_chains(wanted.codecs, chain_of(schema.codec))
    chunk_shape, read_shape = _choose_shapes(layout, wanted.chunk_shape, chain, shape)
    chunks = Zarr3Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        key_encoding=wanted.key_encoding or _KEYS,
        fill_bytes=_fill_bytes(wanted, schema, data_type),
        codecs=_choose_codecs(chain, layout, chunk_shape, read_shape, data_type),
        dimension_names=_names(wanted, state, rank),
        attributes=with_units(wanted.attributes, tuple(state.units[:rank])),
        extensions=wanted.extensions,
    )
    check_chunk_size("chunk_grid", chunk_shape, data_type)
    return chunks


def _known(wanted: Zarr3Constraints) -> Schema:
    """The constraints that a schema can say too."""
    known = Schema()
    data_type, rank = wanted.data_type, wanted.rank
    hidden = data_type.hidden_shape if data_type is not None else ()
    if data_type is not None:
        known.update(dtype=data_type.element)
    if rank is not None:
        shape = wanted.shape if wanted.shape is not None else (None,) * rank
        labels = unique_labels(wanted.dimension_names, rank)
        known.update(domain=array_domain(shape, hidden, labels))
        units = attribute_units(wanted.attributes, rank)
        known.update(dimension_units=[*units, *(None for _ in hidden)])
    return known


def _without_hidden(layout: LayoutState, rank: int) -> LayoutState:
    """The layout of zarr's own dimensions."""
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


def _choose_shapes(
    layout: LayoutState,
    chunk_shape: tuple[int, ...] | None,
    chain: Chain,
    shape: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of write and read chunks."""
    rank = len(shape)
    layout = layout.with_grid_origin(_zeros(rank))
    if chunk_shape is not None:
        layout = layout.with_grid("write", grid_of("shape", True, chunk_shape))
    if isinstance(chain.serializer, Sharding):
        inner = _said_inner_shape(chain, rank)
        if inner is not None:
            layout = layout.with_grid("read", grid_of("shape", True, inner))
    elif [*chain]:
        # Without the sharding codec, what is read is what is written.
        layout = layout.with_grid("write", layout.read)
        chosen = choose_chunk_shape(layout.write, shape)
        return chosen, chosen
    read, write = choose_read_and_write_shapes(layout.read, layout.write, shape)
    return write, read


def _zeros(rank: int) -> Any:
    from_zero = LayoutState().with_grid_origin
    return from_zero(_origin(rank)).grid_origin


def _origin(rank: int) -> Any:
    from asynctensor.schema.layout_state import grid_origin_of

    return grid_origin_of([0] * rank, True)


def _said_inner_shape(chain: Chain, rank: int) -> tuple[int, ...] | None:
    """The shape of the innermost chunks in the array's order of dimensions, if it is said."""
    order = _said_order(chain, rank)
    codec = chain.serializer
    while isinstance(codec, Sharding):
        inner = codec.codecs.serializer if codec.codecs is not None else None
        if not isinstance(inner, Sharding):
            break
        order = _followed(order, codec.codecs or Chain(), rank)
        codec = inner
    if not isinstance(codec, Sharding) or codec.chunk_shape is None:
        return None
    if len(codec.chunk_shape) != rank:
        raise InvalidArgument(
            f"the inner chunk shape {list(codec.chunk_shape)} does not have the rank {rank}"
        )
    sizes = dict(zip(order, codec.chunk_shape, strict=True))
    return tuple(sizes[axis] for axis in range(rank))


def _said_order(chain: Chain, rank: int) -> tuple[int, ...]:
    return _followed(tuple(range(rank)), chain, rank)


def _followed(order: tuple[int, ...], chain: Chain, rank: int) -> tuple[int, ...]:
    for transpose in chain.transposes:
        axes = explicit_axes(transpose, rank)
        order = tuple(order[axis] for axis in axes)
    return order


def explicit_axes(transpose: Transpose, rank: int) -> tuple[int, ...]:
    """The permutation that a transpose says.

    Raises:
        InvalidArgument: It says none, or one of another rank.
    """
    match transpose.order:
        case "C":
            return tuple(range(rank))
        case "F":
            return tuple(reversed(range(rank)))
        case tuple(axes) if len(axes) == rank:
            return axes
    raise InvalidArgument(f'the codec "transpose" needs an "order" of rank {rank}')

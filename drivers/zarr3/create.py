"""New metadata, from what a spec says and what its schema wants."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.chunk_choice import choose_chunk_shape, choose_read_and_write_shapes
from asynctensor.chunked.constraint_checks import check_chunk_bytes
from asynctensor.chunked.schema_match import (
    agreed,
    agreed_fill,
    array_domain,
    unique_labels,
    without_hidden,
)
from asynctensor.drivers.zarr3.codec_choice import choose_codecs, said_inner_shape
from asynctensor.drivers.zarr3.codec_merge import merge_chains
from asynctensor.drivers.zarr3.codecs import Chain, Sharding
from asynctensor.drivers.zarr3.constraints import Zarr3Constraints
from asynctensor.drivers.zarr3.data_types import DataType, data_type_of
from asynctensor.drivers.zarr3.metadata import (
    ChunkKeyEncoding,
    Zarr3Metadata,
)
from asynctensor.drivers.zarr3.schema import attribute_units, chain_of, with_units
from asynctensor.schema.chunk_grid import grid_of
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.layout_state import LayoutState, grid_origin_of
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState


def create_metadata(wanted: Zarr3Constraints, schema: Schema) -> Zarr3Metadata:
    """New metadata that satisfies both; see `ArrayFormat.create`."""
    state = agreed(known_schema(wanted), schema)
    assert state.dtype is not None
    assert state.domain is not None
    data_type = wanted.data_type or data_type_of(state.dtype)
    rank = state.domain.rank - len(data_type.hidden_shape)
    shape = tuple(state.domain.shape[:rank])
    units = attribute_units(wanted.attributes, rank)
    state = state.with_units((*units, *(None for _ in data_type.hidden_shape)))
    layout = without_hidden(state.layout, rank)
    if layout.codec.normalized().shape:
        raise contradiction(
            "codec_chunk_shape not supported", "schema.chunk_layout.codec_chunk", "driver"
        )
    chain = merge_chains(wanted.codecs, chain_of(schema.codec))
    chunk_shape, read_shape = _choose_shapes(layout, wanted.chunk_shape, chain, shape)
    chunks = Zarr3Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        key_encoding=wanted.key_encoding or ChunkKeyEncoding(),
        fill_bytes=_fill_bytes(wanted, schema, data_type),
        codecs=choose_codecs(chain, layout.inner_order, chunk_shape, read_shape, data_type),
        dimension_names=_names(wanted, state, rank),
        attributes=with_units(wanted.attributes, tuple(state.units[:rank])),
        extensions=wanted.extensions,
    )
    check_chunk_bytes("chunk_grid", chunk_shape, data_type.itemsize)
    return chunks


def known_schema(wanted: Zarr3Constraints) -> Schema:
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
    return known


def _choose_shapes(
    layout: LayoutState,
    chunk_shape: tuple[int, ...] | None,
    chain: Chain,
    shape: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of write and read chunks."""
    rank = len(shape)
    layout = layout.with_grid_origin(grid_origin_of([0] * rank, True))
    if chunk_shape is not None:
        layout = layout.with_grid("write", grid_of("shape", True, chunk_shape))
    if isinstance(chain.serializer, Sharding):
        inner = said_inner_shape(chain, rank)
        if inner is not None:
            layout = layout.with_grid("read", grid_of("shape", True, inner))
    elif [*chain]:
        # Without the sharding codec, what is read is what is written.
        layout = layout.with_grid("write", layout.read)
        chosen = choose_chunk_shape(layout.write, shape)
        return chosen, chosen
    read, write = choose_read_and_write_shapes(layout.read, layout.write, shape)
    return write, read


def _fill_bytes(wanted: Zarr3Constraints, schema: Schema, data_type: DataType) -> bytes:
    said = None if wanted.fill_value is None else data_type.read_fill(wanted.fill_value)
    found = None if said is None else data_type.fill_array(said)
    fill = agreed_fill(found, schema, data_type.element, data_type.hidden_shape)
    if fill is None:
        return data_type.default_fill()
    if data_type.is_variable:
        value: Any = fill.item()
        return value.encode() if isinstance(value, str) else bytes(value)
    return fill.tobytes()


def _names(
    wanted: Zarr3Constraints, state: SchemaState, rank: int
) -> tuple[str | None, ...] | None:
    assert state.domain is not None
    labels = tuple(label or None for label in state.domain.labels[:rank])
    if wanted.dimension_names is None:
        return labels if any(labels) else None
    # Names that make no labels are still kept, as they were asked for.
    return tuple(
        label if name is None else name
        for name, label in zip(wanted.dimension_names, labels, strict=True)
    )

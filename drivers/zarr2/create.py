"""New metadata, from what a spec says and what its schema wants."""

from __future__ import annotations

from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.constraint_checks import check_chunk_bytes, only_chunk_shape
from asynctensor.chunked.schema_match import (
    agreed,
    agreed_fill,
    array_domain,
    without_hidden,
)
from asynctensor.drivers.zarr2.codecs import DEFAULT
from asynctensor.drivers.zarr2.constraints import Zarr2Constraints, canonical
from asynctensor.drivers.zarr2.data_types import (
    DataType,
    data_type_of,
    fill_array,
    fill_to_bytes,
    read_fill_value,
)
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata
from asynctensor.drivers.zarr2.schema import codecs_of, merge_codecs
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.layout_state import LayoutState
from asynctensor.schema.schema import Schema


def create_metadata(wanted: Zarr2Constraints, schema: Schema) -> Zarr2Metadata:
    """New metadata that satisfies both; see `ArrayFormat.create`."""
    state = agreed(known_schema(wanted), canonical(schema))
    assert state.dtype is not None
    assert state.domain is not None
    if any(unit is not None for unit in state.units):
        message = "Dimension units not supported by zarr driver; use zarr3"
        raise contradiction(message, "schema.dimension_units", "driver")
    data_type = wanted.data_type or data_type_of(state.dtype)
    rank = state.domain.rank - len(data_type.hidden_shape)
    shape = tuple(state.domain.shape[:rank])
    layout = without_hidden(state.layout, rank)
    chunk_shape = only_chunk_shape(layout, wanted.chunk_shape, shape)
    check_chunk_bytes("chunks", chunk_shape, data_type.itemsize)
    codecs = merge_codecs(wanted.codecs, codecs_of(schema.codec))
    filters = codecs.filters if codecs.filters is not None else _object_codec(data_type)
    return Zarr2Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        compressor=codecs.compressor if codecs.compressor_said else DEFAULT,
        order=_choose_order(layout, wanted.order, rank),
        fill_bytes=_fill_bytes(wanted, schema, data_type),
        separator=wanted.separator or ".",
        filters=filters,
    )


def known_schema(wanted: Zarr2Constraints) -> Schema:
    """The constraints that a schema can say too."""
    known = Schema()
    data_type = wanted.data_type
    hidden = data_type.hidden_shape if data_type is not None else ()
    if data_type is not None:
        known.update(dtype=data_type.element)
    if wanted.rank is not None:
        shape = wanted.shape if wanted.shape is not None else (None,) * wanted.rank
        known.update(domain=array_domain(shape, hidden))
    return known


def _object_codec(data_type: DataType) -> tuple[Numcodec, ...]:
    """The filter that arrays of objects need."""
    if not data_type.is_variable:
        return ()
    return (Numcodec("vlen-utf8" if data_type.element.name == "ustring" else "vlen-bytes"),)


def _choose_order(layout: LayoutState, order: str | None, rank: int) -> str:
    wanted = layout.inner_order
    forward = tuple(range(rank))
    fitting = {"C": forward, "F": forward[::-1]}
    if wanted is None:
        return order or "C"
    if order is None and wanted.value in fitting.values():
        return "C" if wanted.value == forward else "F"
    if wanted.hard and (order is None or fitting[order] != wanted.value):
        raise contradiction(
            f'Invalid "inner_order" constraint: {list(wanted.value)}; zarr v2 has '
            + ("only ascending and descending order" if order is None else f'order "{order}" here'),
            "schema.chunk_layout.inner_order",
            "driver" if order is None else "metadata.order",
        )
    return order or "C"


def _fill_bytes(wanted: Zarr2Constraints, schema: Schema, data_type: DataType) -> bytes | None:
    said = None
    if wanted.fill_value is not None:
        said = read_fill_value(wanted.fill_value, data_type)
        if said is None and schema.fill_value is not None:
            raise contradiction(
                "Invalid fill_value: metadata says null, the schema asks for a value",
                "schema.fill_value",
                "metadata.fill_value",
            )
    found = None if said is None else fill_array(said, data_type)
    fill = agreed_fill(found, schema, data_type.element, data_type.hidden_shape)
    return None if fill is None else fill_to_bytes(fill, data_type)

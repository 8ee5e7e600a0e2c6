"""What a spec says of an array of zarr v3: its ``metadata`` and its schema together."""

from __future__ import annotations

import json

from asynctensor.chunked.schema_match import array_domain, unique_labels
from asynctensor.drivers.zarr3.codec_choice import said_inner_shape, said_order
from asynctensor.drivers.zarr3.codecs import Sharding
from asynctensor.drivers.zarr3.constraints import Zarr3Constraints
from asynctensor.drivers.zarr3.schema import UNITS, attribute_units, codec_spec
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.schema import Schema


def spec_schema(wanted: Zarr3Constraints, schema: Schema) -> Schema:
    """See `ArrayFormat.constraint_schema`.

    Raises:
        InvalidArgument: The two contradict each other.
    """
    known = Schema()
    data_type = wanted.data_type
    hidden = data_type.hidden_shape if data_type is not None else ()
    if data_type is not None:
        known.update(dtype=data_type.element)
        if wanted.fill_value is not None:
            fill_bytes = data_type.read_fill(wanted.fill_value)
            known.update(fill_value=data_type.fill_array(fill_bytes))
    own = _own_rank(wanted, schema, len(hidden))
    if own is not None:
        rank = own + len(hidden)
        known.update(rank=rank)
        if wanted.shape is not None or wanted.dimension_names is not None:
            shape = wanted.shape if wanted.shape is not None else (None,) * own
            labels = unique_labels(wanted.dimension_names, own)
            known.update(domain=array_domain(shape, hidden, labels))
        units = attribute_units(wanted.attributes, own)
        if any(unit is not None for unit in units):
            known.update(dimension_units=[*units, *(None for _ in hidden)])
        if rank:
            known.update(chunk_layout=_layout(wanted, own, hidden))
    known.update(codec=codec_spec(wanted.codecs))
    known.update(schema=schema)
    return known


def _own_rank(wanted: Zarr3Constraints, schema: Schema, hidden: int) -> int | None:
    """Number of the document's dimensions, where anything tells."""
    if wanted.rank is not None:
        return wanted.rank
    units = json.loads(wanted.attributes or "{}").get(UNITS)
    if isinstance(units, list) and any(attribute_units(wanted.attributes, len(units))):
        return len(units)
    if schema.rank is None or schema.rank < hidden:
        return None
    return schema.rank - hidden


def _layout(wanted: Zarr3Constraints, own: int, hidden: tuple[int, ...]) -> ChunkLayout:
    rank = own + len(hidden)
    layout = ChunkLayout(grid_origin=[0] * rank)
    if wanted.chunk_shape is not None:
        layout.update(write_chunk_shape=[*wanted.chunk_shape, *hidden])
    chain = wanted.codecs
    read_shape = said_inner_shape(chain, own)
    if chain.serializer is not None and not isinstance(chain.serializer, Sharding):
        # Without shards, what is read is what is written.
        read_shape = wanted.chunk_shape
    if read_shape is not None:
        layout.update(read_chunk_shape=[*read_shape, *hidden])
    order = said_order(chain, own)
    if order is not None:
        layout.update(inner_order=[*order, *range(own, rank)])
    return layout

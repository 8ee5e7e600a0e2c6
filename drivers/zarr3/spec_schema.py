"""What a spec says of an array of zarr v3: its ``metadata`` and its schema together."""

from __future__ import annotations

import json

from asynctensor.chunked.part import Part, PartType, part_type
from asynctensor.chunked.schema_match import array_domain, unique_labels
from asynctensor.drivers.zarr3.codec_choice import said_inner_shape, said_order
from asynctensor.drivers.zarr3.codecs import Sharding
from asynctensor.drivers.zarr3.constraints import Zarr3Constraints
from asynctensor.drivers.zarr3.schema import UNITS, attribute_units, codec_spec
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.contradiction import (
    SaidAt,
    between,
    colliding,
    contradiction,
    in_schema,
)
from asynctensor.schema.schema import Schema


def spec_schema(wanted: Zarr3Constraints, schema: Schema, part: Part | None = None) -> Schema:
    """See `ArrayFormat.constraint_schema`, and `ArrayFormat.part_schema`.

    Raises:
        InvalidArgument: The two contradict each other.
        FailedPrecondition: Elements have no such part.
    """
    known = Schema()
    seen = seen_type(wanted, part)
    hidden = seen.hidden_shape if seen is not None else ()
    if seen is not None:
        known.update(dtype=seen.element)
        if seen.fill is not None:
            known.update(fill_value=seen.fill)
    own = _own_rank(wanted, schema, len(hidden))
    if own is not None:
        rank = own + len(hidden)
        known.update(rank=rank)
        fixed = hidden and (schema.domain is not None or not own)
        if fixed or wanted.shape is not None or wanted.dimension_names is not None:
            shape = wanted.shape if wanted.shape is not None else (None,) * own
            labels = unique_labels(wanted.dimension_names, own)
            known.update(domain=array_domain(shape, hidden, labels))
        units = attribute_units(wanted.attributes, own)
        if any(unit is not None for unit in units):
            known.update(dimension_units=[*units, *(None for _ in hidden)])
        if rank:
            known.update(chunk_layout=_layout(wanted, own, hidden))
    known.update(codec=codec_spec(wanted.codecs))
    with between(in_schema, _said_at(wanted)):
        return Schema.from_state(known.state.merged(schema.state))


def _said_at(wanted: Zarr3Constraints) -> SaidAt:
    """Where the document says what `spec_schema` makes of it."""
    chunks = "metadata.chunk_grid.configuration.chunk_shape"
    sharded = isinstance(wanted.codecs.serializer, Sharding)
    return SaidAt(
        {
            "dtype": "metadata.data_type",
            "domain": "metadata.dimension_names" if wanted.shape is None else "metadata.shape",
            "domain.labels": "metadata.dimension_names",
            "fill_value": "metadata.fill_value",
            "codec": "metadata.codecs",
            "codec.driver": "driver",
            "dimension_units": "metadata.attributes.dimension_units",
            "chunk_layout.write_chunk": chunks,
            "chunk_layout.read_chunk": "metadata.codecs" if sharded else chunks,
            "chunk_layout.inner_order": "metadata.codecs",
            "chunk_layout.grid_origin": "driver",
        },
        "metadata",
    )


def seen_type(wanted: Zarr3Constraints, part: Part | None) -> PartType | None:
    """What elements are seen as; None where the document says no data type.

    Raises:
        InvalidArgument: The fill value is none of the data type.
        FailedPrecondition: Elements have no such part.
    """
    data_type = wanted.data_type
    if data_type is None:
        return None
    with colliding("metadata.fill_value", "metadata.data_type"):
        said = None if wanted.fill_value is None else data_type.read_fill(wanted.fill_value)
    if part is not None:
        with colliding("field", "metadata.data_type"):
            return part_type(part, data_type.whole_dtype, said)
    fill = None if said is None else data_type.fill_array(said)
    return PartType(data_type.element, data_type.hidden_shape, fill)


def _own_rank(wanted: Zarr3Constraints, schema: Schema, hidden: int) -> int | None:
    """Number of the document's dimensions, where anything tells.

    Raises:
        InvalidArgument: The schema has fewer dimensions than an element.
    """
    if wanted.rank is not None:
        return wanted.rank
    units = json.loads(wanted.attributes or "{}").get(UNITS)
    if isinstance(units, list) and any(attribute_units(wanted.attributes, len(units))):
        return len(units)
    if schema.rank is None:
        return None
    if schema.rank < hidden:
        raise contradiction(
            f"elements have {hidden} dimensions, the schema has {schema.rank}",
            in_schema(schema.state.rank_said_by()),
            "metadata.data_type",
        )
    return schema.rank - hidden


def _rank_said_at(wanted: Zarr3Constraints) -> str:
    for name in ("shape", "chunk_shape", "dimension_names"):
        if getattr(wanted, name) is not None:
            return f"metadata.{'chunk_grid' if name == 'chunk_shape' else name}"
    return "schema"


def _layout(wanted: Zarr3Constraints, own: int, hidden: tuple[int, ...]) -> ChunkLayout:
    rank = own + len(hidden)
    layout = ChunkLayout(grid_origin=[0] * rank)
    if wanted.chunk_shape is not None or hidden:
        layout.update(write_chunk_shape=[*(wanted.chunk_shape or (None,) * own), *hidden])
    chain = wanted.codecs
    with colliding("metadata.codecs", _rank_said_at(wanted)):
        read_shape = said_inner_shape(chain, own)
    if chain.serializer is not None and not isinstance(chain.serializer, Sharding):
        # Without shards, what is read is what is written.
        read_shape = wanted.chunk_shape
    if read_shape is not None:
        layout.update(read_chunk_shape=[*read_shape, *hidden])
    with colliding("metadata.codecs", _rank_said_at(wanted)):
        order = said_order(chain, own)
    if order is not None:
        layout.update(inner_order=[*order, *range(own, rank)])
    return layout

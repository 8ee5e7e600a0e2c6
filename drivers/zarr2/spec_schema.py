"""What a spec says of an array of zarr v2: its ``metadata`` and its schema together."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.part import Part, PartType, part_type
from asynctensor.chunked.schema_match import array_domain
from asynctensor.drivers.zarr2.codecs import codec_to_json, filters_to_json
from asynctensor.drivers.zarr2.constraints import Zarr2Constraints, canonical
from asynctensor.drivers.zarr2.data_types import fill_array, read_fill_value
from asynctensor.drivers.zarr2.schema import DRIVER, WantedCodecs, merged_members
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.contradiction import (
    SaidAt,
    between,
    colliding,
    contradiction,
    in_schema,
)
from asynctensor.schema.schema import Schema


def spec_schema(wanted: Zarr2Constraints, schema: Schema, part: Part | None = None) -> Schema:
    """See `ArrayFormat.constraint_schema`, and `ArrayFormat.part_schema`.

    The document's shape does not tell the rank alone: strings and raw data have one dimension
    more, and fields of records may have several, so either the data type or the schema's rank
    has to be known too.

    Raises:
        InvalidArgument: The two contradict each other.
        FailedPrecondition: Elements have no such part.
    """
    known = Schema(codec=_codec(wanted.codecs))
    seen = seen_type(wanted, part)
    if seen is not None:
        known.update(dtype=seen.element)
        if seen.fill is not None:
            known.update(fill_value=seen.fill)
    hidden = _hidden_sizes(wanted, schema.rank, seen)
    rank = schema.rank
    own = _own_rank(wanted, rank, hidden)
    if hidden is not None and own is not None:
        rank = own + len(hidden)
        known.update(rank=rank)
        sizes = [size for size in hidden if size is not None]
        told = wanted.shape is not None or schema.domain is not None or not own
        if told and len(sizes) == len(hidden):
            shape = (None,) * own if wanted.shape is None else wanted.shape
            known.update(domain=array_domain(shape, sizes))
    if rank:
        known.update(rank=rank, chunk_layout=_layout(wanted, hidden, rank))
    with between(in_schema, _said_at(wanted)):
        return Schema.from_state(known.state.merged(canonical(schema).state))


def _said_at(wanted: Zarr2Constraints) -> SaidAt:
    """Where the document says what `spec_schema` makes of it."""
    return SaidAt(
        {
            "rank": _rank_said_at(wanted),
            "dtype": "metadata.dtype",
            "domain": "metadata.shape",
            "fill_value": "metadata.fill_value",
            "codec.compressor": "metadata.compressor",
            "codec.filters": "metadata.filters",
            "codec.driver": "driver",
            "chunk_layout": "metadata.chunks",
            "chunk_layout.inner_order": "metadata.order",
            "chunk_layout.grid_origin": "driver",
        },
        "metadata",
    )


def _rank_said_at(wanted: Zarr2Constraints) -> str:
    return "metadata.chunks" if wanted.shape is None else "metadata.shape"


def seen_type(wanted: Zarr2Constraints, part: Part | None) -> PartType | None:
    """What elements are seen as; None where the document says no data type.

    Raises:
        InvalidArgument: The fill value is none of the data type.
        FailedPrecondition: Elements have no such part.
    """
    data_type = wanted.data_type
    if data_type is None:
        return None
    said = None
    if wanted.fill_value is not None:
        with colliding("metadata.fill_value", "metadata.dtype"):
            said = read_fill_value(wanted.fill_value, data_type)
    if part is not None:
        with colliding("field", "metadata.dtype"):
            return part_type(part, data_type.native, said)
    fill = None if said is None else fill_array(said, data_type)
    return PartType(data_type.element, data_type.hidden_shape, fill)


def _hidden_sizes(
    wanted: Zarr2Constraints, rank: int | None, seen: PartType | None
) -> tuple[int | None, ...] | None:
    """Sizes of the dimensions that follow the document's; None where their number is unknown."""
    if seen is not None:
        return seen.hidden_shape
    if rank is None or wanted.rank is None:
        return None
    if rank < wanted.rank:
        raise contradiction(
            f'"metadata" has {wanted.rank} dimensions, the rank of the schema is {rank}',
            "schema.rank",
            _rank_said_at(wanted),
        )
    return (None,) * (rank - wanted.rank)


def _own_rank(
    wanted: Zarr2Constraints, rank: int | None, hidden: tuple[int | None, ...] | None
) -> int | None:
    """Number of the document's dimensions, where anything tells.

    Raises:
        InvalidArgument: The schema has fewer dimensions than an element.
    """
    if wanted.rank is not None or hidden is None or rank is None:
        return wanted.rank
    if rank < len(hidden):
        raise contradiction(
            f"elements have {len(hidden)} dimensions, the schema has {rank}",
            "schema.rank",
            "metadata.dtype",
        )
    return rank - len(hidden)


def _layout(
    wanted: Zarr2Constraints, hidden: tuple[int | None, ...] | None, rank: int
) -> ChunkLayout:
    layout = ChunkLayout(grid_origin=[0] * rank)
    if hidden is None:
        return layout
    own = range(rank - len(hidden))
    if wanted.chunk_shape is not None or hidden:
        layout.update(chunk_shape=[*(wanted.chunk_shape or (None for _ in own)), *hidden])
    if wanted.order is not None:
        order = own if wanted.order == "C" else reversed(own)
        layout.update(inner_order=[*order, *range(len(own), rank)])
    return layout


def _codec(codecs: WantedCodecs) -> CodecSpec:
    members: dict[str, Any] = {"filters": filters_to_json(codecs.filters or ())}
    if codecs.compressor_said:
        members["compressor"] = codec_to_json(codecs.compressor)
    return CodecSpec({"driver": DRIVER, **members}, merge=merged_members)

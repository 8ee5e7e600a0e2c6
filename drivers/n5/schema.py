"""What the metadata of an N5 dataset says, as a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.chunked.constraint_checks import codec_members, within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import array_domain, finished_layout
from asynctensor.drivers.n5.compressions import (
    Compression,
    merged_compressions,
    read_compression,
)
from asynctensor.drivers.n5.metadata import N5Metadata
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecRules, CodecSpec
from asynctensor.schema.schema import Schema

DRIVER = "n5"


def metadata_schema(metadata: N5Metadata) -> Schema:
    """See `ArrayFormat.schema`. N5 has no fill value: what is not stored reads as 0."""
    schema = Schema(
        dtype=metadata.data_type,
        domain=array_domain(metadata.shape, labels=metadata.axes),
        chunk_layout=finished_layout(
            metadata.block_shape, metadata.block_shape, inner_order(len(metadata.shape))
        ),
        codec=codec_spec(metadata.compression),
    )
    units = metadata.dimension_units
    if units is not None:
        schema.update(dimension_units=units)
    return schema


def inner_order(rank: int) -> tuple[int, ...]:
    """Order of the dimensions inside a block, slowest first: the first varies fastest."""
    return tuple(range(rank - 1, -1, -1))


def rank_schema(rank: int) -> Schema:
    """What is so of every array of this format with `rank` dimensions."""
    layout = ChunkLayout(rank=rank)
    if rank:
        layout.update(inner_order=inner_order(rank), grid_origin=[0] * rank)
    return Schema(rank=rank, chunk_layout=layout)


def codec_spec(compression: Compression | None) -> CodecSpec:
    """The codec of a schema; None leaves it open."""
    members = {} if compression is None else {"compression": compression.to_json()}
    return CodecSpec({"driver": DRIVER, **members}, merge=_merge_members)


def compression_of(codec: CodecSpec | None) -> Compression | None:
    """The compression that a schema's codec asks for; None if it asks for none.

    Raises:
        InvalidArgument: It is another driver's, or wrong.
    """
    members = codec_members(codec, DRIVER)
    return None if members is None else _read(members)


def _read(members: Mapping[str, Any]) -> Compression | None:
    found = Member(dict(members), "codec").object(("compression",))
    if "compression" not in found:
        return None
    with within_spec():
        return read_compression(found["compression"], stored=False)


def _merge_members(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    merged = merged_compressions(_read(a), _read(b))
    return {} if merged is None else {"compression": merged.to_json()}


def _read_members(members: Mapping[str, Any]) -> dict[str, Any]:
    return _merge_members(members, {})


#: Of codec specs of this format.
CODEC_RULES = CodecRules(DRIVER, _read_members, _merge_members)

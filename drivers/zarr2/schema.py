"""What the metadata of a zarr v2 array says, as a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.chunked.constraint_checks import codec_members, within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import array_domain, finished_layout
from asynctensor.drivers.zarr2.codecs import Compressor, compressor_to_json, read_compressor
from asynctensor.drivers.zarr2.layout import element_fill_value, inner_order
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata, read_filters
from asynctensor.errors import InvalidArgument
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema

#: TensorStore's name for the codecs of zarr v2, and its alias.
DRIVER, ALIAS = "zarr", "zarr2"
_MEMBERS = ("compressor", "filters")


def metadata_schema(metadata: Zarr2Metadata) -> Schema:
    """See `ArrayFormat.schema`."""
    hidden = metadata.data_type.hidden_shape
    chunks = (*metadata.chunk_shape, *hidden)
    schema = Schema(
        dtype=metadata.data_type.element,
        domain=array_domain(metadata.shape, hidden),
        chunk_layout=finished_layout(chunks, chunks, inner_order(metadata)),
        codec=codec_spec(metadata.compressor),
    )
    if metadata.fill_bytes is not None:
        schema.update(fill_value=element_fill_value(metadata))
    return schema


def codec_spec(compressor: Compressor | None) -> CodecSpec:
    """The codec of a schema."""
    members = {"compressor": compressor_to_json(compressor), "filters": None}
    return CodecSpec({"driver": DRIVER, **members}, merge=_merge_members)


def compressor_of(codec: CodecSpec | None) -> tuple[Compressor | None, bool]:
    """The compressor that a schema's codec asks for, and whether it asks for any, or none.

    Raises:
        InvalidArgument: It is another driver's, or wrong.
    """
    members = codec_members(codec, DRIVER, ALIAS)
    return (None, False) if members is None else _read(members)


def _read(members: Mapping[str, Any]) -> tuple[Compressor | None, bool]:
    found = Member(dict(members), "codec").object(_MEMBERS)
    with within_spec():
        if "filters" in found:
            read_filters(found["filters"])
        if "compressor" not in found:
            return None, False
        return read_compressor(found["compressor"], stored=False), True


def _merge_members(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    (mine, mine_said), (other, other_said) = _read(a), _read(b)
    if mine_said and other_said and mine != other:
        raise InvalidArgument('"compressor" does not match')
    if not (mine_said or other_said):
        return {"filters": None}
    return {"compressor": compressor_to_json(mine if mine_said else other), "filters": None}

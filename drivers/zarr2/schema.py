"""What the metadata of a zarr v2 array says, as a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.constraint_checks import codec_members, within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import array_domain, finished_layout
from asynctensor.drivers.zarr2.codecs import (
    codec_to_json,
    filters_to_json,
    read_compressor,
    read_filters,
)
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata
from asynctensor.schema.codec_spec import CodecRules, CodecSpec
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.schema import Schema

#: TensorStore's name for the codecs of zarr v2, and its alias.
DRIVER, ALIAS = "zarr", "zarr2"
_MEMBERS = ("compressor", "filters")


@dataclass(frozen=True, slots=True)
class WantedCodecs:
    """What a spec asks for.

    Attributes:
        compressor: The compressor, if `compressor_said`; None is "none".
        compressor_said: Whether a compressor, or none, is asked for.
        filters: The filters; None if nothing is asked.
    """

    compressor: Numcodec | None = None
    compressor_said: bool = False
    filters: tuple[Numcodec, ...] | None = None


def metadata_schema(metadata: Zarr2Metadata) -> Schema:
    """See `ArrayFormat.schema`."""
    hidden = metadata.data_type.hidden_shape
    chunks = (*metadata.chunk_shape, *hidden)
    rank = metadata.rank
    order = (*metadata.inner_order, *range(rank, rank + len(hidden)))
    schema = Schema(
        dtype=metadata.data_type.element,
        domain=array_domain(metadata.shape, hidden),
        chunk_layout=finished_layout(chunks, chunks, order),
        codec=codec_spec(metadata.compressor, metadata.filters),
    )
    if metadata.fill_bytes is not None:
        schema.update(fill_value=metadata.fill_value)
    return schema


def codec_spec(compressor: Numcodec | None, filters: tuple[Numcodec, ...]) -> CodecSpec:
    """The codec of a schema."""
    members = {"compressor": codec_to_json(compressor), "filters": filters_to_json(filters)}
    return CodecSpec({"driver": DRIVER, **members}, merge=merged_members)


def codecs_of(codec: CodecSpec | None) -> WantedCodecs:
    """What a schema's codec asks for.

    Raises:
        InvalidArgument: It is another driver's, or wrong.
    """
    members = codec_members(codec, DRIVER, ALIAS)
    return WantedCodecs() if members is None else _read(members)


def _read(members: Mapping[str, Any]) -> WantedCodecs:
    found = Member(dict(members), "codec").object(_MEMBERS)
    with within_spec():
        # Null asks for nothing here: TensorStore, which has no filters, always says it.
        filters = read_filters(found["filters"], stored=False) if "filters" in found else ()
        said = "compressor" in found
        compressor = read_compressor(found["compressor"], stored=False) if said else None
        return WantedCodecs(compressor, said, filters or None)


def merged_members(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """How the members of two codec specs are merged."""
    merged = merge_codecs(_read(a), _read(b))
    found: dict[str, Any] = {"filters": filters_to_json(merged.filters or ())}
    if merged.compressor_said:
        found["compressor"] = codec_to_json(merged.compressor)
    return found


def merge_codecs(a: WantedCodecs, b: WantedCodecs) -> WantedCodecs:
    """What satisfies both.

    Raises:
        InvalidArgument: They contradict each other.
    """
    if a.compressor_said and b.compressor_said and a.compressor != b.compressor:
        shown = [codec_to_json(each.compressor) for each in (a, b)]
        message = f'"compressor" does not match: {shown[0]} and {shown[1]}'
        raise contradiction(message, "compressor", "compressor")
    if a.filters is not None and b.filters is not None and a.filters != b.filters:
        lists = [filters_to_json(each.filters or ()) for each in (a, b)]
        message = f'"filters" does not match: {lists[0]} and {lists[1]}'
        raise contradiction(message, "filters", "filters")
    return WantedCodecs(
        a.compressor if a.compressor_said else b.compressor,
        a.compressor_said or b.compressor_said,
        a.filters if a.filters is not None else b.filters,
    )


def _read_members(members: Mapping[str, Any]) -> dict[str, Any]:
    return merged_members(members, {})


#: Of codec specs of this format.
CODEC_RULES = CodecRules(DRIVER, _read_members, merged_members)

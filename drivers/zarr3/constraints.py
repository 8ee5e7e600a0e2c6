"""A spec's ``metadata`` member: a partial ``zarr.json``, wanted of an array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.constraint_checks import within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import check_schema, expect
from asynctensor.drivers.zarr3.codec_merge import merge_chains, shard_height
from asynctensor.drivers.zarr3.codec_reading import read_chain
from asynctensor.drivers.zarr3.codecs import EMPTY, Chain, chain_to_json
from asynctensor.drivers.zarr3.data_types import DataType, read_data_type
from asynctensor.drivers.zarr3.metadata import (
    ChunkKeyEncoding,
    Zarr3Metadata,
    read_attributes,
    read_chunk_grid,
    read_dimension_names,
    read_extensions,
    read_key_encoding,
)
from asynctensor.drivers.zarr3.schema import UNITS, attribute_units, metadata_schema
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


@dataclass(frozen=True, slots=True)
class Zarr3Constraints:
    """What is wanted; None where nothing is.

    Attributes:
        shape: Shape in zarr's dimensions.
        data_type: Data type.
        chunk_shape: What one key holds.
        key_encoding: How keys are spelled.
        fill_value: JSON, to be read once the data type is known.
        codecs: A chain that may leave things open.
        dimension_names: One per dimension.
        attributes: JSON text of the object.
        extensions: JSON text of members that need not be understood.
    """

    shape: tuple[int, ...] | None = None
    data_type: DataType | None = None
    chunk_shape: tuple[int, ...] | None = None
    key_encoding: ChunkKeyEncoding | None = None
    fill_value: Member | None = None
    codecs: Chain = EMPTY
    dimension_names: tuple[str | None, ...] | None = None
    attributes: str | None = None
    extensions: str = "{}"

    @property
    def rank(self) -> int | None:
        """Number of zarr's dimensions, where a member tells."""
        for known in (self.shape, self.chunk_shape, self.dimension_names):
            if known is not None:
                return len(known)
        return None


def read_constraints(json_: Mapping[str, Json]) -> Zarr3Constraints:
    """Reads the member.

    Raises:
        InvalidArgument: Unknown or wrong member; the message gives its path.
    """
    with within_spec():
        return _read(Member(json_, "metadata"))


def _read(document: Member) -> Zarr3Constraints:
    found = document.object()
    if "zarr_format" in found:
        found["zarr_format"].integer(3, 3)
    if "node_type" in found:
        found["node_type"].string(("array",))
    shape = found["shape"].sizes(0) if "shape" in found else None
    rank = None if shape is None else len(shape)
    said_by = found.get("shape")
    chunk_shape = None
    if "chunk_grid" in found:
        chunk_shape = read_chunk_grid(found["chunk_grid"], rank, said_by)
        rank = len(chunk_shape)
        said_by = said_by or found["chunk_grid"]
    names = None
    if "dimension_names" in found:
        names = read_dimension_names(found["dimension_names"], rank, said_by)
    encoding = found.get("chunk_key_encoding")
    return Zarr3Constraints(
        shape=shape,
        data_type=read_data_type(found["data_type"]) if "data_type" in found else None,
        chunk_shape=chunk_shape,
        key_encoding=None if encoding is None else read_key_encoding(encoding),
        fill_value=found.get("fill_value"),
        codecs=read_chain(found["codecs"]) if "codecs" in found else EMPTY,
        dimension_names=names,
        attributes=read_attributes(found.get("attributes")),
        extensions=json.dumps(read_extensions(found)),
    )


def check_metadata(metadata: Zarr3Metadata, wanted: Zarr3Constraints, schema: Schema) -> None:
    """Checks stored metadata; see `ArrayFormat.check`."""
    if wanted.shape is not None:
        expect("shape", list(wanted.shape), list(metadata.shape))
    if wanted.data_type is not None:
        expect("data_type", wanted.data_type.to_json(), metadata.data_type.to_json())
    if wanted.chunk_shape is not None:
        expect("chunk_shape", list(wanted.chunk_shape), list(metadata.chunk_shape))
    if wanted.key_encoding is not None:
        _check_key_encoding(metadata.key_encoding, wanted.key_encoding)
    if wanted.fill_value is not None:
        _check_fill_value(metadata, wanted.fill_value)
    if wanted.dimension_names is not None:
        names = metadata.dimension_names or (None,) * metadata.rank
        expect("dimension_names", list(wanted.dimension_names), list(names))
    _check_codecs(metadata.codecs, wanted.codecs)
    _check_attributes(metadata, wanted.attributes)
    _check_members(wanted.extensions, metadata.extensions, "")
    # What metadata say takes long to work out.
    if not schema.state.is_empty:
        check_schema(metadata_schema(metadata), schema)


def _check_key_encoding(found: ChunkKeyEncoding, wanted: ChunkKeyEncoding) -> None:
    pair = [[each.name, each.separator] for each in (wanted, found)]
    expect("chunk_key_encoding", *pair)


def _check_fill_value(metadata: Zarr3Metadata, wanted: Member) -> None:
    data_type = metadata.data_type
    fill_bytes = data_type.read_fill(wanted)
    if fill_bytes != metadata.fill_bytes:
        pair = [data_type.fill_to_json(each) for each in (fill_bytes, metadata.fill_bytes)]
        expect("fill_value", *pair)


def _check_codecs(found: Chain, wanted: Chain) -> None:
    try:
        # What is stored leaves nothing open, so merging can only change it by contradiction; and of
        # metadata, unlike of a schema, all shards must be said.
        if [*wanted] and shard_height(wanted) != shard_height(found):
            raise InvalidArgument(f"expected {json.dumps(chain_to_json(wanted))}")
        merge_chains(found, wanted)
    except InvalidArgument as error:
        shown = json.dumps(chain_to_json(found))
        raise FailedPrecondition(
            f'Mismatch in "codecs" (stored are {shown}): {error.message}'
        ) from error


def _check_attributes(metadata: Zarr3Metadata, wanted: str | None) -> None:
    units = attribute_units(wanted, metadata.rank)
    # Units are compared as such: "4nm" and "4 nm" are the same.
    if units == attribute_units(metadata.attributes, metadata.rank) and any(units):
        wanted = json.dumps({k: v for k, v in json.loads(wanted or "{}").items() if k != UNITS})
    _check_members(wanted, metadata.attributes, "attributes.")


def _check_members(wanted: str | None, found: str | None, path: str) -> None:
    members: dict[str, Any] = json.loads(wanted or "{}")
    if not members:
        return
    stored: dict[str, Any] = json.loads(found or "{}")
    for key, value in members.items():
        expect(f"{path}{key}", value, stored.get(key))

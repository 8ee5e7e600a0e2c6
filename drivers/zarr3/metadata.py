"""The document ``zarr.json`` of an array: parsed, and written.

Read generously, written conservatively: every spelling that readers of zarr agree upon is read,
and the spelling that the strictest of them accepts is written. Source: zarr v3 core, 3.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.constraint_checks import check_chunk_bytes
from asynctensor.chunked.member import Member, load_document
from asynctensor.drivers.zarr3.codec_chain import resolve
from asynctensor.drivers.zarr3.codec_reading import read_chain
from asynctensor.drivers.zarr3.codecs import (
    Bytes,
    Chain,
    Reshape,
    Sharding,
    Transpose,
    chain_to_json,
)
from asynctensor.drivers.zarr3.data_types import DataType, read_data_type
from asynctensor.errors import DataLoss, FailedPrecondition, InvalidArgument, Unimplemented
from asynctensor.near_names import near
from asynctensor.storage.kvstore import Json

#: Members with a meaning here; all others are extensions.
KNOWN = (
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "storage_transformers",
    "dimension_names",
    "attributes",
)
_REQUIRED = (
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
)
_SEPARATORS = ("/", ".")


@dataclass(frozen=True, slots=True)
class ChunkKeyEncoding:
    """How keys are spelled: ``default`` or ``v2``, and with which separator."""

    name: str = "default"
    separator: str = "/"


@dataclass(frozen=True, slots=True)
class Zarr3Metadata:
    """A parsed document.

    Attributes:
        shape: Shape of the array in zarr's dimensions.
        data_type: The data type.
        chunk_shape: What one key holds.
        key_encoding: How keys are spelled.
        fill_bytes: The bytes of one fill value (`DataType.read_fill`).
        codecs: All that is needed to decode.
        dimension_names: One per dimension, or None if there are none.
        attributes: JSON text of the object, as the user wrote it; None if there is none.
        extensions: JSON text of the members that need not be understood, kept on rewriting.
    """

    shape: tuple[int, ...]
    data_type: DataType
    chunk_shape: tuple[int, ...]
    key_encoding: ChunkKeyEncoding
    fill_bytes: bytes
    codecs: Chain
    dimension_names: tuple[str | None, ...] | None = None
    attributes: str | None = None
    extensions: str = "{}"

    @property
    def rank(self) -> int:
        """Number of zarr's dimensions."""
        return len(self.shape)

    @property
    def fill_value(self) -> Array:
        """The fill value of the array: 0-dimensional, or a vector along the hidden dimension."""
        return self.data_type.fill_array(self.fill_bytes)


def stored_dtype(chain: Chain, data_type: DataType) -> np.dtype[Any]:
    """The NumPy type of an element, in the byte order in which a chain stores it.

    Raises:
        Unimplemented: It does not store elements as they are.
    """
    codec: Chain | None = chain
    while codec is not None:
        if not all(isinstance(each, Transpose | Reshape) for each in codec.filters):
            break
        if isinstance(codec.serializer, Bytes) and not data_type.is_variable:
            big = codec.serializer.endian == "big"
            return data_type.whole_dtype.newbyteorder(">" if big else "<")
        codec = codec.serializer.codecs if isinstance(codec.serializer, Sharding) else None
    raise Unimplemented("the codecs do not store elements as they are; they have no bytes here")


def metadata_as_bytes(metadata: Zarr3Metadata) -> Zarr3Metadata:
    """The same array, whose elements are seen as bytes along one more dimension.

    Raises:
        Unimplemented: As for `stored_dtype`.
    """
    data_type = metadata.data_type
    stored = stored_dtype(metadata.codecs, data_type)
    fill = np.frombuffer(metadata.fill_bytes, data_type.whole_dtype).astype(stored)
    return replace(metadata, data_type=data_type.as_bytes(stored), fill_bytes=fill.tobytes())


def parse_metadata(data: bytes) -> Zarr3Metadata:
    """Parses a stored document; see `ArrayFormat.parse`."""
    document = load_document(data)
    try:
        return _read_document(document)
    except InvalidArgument as error:
        raise DataLoss(f"invalid zarr v3 metadata: {error.message}") from error


def _read_document(document: Member) -> Zarr3Metadata:
    found = document.object()
    document.object(required=("zarr_format",))
    found["zarr_format"].integer(3, 3)
    if found.get("node_type", document.at("node_type", None)).value == "group":
        raise FailedPrecondition(
            'there is a zarr v3 group here, no array (member "node_type"); name an array in it'
        )
    document.object(required=_REQUIRED)
    found["node_type"].string(("array",))
    extensions = read_extensions(found)
    shape = found["shape"].sizes(0)
    data_type = read_data_type(found["data_type"])
    chunk_shape = read_chunk_grid(found["chunk_grid"], len(shape))
    check_chunk_bytes(found["chunk_grid"].path, chunk_shape, data_type.itemsize)
    codecs = resolve(read_chain(found["codecs"]), data_type, chunk_shape, stored=True)
    names = found.get("dimension_names")
    return Zarr3Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        key_encoding=read_key_encoding(found["chunk_key_encoding"]),
        fill_bytes=data_type.read_fill(found["fill_value"]),
        codecs=codecs,
        dimension_names=None if names is None else read_dimension_names(names, len(shape)),
        attributes=read_attributes(found.get("attributes")),
        extensions=json.dumps(extensions),
    )


def read_extensions(found: dict[str, Member]) -> dict[str, Any]:
    """The unknown members; all must say that they need not be understood.

    Raises:
        Unimplemented: One does not.
    """
    extensions: dict[str, Any] = {}
    for key, member in found.items():
        if key in KNOWN:
            continue
        value = member.value
        if not isinstance(value, dict) or value.get("must_understand") is not False:
            raise Unimplemented(
                f'member "{member.path}": Unsupported metadata field "{key}" is not marked '
                f'{{"must_understand": false}}{near(key, KNOWN)}'
            )
        extensions[key] = value
    if "storage_transformers" in found and found["storage_transformers"].array():
        raise Unimplemented('member "storage_transformers": none are supported')
    return extensions


def read_named(member: Member) -> tuple[str, Member | None]:
    """Name and configuration of an extension object, or of a bare string."""
    if isinstance(member.value, str):
        return member.value, None
    fields = member.object(("name", "configuration", "must_understand"), ("name",))
    if "must_understand" in fields and not fields["must_understand"].boolean():
        raise fields["must_understand"].error("true, because this cannot be ignored")
    return fields["name"].string(), fields.get("configuration")


def read_chunk_grid(
    member: Member, rank: int | None, said_by: Member | None = None
) -> tuple[int, ...]:
    """The chunk shape of a regular grid; of `rank` if given, which the list `said_by` has.

    Raises:
        InvalidArgument: It is none, or not of `rank`.
        Unimplemented: The grid is of another kind.
    """
    name, configuration = read_named(member)
    if name != "regular":
        raise Unimplemented(
            f'member "{member.path}": the chunk grid "{name}" is not supported; expected "regular"'
        )
    if configuration is None:
        raise InvalidArgument(f'member "{member.path}.configuration": it is missing')
    found = configuration.object(("chunk_shape",), ("chunk_shape",))["chunk_shape"]
    return found.sizes(1, rank, said_by)


def read_key_encoding(member: Member) -> ChunkKeyEncoding:
    """How keys are spelled.

    Raises:
        InvalidArgument: The member is wrong.
        Unimplemented: It names an encoding that is not known here.
    """
    name, configuration = read_named(member)
    if name not in ("default", "v2"):
        raise Unimplemented(
            f'member "{member.path}": the chunk key encoding "{name}" is not supported; expected '
            '"default" or "v2"'
        )
    fields = {} if configuration is None else configuration.object(("separator",))
    if "separator" in fields:
        return ChunkKeyEncoding(name, fields["separator"].string(_SEPARATORS))
    return ChunkKeyEncoding(name, "/" if name == "default" else ".")


def read_dimension_names(
    member: Member, rank: int | None, said_by: Member | None = None
) -> tuple[str | None, ...] | None:
    """The names, None where a dimension has none; ``null`` for the whole list counts as absent."""
    if member.value is None:
        return None
    names = member.array(rank, said_by)
    return tuple(None if name.value is None else name.string() for name in names)


def read_attributes(member: Member | None) -> str | None:
    """The attributes' JSON text; ``null`` counts as absent."""
    if member is None or member.value is None:
        return None
    return json.dumps(member.mapping())


def metadata_to_json(metadata: Zarr3Metadata) -> dict[str, Json]:
    """The document."""
    encoding = metadata.key_encoding
    document: dict[str, Json] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(metadata.shape),
        "data_type": metadata.data_type.to_json(),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(metadata.chunk_shape)},
        },
        "chunk_key_encoding": {
            "name": encoding.name,
            "configuration": {"separator": encoding.separator},
        },
        "fill_value": metadata.data_type.fill_to_json(metadata.fill_bytes),
        "codecs": chain_to_json(metadata.codecs),
    }
    if metadata.dimension_names is not None:
        document["dimension_names"] = list(metadata.dimension_names)
    if metadata.attributes is not None:
        document["attributes"] = json.loads(metadata.attributes)
    document.update(json.loads(metadata.extensions))
    return document

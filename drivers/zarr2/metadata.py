"""The document ``.zarray``: parsed, and written. Source: zarr v2 specification, "Arrays"."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.numcodecs_spec import SERIALIZERS, Numcodec
from asynctensor.chunked.constraint_checks import check_chunk_bytes
from asynctensor.chunked.member import Member, load_document
from asynctensor.drivers.zarr2.codecs import (
    codec_to_json,
    filters_to_json,
    read_compressor,
    read_filters,
)
from asynctensor.drivers.zarr2.data_types import (
    DataType,
    fill_array,
    fill_json,
    read_data_type,
    read_fill_value,
)
from asynctensor.errors import DataLoss, InvalidArgument, Unimplemented
from asynctensor.storage.kvstore import Json

#: Members with a meaning here; all others are ignored, and kept.
KNOWN = (
    "zarr_format",
    "shape",
    "chunks",
    "dtype",
    "compressor",
    "fill_value",
    "order",
    "filters",
    "dimension_separator",
)
_REQUIRED = ("zarr_format", "shape", "chunks", "dtype", "compressor", "order")
ORDERS = ("C", "F")
SEPARATORS = (".", "/")


@dataclass(frozen=True, slots=True)
class Zarr2Metadata:
    """A parsed document.

    Attributes:
        shape: Shape of the array in zarr's dimensions.
        data_type: The data type.
        chunk_shape: What one key holds.
        compressor: How it is compressed; None: not at all.
        order: ``"C"`` or ``"F"``.
        fill_bytes: The bytes of one fill value (`read_fill_value`); None: undefined, read as zeros.
        separator: Between the indices in a key.
        extensions: JSON text of the members that mean nothing here, kept on rewriting.
        filters: What is done before compressing, in the order of encoding.
    """

    shape: tuple[int, ...]
    data_type: DataType
    chunk_shape: tuple[int, ...]
    compressor: Numcodec | None
    order: str = "C"
    fill_bytes: bytes | None = None
    separator: str = "."
    extensions: str = "{}"
    filters: tuple[Numcodec, ...] = ()

    @property
    def rank(self) -> int:
        """Number of zarr's dimensions."""
        return len(self.shape)

    @property
    def fill_value(self) -> Array:
        """The fill value of the array: 0-dimensional, or a vector along the hidden dimension."""
        return fill_array(self.fill_bytes, self.data_type)

    @property
    def inner_order(self) -> tuple[int, ...]:
        """Order of zarr's dimensions inside a chunk, slowest first."""
        axes = range(self.rank)
        return tuple(axes) if self.order == "C" else tuple(reversed(axes))


def parse_metadata(data: bytes) -> Zarr2Metadata:
    """Parses a stored document; see `ArrayFormat.parse`."""
    document = load_document(data)
    try:
        return _read_document(document)
    except InvalidArgument as error:
        raise DataLoss(f"invalid zarr v2 metadata: {error.message}") from error


def _read_document(document: Member) -> Zarr2Metadata:
    found = document.object(required=_REQUIRED)
    found["zarr_format"].integer(2, 2)
    shape = found["shape"].sizes(0)
    chunk_shape = found["chunks"].sizes(1, len(shape))
    filters = read_filters(found["filters"], stored=True) if "filters" in found else ()
    data_type = read_data_type(found["dtype"], filters)
    check_chunk_bytes("chunks", chunk_shape, data_type.itemsize)
    return Zarr2Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        compressor=read_compressor(found["compressor"], stored=True),
        order=found["order"].string(ORDERS),
        fill_bytes=read_fill_value(found.get("fill_value", Member(None, "")), data_type),
        separator=read_separator(found.get("dimension_separator")) or ".",
        extensions=json.dumps({k: m.value for k, m in found.items() if k not in KNOWN}),
        filters=filters,
    )


def metadata_as_bytes(metadata: Zarr2Metadata) -> Zarr2Metadata:
    """The same array, whose elements are seen as bytes along one more dimension.

    Raises:
        Unimplemented: They have none, or a compressor sees numbers.
    """
    data_type = metadata.data_type
    if metadata.compressor is not None and metadata.compressor.id in SERIALIZERS:
        raise Unimplemented(f"{metadata.compressor.id} compresses numbers, not their bytes")
    fill_bytes = metadata.fill_bytes
    if fill_bytes is not None and not data_type.is_variable:
        native = np.frombuffer(fill_bytes, data_type.native)
        fill_bytes = native.astype(data_type.stored).tobytes()
    return replace(metadata, data_type=data_type.as_bytes(), fill_bytes=fill_bytes)


def read_separator(member: Member | None) -> str | None:
    """The separator, where one is said."""
    return None if member is None or member.value is None else member.string(SEPARATORS)


def metadata_to_json(metadata: Zarr2Metadata) -> dict[str, Json]:
    """The document."""
    extensions: dict[str, Any] = json.loads(metadata.extensions)
    return {
        "zarr_format": 2,
        "shape": list(metadata.shape),
        "chunks": list(metadata.chunk_shape),
        "dtype": metadata.data_type.to_json(),
        "compressor": codec_to_json(metadata.compressor),
        "fill_value": fill_json(metadata.fill_bytes, metadata.data_type),
        "order": metadata.order,
        "filters": filters_to_json(metadata.filters),
        "dimension_separator": metadata.separator,
        **extensions,
    }

"""The document ``.zarray``: parsed, and written. Source: zarr v2 specification, "Arrays"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.codec import Array
from asynctensor.chunked.constraint_checks import check_chunk_bytes
from asynctensor.chunked.member import Member, load_document
from asynctensor.drivers.zarr2.codecs import Compressor, compressor_to_json, read_compressor
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
        fill_bytes: The bytes of one fill value, native-endian; None: undefined, read as zeros.
        separator: Between the indices in a key.
        extensions: JSON text of the members that mean nothing here, kept on rewriting.
    """

    shape: tuple[int, ...]
    data_type: DataType
    chunk_shape: tuple[int, ...]
    compressor: Compressor | None
    order: str = "C"
    fill_bytes: bytes | None = None
    separator: str = "."
    extensions: str = "{}"

    @property
    def rank(self) -> int:
        """Number of zarr's dimensions."""
        return len(self.shape)

    @property
    def fill_value(self) -> Array:
        """The fill value of one element of zarr, 0-dimensional."""
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
    data_type = read_data_type(found["dtype"])
    check_chunk_bytes("chunks", chunk_shape, data_type.itemsize)
    if "filters" in found:
        read_filters(found["filters"])
    return Zarr2Metadata(
        shape=shape,
        data_type=data_type,
        chunk_shape=chunk_shape,
        compressor=read_compressor(found["compressor"], stored=True),
        order=found["order"].string(ORDERS),
        fill_bytes=read_fill_value(found.get("fill_value", Member(None, "")), data_type),
        separator=read_separator(found.get("dimension_separator")) or ".",
        extensions=json.dumps({k: m.value for k, m in found.items() if k not in KNOWN}),
    )


def read_filters(member: Member) -> None:
    """Checks that there are none.

    Raises:
        InvalidArgument: It is no list of filters.
        Unimplemented: There are some.
    """
    if member.value is None:
        return
    for each in member.array():
        name = each.object(required=("id",))["id"].string()
        raise Unimplemented(f'member "{each.path}": the filter "{name}" is not supported')


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
        "dtype": metadata.data_type.spelling,
        "compressor": compressor_to_json(metadata.compressor),
        "fill_value": fill_json(metadata.fill_bytes, metadata.data_type),
        "order": metadata.order,
        # Null, because some readers refuse an empty list.
        "filters": None,
        "dimension_separator": metadata.separator,
        **extensions,
    }

"""A spec's ``metadata`` member: a partial ``.zarray``, wanted of an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from asynctensor.chunked.constraint_checks import within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import check_schema, expect
from asynctensor.drivers.zarr2.codecs import (
    codec_to_json,
    filters_to_json,
    read_compressor,
    read_filters,
)
from asynctensor.drivers.zarr2.data_types import (
    DataType,
    fill_json,
    read_data_type,
    read_fill_value,
)
from asynctensor.drivers.zarr2.metadata import (
    KNOWN,
    ORDERS,
    SEPARATORS,
    Zarr2Metadata,
)
from asynctensor.drivers.zarr2.schema import ALIAS, DRIVER, WantedCodecs, metadata_schema
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


@dataclass(frozen=True, slots=True)
class Zarr2Constraints:
    """What is wanted; None where nothing is.

    Attributes:
        shape: Shape in zarr's dimensions.
        data_type: Data type.
        chunk_shape: What one key holds.
        codecs: Compressor and filters.
        order: ``"C"`` or ``"F"``.
        fill_value: JSON, to be read once the data type is known.
        separator: Between the indices in a key.
    """

    shape: tuple[int, ...] | None = None
    data_type: DataType | None = None
    chunk_shape: tuple[int, ...] | None = None
    codecs: WantedCodecs = field(default_factory=WantedCodecs)
    order: str | None = None
    fill_value: Member | None = None
    separator: str | None = None

    @property
    def rank(self) -> int | None:
        """Number of zarr's dimensions, where a member tells."""
        for known in (self.shape, self.chunk_shape):
            if known is not None:
                return len(known)
        return None


def read_constraints(json: Mapping[str, Json]) -> Zarr2Constraints:
    """Reads the member.

    Raises:
        InvalidArgument: Unknown or wrong member; the message gives its path.
    """
    with within_spec():
        return _read(Member(json, "metadata"))


def _read(document: Member) -> Zarr2Constraints:
    found = document.object(KNOWN)
    if "zarr_format" in found:
        found["zarr_format"].integer(2, 2)
    filters = read_filters(found["filters"], stored=False) if "filters" in found else None
    shape = found["shape"].sizes(0) if "shape" in found else None
    rank = None if shape is None else len(shape)
    compressor = found.get("compressor")
    separator = found.get("dimension_separator")
    return Zarr2Constraints(
        shape=shape,
        data_type=read_data_type(found["dtype"], filters or ()) if "dtype" in found else None,
        chunk_shape=(
            found["chunks"].sizes(1, rank, found.get("shape")) if "chunks" in found else None
        ),
        codecs=WantedCodecs(
            None if compressor is None else read_compressor(compressor, stored=False),
            compressor is not None,
            filters,
        ),
        order=found["order"].string(ORDERS) if "order" in found else None,
        fill_value=found.get("fill_value"),
        separator=None if separator is None else separator.string(SEPARATORS),
    )


def check_metadata(metadata: Zarr2Metadata, wanted: Zarr2Constraints, schema: Schema) -> None:
    """Checks stored metadata; see `ArrayFormat.check`."""
    if wanted.shape is not None:
        expect("shape", list(wanted.shape), list(metadata.shape))
    if wanted.data_type is not None:
        expect("dtype", wanted.data_type.to_json(), metadata.data_type.to_json())
    if wanted.chunk_shape is not None:
        expect("chunks", list(wanted.chunk_shape), list(metadata.chunk_shape))
    if wanted.codecs.compressor_said:
        codecs = (wanted.codecs.compressor, metadata.compressor)
        expect("compressor", *[codec_to_json(each) for each in codecs])
    if wanted.codecs.filters is not None:
        lists = (wanted.codecs.filters, metadata.filters)
        expect("filters", *[filters_to_json(each) for each in lists])
    if wanted.order is not None:
        expect("order", wanted.order, metadata.order)
    if wanted.separator is not None:
        expect("dimension_separator", wanted.separator, metadata.separator)
    if wanted.fill_value is not None:
        fill_bytes = read_fill_value(wanted.fill_value, metadata.data_type)
        if fill_bytes != metadata.fill_bytes:
            pair = [
                fill_json(each, metadata.data_type) for each in (fill_bytes, metadata.fill_bytes)
            ]
            expect("fill_value", *pair)
    # What metadata say takes long to work out.
    if not schema.state.is_empty:
        check_schema(metadata_schema(metadata), canonical(schema))


def canonical(schema: Schema) -> Schema:
    """The schema with its codec under the name that `metadata_schema` uses."""
    codec = schema.codec
    if codec is None or codec.driver != ALIAS:
        return schema
    renamed = CodecSpec({**codec.members, "driver": DRIVER})
    return Schema.from_state(replace(schema.state, codec=renamed))

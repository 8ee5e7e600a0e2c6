"""A spec's ``metadata`` member: a partial ``attributes.json``, wanted of an array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from asynctensor.chunked.constraint_checks import within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import array_domain, check_schema, expect
from asynctensor.drivers.n5.compressions import Compression, read_compression
from asynctensor.drivers.n5.metadata import (
    KNOWN,
    N5Metadata,
    combined_units,
    read_axes,
    read_data_type,
    read_resolution,
    read_units,
)
from asynctensor.drivers.n5.schema import codec_spec, metadata_schema, rank_schema
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.contradiction import SaidAt, contradiction
from asynctensor.schema.data_type import dtype
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit
from asynctensor.storage.kvstore import Json


@dataclass(frozen=True, slots=True)
class N5Constraints:
    """What is wanted; None where nothing is.

    Attributes:
        shape: ``dimensions``.
        data_type: Data type.
        block_shape: ``blockSize``.
        compression: How it is compressed.
        axes: A label per dimension.
        units: A base unit per dimension.
        resolution: A number per dimension.
        attributes: JSON text of all other members, sorted by name.
    """

    shape: tuple[int, ...] | None = None
    data_type: dtype | None = None
    block_shape: tuple[int, ...] | None = None
    compression: Compression | None = None
    axes: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    resolution: tuple[float, ...] | None = None
    attributes: str = "{}"

    @property
    def rank(self) -> int | None:
        """Number of dimensions, where a member tells."""
        for known in (self.shape, self.block_shape, self.axes, self.units, self.resolution):
            if known is not None:
                return len(known)
        return None

    @property
    def dimension_units(self) -> tuple[Unit, ...] | None:
        """Units of the dimensions, None where none are known."""
        return combined_units(self.units, self.resolution)


def read_constraints(json_: Mapping[str, Json]) -> N5Constraints:
    """Reads the member.

    Raises:
        InvalidArgument: Wrong member; the message gives its path.
    """
    with within_spec():
        return _read(Member(json_, "metadata"))


def _read(document: Member) -> N5Constraints:
    found = document.object()
    rank: int | None = None
    said_by: Member | None = None

    def read(name: str, reader: Any) -> Any:
        nonlocal rank, said_by
        if name not in found:
            return None
        value = reader(found[name], rank, said_by)
        rank, said_by = len(value), said_by or found[name]
        return value

    return N5Constraints(
        shape=read("dimensions", lambda member, *rank: member.sizes(0, *rank)),
        block_shape=read("blockSize", lambda member, *rank: member.sizes(1, *rank)),
        axes=read("axes", read_axes),
        units=read("units", read_units),
        resolution=read("resolution", read_resolution),
        data_type=read_data_type(found["dataType"]) if "dataType" in found else None,
        compression=(
            read_compression(found["compression"], stored=False) if "compression" in found else None
        ),
        attributes=json.dumps({k: found[k].value for k in sorted(found) if k not in KNOWN}),
    )


def constraints_to_json(wanted: N5Constraints) -> dict[str, Json]:
    """The member again, with the compression's defaults filled in."""
    found: dict[str, Any] = json.loads(wanted.attributes)
    lists = {
        "dimensions": wanted.shape,
        "blockSize": wanted.block_shape,
        "axes": wanted.axes,
        "units": wanted.units,
        "resolution": wanted.resolution,
    }
    found |= {name: list(value) for name, value in lists.items() if value is not None}
    if wanted.data_type is not None:
        found["dataType"] = wanted.data_type.name
    if wanted.compression is not None:
        found["compression"] = wanted.compression.to_json()
    return dict(sorted(found.items()))


def known_schema(wanted: N5Constraints) -> Schema:
    """The constraints that a schema can say too."""
    known = Schema(codec=codec_spec(wanted.compression))
    if wanted.data_type is not None:
        known.update(dtype=wanted.data_type)
    rank = wanted.rank
    if rank is None:
        return known
    known.update(schema=rank_schema(rank))
    if wanted.block_shape:
        known.update(chunk_layout=ChunkLayout(chunk_shape=wanted.block_shape))
    if wanted.shape is not None:
        known.update(domain=array_domain(wanted.shape, labels=wanted.axes or ()))
    elif wanted.axes is not None:
        known.update(domain=array_domain((None,) * rank, labels=wanted.axes))
    if wanted.dimension_units is not None:
        known.update(dimension_units=wanted.dimension_units)
    return known


def said_at(wanted: N5Constraints) -> SaidAt:
    """Where the document says what `known_schema` makes of it."""
    return SaidAt(
        {
            "dtype": "metadata.dataType",
            "domain": "metadata.axes" if wanted.shape is None else "metadata.dimensions",
            "domain.labels": "metadata.axes",
            "codec.compression": "metadata.compression",
            "dimension_units": "metadata.units",
            "chunk_layout": "metadata.blockSize",
            "chunk_layout.inner_order": "driver",
            "chunk_layout.grid_origin": "driver",
            "codec.driver": "driver",
        },
        "metadata",
    )


def check_metadata(metadata: N5Metadata, wanted: N5Constraints, schema: Schema) -> None:
    """Checks stored metadata; see `ArrayFormat.check`."""
    if wanted.shape is not None:
        expect("dimensions", list(wanted.shape), list(metadata.shape))
    if wanted.data_type is not None:
        expect("dataType", wanted.data_type.name, metadata.data_type.name)
    if wanted.block_shape is not None:
        expect("blockSize", list(wanted.block_shape), list(metadata.block_shape))
    if wanted.compression is not None:
        expect("compression", wanted.compression.to_json(), metadata.compression.to_json())
    if wanted.axes is not None:
        expect("axes", list(wanted.axes), list(metadata.axes))
    for name in ("units", "resolution"):
        value, found = getattr(wanted, name), getattr(metadata, name)
        if value is not None:
            expect(name, list(value), None if found is None else list(found))
    stored: dict[str, Any] = json.loads(metadata.attributes)
    for key, value in json.loads(wanted.attributes).items():
        expect(key, value, stored.get(key))
    try:
        check_schema(metadata_schema(metadata), without_fill(schema))
    except InvalidArgument as error:
        raise FailedPrecondition(error.message) from error
    _check_units(metadata, schema)


def _check_units(metadata: N5Metadata, schema: Schema) -> None:
    """What is stored says units for all dimensions or for none, so none is a mismatch too."""
    wanted = schema.dimension_units or ()
    if metadata.dimension_units is None and any(unit is not None for unit in wanted):
        expect("dimension_units", [None if u is None else u.to_json() for u in wanted], None)


def without_fill(schema: Schema) -> Schema:
    """The schema without its fill value, which can only be what N5 has anyway.

    Raises:
        InvalidArgument: It is not 0.
    """
    fill = schema.fill_value
    if fill is None:
        return schema
    if any(fill.tobytes()):
        raise contradiction(
            "fill_value not supported by N5 format: what is not stored reads as 0, "
            f"the schema asks for {fill}",
            "schema.fill_value",
            "driver",
        )
    return Schema.from_state(replace(schema.state, fill_value=None))

"""Zarr v2 as the chunk engine sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.member import dump_document
from asynctensor.chunked.part import Part, only_field
from asynctensor.drivers.zarr2.codec_chain import build_codec
from asynctensor.drivers.zarr2.codecs import codec_to_json
from asynctensor.drivers.zarr2.constraints import check_metadata, read_constraints
from asynctensor.drivers.zarr2.create import create_metadata
from asynctensor.drivers.zarr2.layout import array_layout
from asynctensor.drivers.zarr2.merging import DOCUMENT
from asynctensor.drivers.zarr2.metadata import (
    KNOWN,
    Zarr2Metadata,
    metadata_as_bytes,
    metadata_to_json,
    parse_metadata,
)
from asynctensor.drivers.zarr2.schema import CODEC_RULES, metadata_schema
from asynctensor.drivers.zarr2.spec_schema import seen_type, spec_schema
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.schema.codec_spec import CodecRules
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


class Zarr2Format(ArrayFormat[Zarr2Metadata]):
    """Zarr v2."""

    # As TensorStore prints it; "zarr2" is an alias.
    driver = "zarr"
    metadata_key = ".zarray"
    merge_rules = DOCUMENT

    def parse(self, data: bytes) -> Zarr2Metadata:
        metadata = parse_metadata(data)
        try:
            build_codec(metadata)
        except InvalidArgument as error:
            raise DataLoss(f"invalid zarr v2 metadata: {error.message}") from error
        return metadata

    def serialize(self, metadata: Zarr2Metadata) -> bytes:
        return dump_document(metadata_to_json(metadata))

    def spelled_out(self, constraints: dict[str, Json]) -> dict[str, Json]:
        compressor = read_constraints(constraints).codecs.compressor
        if compressor is None:
            return constraints
        return {**constraints, "compressor": codec_to_json(compressor)}

    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        return spec_schema(read_constraints(constraints), schema)

    def part_schema(self, constraints: dict[str, Json], schema: Schema, part: Part) -> Schema:
        return spec_schema(read_constraints(constraints), schema, part)

    def implied_part(self, constraints: dict[str, Json], schema: Schema) -> Part | None:
        data_type = read_constraints(constraints).data_type
        return None if data_type is None else only_field(data_type.native, schema.dtype)

    def fixed_rank(self, constraints: dict[str, Json], part: Part | None) -> int:
        seen = seen_type(read_constraints(constraints), part)
        return 0 if seen is None else len(seen.hidden_shape)

    def codec_rules(self) -> CodecRules:
        return CODEC_RULES

    def check_constraints(self, constraints: dict[str, Json]) -> None:
        read_constraints(constraints)

    def create(self, constraints: dict[str, Json], schema: Schema) -> Zarr2Metadata:
        metadata = create_metadata(read_constraints(constraints), schema)
        build_codec(metadata)
        return metadata

    def check(self, metadata: Zarr2Metadata, constraints: dict[str, Json], schema: Schema) -> None:
        check_metadata(metadata, read_constraints(constraints), schema)

    def layout(self, metadata: Zarr2Metadata) -> ArrayLayout:
        return array_layout(metadata)

    def schema(self, metadata: Zarr2Metadata) -> Schema:
        return metadata_schema(metadata)

    def record(self, metadata: Zarr2Metadata) -> np.dtype[Any] | None:
        whole = metadata.data_type.whole or metadata.data_type
        return whole.stored if whole.stored.names else None

    def as_bytes(self, metadata: Zarr2Metadata) -> Zarr2Metadata:
        return metadata_as_bytes(metadata)

    def resized(self, metadata: Zarr2Metadata, shape: tuple[int, ...]) -> Zarr2Metadata:
        return replace(metadata, shape=tuple(shape[: metadata.rank]))

    def to_json(self, metadata: Zarr2Metadata) -> dict[str, Json]:
        # A spec refuses members that are not known.
        document = metadata_to_json(metadata)
        return {key: value for key, value in document.items() if key in KNOWN}

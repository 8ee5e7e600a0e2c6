"""Zarr v3 as the chunk engine sees it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.member import dump_document
from asynctensor.chunked.part import Part, only_field
from asynctensor.drivers.zarr3.codec_spelling import spelled_out_codecs
from asynctensor.drivers.zarr3.constraints import check_metadata, read_constraints
from asynctensor.drivers.zarr3.create import create_metadata
from asynctensor.drivers.zarr3.layout import array_layout
from asynctensor.drivers.zarr3.merging import DOCUMENT
from asynctensor.drivers.zarr3.metadata import (
    Zarr3Metadata,
    metadata_as_bytes,
    metadata_to_json,
    parse_metadata,
    stored_dtype,
)
from asynctensor.drivers.zarr3.schema import CODEC_RULES, metadata_schema
from asynctensor.drivers.zarr3.spec_schema import seen_type, spec_schema
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.schema.codec_spec import CodecRules
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


class Zarr3Format(ArrayFormat[Zarr3Metadata]):
    """Zarr v3 (core specification 3.1)."""

    driver = "zarr3"
    metadata_key = "zarr.json"
    merge_rules = DOCUMENT

    def parse(self, data: bytes) -> Zarr3Metadata:
        metadata = parse_metadata(data)
        try:
            self._check_chain(metadata)
        except InvalidArgument as error:
            raise DataLoss(f"invalid zarr v3 metadata: {error.message}") from error
        return metadata

    def serialize(self, metadata: Zarr3Metadata) -> bytes:
        return dump_document(metadata_to_json(metadata))

    def spelled_out(self, constraints: dict[str, Json]) -> dict[str, Json]:
        found = {k: v for k, v in constraints.items() if (k, v) != ("attributes", {})}
        # The kind of node is said with the rest, and says nothing alone.
        if found == {"node_type": "array"} or not found:
            return {}
        if "codecs" in found:
            found["codecs"] = spelled_out_codecs(found["codecs"])
        return {"node_type": "array", **found}

    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        return spec_schema(read_constraints(constraints), schema)

    def part_schema(self, constraints: dict[str, Json], schema: Schema, part: Part) -> Schema:
        return spec_schema(read_constraints(constraints), schema, part)

    def implied_part(self, constraints: dict[str, Json], schema: Schema) -> Part | None:
        data_type = read_constraints(constraints).data_type
        return None if data_type is None else only_field(data_type.whole_dtype, schema.dtype)

    def fixed_rank(self, constraints: dict[str, Json], part: Part | None) -> int:
        seen = seen_type(read_constraints(constraints), part)
        return 0 if seen is None else len(seen.hidden_shape)

    def codec_rules(self) -> CodecRules:
        return CODEC_RULES

    def check_constraints(self, constraints: dict[str, Json]) -> None:
        read_constraints(constraints)

    def create(self, constraints: dict[str, Json], schema: Schema) -> Zarr3Metadata:
        metadata = create_metadata(read_constraints(constraints), schema)
        self._check_chain(metadata)
        return metadata

    def _check_chain(self, metadata: Zarr3Metadata) -> None:
        """Refuses a fill value that cannot go down the chain."""
        if metadata.codecs.filters:
            array_layout(metadata)

    def check(self, metadata: Zarr3Metadata, constraints: dict[str, Json], schema: Schema) -> None:
        check_metadata(metadata, read_constraints(constraints), schema)

    def layout(self, metadata: Zarr3Metadata) -> ArrayLayout:
        return array_layout(metadata)

    def schema(self, metadata: Zarr3Metadata) -> Schema:
        return metadata_schema(metadata)

    def record(self, metadata: Zarr3Metadata) -> np.dtype[Any] | None:
        whole = metadata.data_type.whole or metadata.data_type
        return stored_dtype(metadata.codecs, whole) if whole.whole_dtype.names else None

    def as_bytes(self, metadata: Zarr3Metadata) -> Zarr3Metadata:
        return metadata_as_bytes(metadata)

    def resized(self, metadata: Zarr3Metadata, shape: tuple[int, ...]) -> Zarr3Metadata:
        return replace(metadata, shape=tuple(shape[: metadata.rank]))

    def kind(self, metadata: Zarr3Metadata) -> Hashable:
        return replace(metadata, shape=(0,) * metadata.rank)

    def to_json(self, metadata: Zarr3Metadata) -> dict[str, Json]:
        return metadata_to_json(metadata)

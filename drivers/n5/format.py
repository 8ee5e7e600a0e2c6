"""N5 as the chunk engine sees it."""

from __future__ import annotations

from dataclasses import replace

from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.member import dump_document
from asynctensor.drivers.n5.constraints import (
    check_metadata,
    constraints_to_json,
    known_schema,
    read_constraints,
    said_at,
)
from asynctensor.drivers.n5.create import create_metadata
from asynctensor.drivers.n5.layout import array_layout
from asynctensor.drivers.n5.merging import DOCUMENT
from asynctensor.drivers.n5.metadata import N5Metadata, metadata_to_json, parse_metadata
from asynctensor.drivers.n5.schema import CODEC_RULES, DRIVER, metadata_schema, rank_schema
from asynctensor.schema.codec_spec import CodecRules
from asynctensor.schema.contradiction import between, in_schema
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


class N5Format(ArrayFormat[N5Metadata]):
    """N5."""

    driver = DRIVER
    metadata_key = "attributes.json"
    merge_rules = DOCUMENT

    def parse(self, data: bytes) -> N5Metadata:
        return parse_metadata(data)

    def serialize(self, metadata: N5Metadata) -> bytes:
        return dump_document(metadata_to_json(metadata, stored=True))

    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        wanted = read_constraints(constraints)
        with between(in_schema, said_at(wanted)):
            state = known_schema(wanted).state.merged(schema.state)
            if state.rank is not None:
                state = rank_schema(state.rank).state.merged(state)
        return Schema.from_state(state)

    def codec_rules(self) -> CodecRules:
        return CODEC_RULES

    def check_constraints(self, constraints: dict[str, Json]) -> None:
        read_constraints(constraints)

    def spelled_out(self, constraints: dict[str, Json]) -> dict[str, Json]:
        return constraints_to_json(read_constraints(constraints))

    def create(self, constraints: dict[str, Json], schema: Schema) -> N5Metadata:
        return create_metadata(read_constraints(constraints), schema)

    def check(self, metadata: N5Metadata, constraints: dict[str, Json], schema: Schema) -> None:
        check_metadata(metadata, read_constraints(constraints), schema)

    def layout(self, metadata: N5Metadata) -> ArrayLayout:
        return array_layout(metadata)

    def schema(self, metadata: N5Metadata) -> Schema:
        return metadata_schema(metadata)

    def resized(self, metadata: N5Metadata, shape: tuple[int, ...]) -> N5Metadata:
        return replace(metadata, shape=tuple(shape))

    def to_json(self, metadata: N5Metadata) -> dict[str, Json]:
        return metadata_to_json(metadata)

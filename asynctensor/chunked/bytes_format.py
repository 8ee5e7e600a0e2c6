"""An array seen as the bytes of its elements: ``open_as_void``, and what fields are cut from."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.part import Part
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json

M = TypeVar("M")


class BytesFormat(ArrayFormat[M]):
    """Another format, with one more dimension: the bytes of an element, as they are stored.

    Args:
        whole: The format.
    """

    def __init__(self, whole: ArrayFormat[M]) -> None:
        self._whole = whole
        self.driver, self.metadata_key = whole.driver, whole.metadata_key
        self.merge_rules = whole.merge_rules

    def parse(self, data: bytes) -> M:
        return self._whole.as_bytes(self._whole.parse(data))

    def serialize(self, metadata: M) -> bytes:
        return self._whole.serialize(metadata)

    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        return self._whole.constraint_schema(constraints, schema)

    def part_schema(self, constraints: dict[str, Json], schema: Schema, part: Part) -> Schema:
        return self._whole.part_schema(constraints, schema, part)

    def fixed_rank(self, constraints: dict[str, Json], part: Part | None) -> int:
        return self._whole.fixed_rank(constraints, part)

    def check_constraints(self, constraints: dict[str, Json]) -> None:
        self._whole.check_constraints(constraints)

    def record(self, metadata: M) -> np.dtype[Any] | None:
        return self._whole.record(metadata)

    def create(self, constraints: dict[str, Json], schema: Schema) -> M:
        return self._whole.as_bytes(self._whole.create(constraints, schema))

    def check(self, metadata: M, constraints: dict[str, Json], schema: Schema) -> None:
        self._whole.check(metadata, constraints, schema)

    def layout(self, metadata: M) -> ArrayLayout:
        return self._whole.layout(metadata)

    def schema(self, metadata: M) -> Schema:
        return self._whole.schema(metadata)

    def resized(self, metadata: M, shape: tuple[int, ...]) -> M:
        return self._whole.resized(metadata, shape)

    def to_json(self, metadata: M) -> dict[str, Any]:
        return self._whole.to_json(metadata)

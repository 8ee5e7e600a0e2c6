"""What the spec of a ``cast`` says: its ``dtype``, and all that its base says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asynctensor.chunked.driver_request import base_of, schema_of
from asynctensor.schema.contradiction import between, in_schema
from asynctensor.schema.conversion import can_convert, convert
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_constraint import converted_fill
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState


def effective_schema(options: Mapping[str, Any], schema: Schema) -> Schema:
    """See `asynctensor.spec_rules.EffectiveSchema`."""
    known = cast_schema(schema_of(base_of(options)), schema.dtype)
    with between(in_schema, lambda _: "base"):
        return Schema.from_state(known.state.merged(schema.state))


def base_schema(options: Mapping[str, Any], schema: Schema) -> tuple[Schema, Schema]:
    """See `asynctensor.spec_rules.BaseSchema`: all but the data type concerns the base."""
    target, below = schema.dtype, base_of(options).effective_schema().dtype
    fill = schema.state.fill_value
    if fill is not None and target is not None and below is not None:
        fill = converted_fill(fill, target)
        fill = convert(fill, target, below) if can_convert(target, below) else None
    handed = replace(schema.state, dtype=None, fill_value=fill)
    return Schema.from_state(SchemaState(dtype=target)), Schema.from_state(handed)


def cast_schema(base: Schema, target: dtype | None) -> Schema:
    """The schema of a base with another data type."""
    fill, source = base.state.fill_value, base.dtype
    if fill is not None and target is not None and source is not None:
        fill = convert(fill, source, target) if can_convert(source, target) else None
    return Schema.from_state(replace(base.state, dtype=target, fill_value=fill))

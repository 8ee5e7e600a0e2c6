"""The rules of specs of a chunked format: what their member ``metadata`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.chunked.format import ArrayFormat
from asynctensor.schema.schema import Schema
from asynctensor.spec_rules import DriverRules

#: Gives the format, always the same one.
FormatSource: TypeAlias = Callable[[], ArrayFormat[Any]]


@dataclass(frozen=True, slots=True)
class _MetadataSchema:
    """The schema of a spec, with what its ``metadata`` member says."""

    source: FormatSource

    def __call__(self, options: Mapping[str, Any], schema: Schema) -> Schema:
        if options.get("field") is not None or options.get("open_as_void"):
            # The metadata is about whole elements.
            return schema
        return self.source().constraint_schema(options.get("metadata", {}), schema)


@dataclass(frozen=True, slots=True)
class _MetadataOptions:
    """The options of a spec, with its ``metadata`` member spelled out by the format."""

    source: FormatSource

    def __call__(self, options: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(options)
        if "metadata" in found:
            found["metadata"] = self.source().spelled_out(found["metadata"])
            if not found["metadata"]:
                del found["metadata"]
        return found


def format_rules(
    driver: str, scheme: str | None, source: FormatSource, *further: str
) -> DriverRules:
    """The rules of a chunked format.

    Args:
        driver: Its name in JSON.
        scheme: Its scheme in URLs, None if it has none.
        source: Gives the format.
        *further: Members of its specs beyond ``metadata``.
    """
    return DriverRules(
        driver,
        scheme=scheme,
        members=frozenset({"metadata", *further}),
        effective_schema=_MetadataSchema(source),
        spelled_out=_MetadataOptions(source),
    )

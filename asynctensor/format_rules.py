"""The rules of specs of a chunked format: what their member ``metadata`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.chunked.format import ArrayFormat
from asynctensor.chunked.part import part_of_options
from asynctensor.errors import InvalidArgument
from asynctensor.schema.contradiction import colliding
from asynctensor.schema.json_value import dump, in_member, members, merging, string
from asynctensor.schema.schema import Schema
from asynctensor.spec_rules import DriverRules

#: Gives the format, always the same one.
FormatSource: TypeAlias = Callable[[], ArrayFormat[Any]]


@dataclass(frozen=True, slots=True)
class _MetadataSchema:
    """The schema of a spec, with what its ``metadata`` member says."""

    source: FormatSource

    def __call__(self, options: Mapping[str, Any], schema: Schema) -> Schema:
        metadata = options.get("metadata", {})
        part = part_of_options(options) or self.source().implied_part(metadata, schema)
        if part is not None:
            return self.source().part_schema(metadata, schema, part)
        return self.source().constraint_schema(metadata, schema)


@dataclass(frozen=True, slots=True)
class _FixedRank:
    """How many trailing dimensions of a spec's array have a fixed size."""

    source: FormatSource

    def __call__(self, options: Mapping[str, Any]) -> int:
        metadata = options.get("metadata", {})
        # Whole records have no further dimensions; that of their only field are fixed.
        part = part_of_options(options) or self.source().implied_part(metadata, Schema())
        return self.source().fixed_rank(metadata, part)


@dataclass(frozen=True, slots=True)
class _MetadataOptions:
    """The options of a spec, with its ``metadata`` member spelled out by the format.

    Attributes:
        source: Gives the format.
        aliases: Members that say the same as a member of the metadata, which is the second name.
    """

    source: FormatSource
    aliases: tuple[tuple[str, str], ...]

    def __call__(self, options: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(options)
        for alias, name in self.aliases:
            if alias in found:
                with merging(alias), colliding(alias, f"metadata.{name}"):
                    found["metadata"] = _with_alias(
                        found.get("metadata", {}), name, found.pop(alias)
                    )
        if "metadata_key" in found:
            with in_member("metadata_key"):
                key = string(found["metadata_key"])
            if key == self.source().metadata_key:
                del found["metadata_key"]
        if "metadata" in found:
            with in_member("metadata"):
                members(found["metadata"])
            found["metadata"] = self.source().spelled_out(found["metadata"])
            if not found["metadata"]:
                del found["metadata"]
        return found


def _with_alias(metadata: Any, name: str, value: Any) -> dict[str, Any]:
    known = members(metadata)
    string(value)
    if known.setdefault(name, value) != value:
        raise InvalidArgument(
            f"value ({dump(value)}) does not match value in metadata ({dump(known[name])})"
        )
    return known


def format_rules(
    driver: str,
    scheme: str | None,
    source: FormatSource,
    *further: str,
    aliases: tuple[tuple[str, str], ...] = (),
) -> DriverRules:
    """The rules of a chunked format.

    Args:
        driver: Its name in JSON.
        scheme: Its scheme in URLs, None if it has none.
        source: Gives the format.
        *further: Members of its specs beyond ``metadata``.
        aliases: Members that say the same as a member of the metadata, which is the second name.
    """
    return DriverRules(
        driver,
        scheme=scheme,
        members=frozenset({"metadata", *further, *dict(aliases)}),
        defaults=(("metadata", {}),),
        effective_schema=_MetadataSchema(source),
        spelled_out=_MetadataOptions(source, aliases),
        fixed_rank=_FixedRank(source),
    )

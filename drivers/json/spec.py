"""The members of a spec of the ``json`` driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.drivers.json.pointer import parse_pointer
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema.contradiction import contradiction, in_schema
from asynctensor.schema.data_type import dtype
from asynctensor.schema.json_value import in_member, string
from asynctensor.schema.schema import Schema

#: What members default to; left out of specs.
DEFAULTS = {"json_pointer": "", "recheck_cached_data": "open"}


def spelled_out(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members, checked, without those that have their defaults.

    Raises:
        InvalidArgument: One is wrong; the message names it.
    """
    if "json_pointer" in options:
        with in_member("json_pointer"):
            parse_pointer(string(options["json_pointer"]))
    return {k: v for k, v in options.items() if k not in DEFAULTS or DEFAULTS[k] != v}


def effective_schema(options: Mapping[str, Any], schema: Schema) -> Schema:
    """What is known of the array: what `schema` says; in a spec from JSON, data type and rank.

    As in TensorStore, a URL does not tell.

    Raises:
        InvalidArgument: The schema says something else.
    """
    del options
    if schema.dtype not in (None, dtype("json")):
        raise contradiction(
            f"Specified dtype (json) does not match existing value ({schema.dtype.name})",
            "schema.dtype",
            "driver",
        )
    for name, given in (("fill_value", schema.fill_value), ("codec", schema.codec)):
        if given is not None:
            message = f"{name} not supported by json driver"
            raise contradiction(message, in_schema(name), "driver")
    if schema.rank not in (None, 0):
        raise contradiction(
            "Rank specified by rank (0) does not match existing rank specified by schema "
            f"({schema.rank})",
            in_schema(schema.state.rank_said_by()),
            "driver",
        )
    if schema.rank is None or schema.dtype is None:
        return schema
    known = Schema(domain=IndexDomain(rank=0))
    known.update(schema=schema)
    return known

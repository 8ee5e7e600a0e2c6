"""Resources of stores that TensorStore has and this library does not.

They are known by name, with the members that are no secrets, so that contexts and specs that
mention them can be read; nothing else asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.duration import format_duration, parse_duration
from asynctensor.runtime.request_resources import request_retries
from asynctensor.runtime.resource_type import ResourceType, members, quoted, wrong_member

#: Credentials of ``gcs_grpc`` that say nothing but their type.
_TYPES = ("external_account", "google_default", "insecure")


def foreign_resources() -> Iterator[ResourceType]:
    """The resources of ``ocdbt``, ``tsgrpc_kvstore`` and ``gcs_grpc``."""
    for name, parse in (
        ("experimental_gcs_grpc_credentials", _parse_credentials),
        ("grpc_client_credentials", members),
        ("ocdbt_coordinator", _parse_coordinator),
    ):
        yield ResourceType(name, {}, parse, _same, _json)
    yield request_retries("tsgrpc_request_retries")


def _parse_credentials(value: Any) -> dict[str, Any]:
    given = members(value, "type")
    if given and given["type"] not in _TYPES:
        raise InvalidArgument(
            f'Error parsing object member "type": Invalid credentials: {quoted(given["type"])} '
            "(there is no gcs_grpc here to use them; types that are accepted are "
            f"{', '.join(_TYPES)})"
        )
    return dict(given)


def _parse_coordinator(value: Any) -> dict[str, Any]:
    given = dict(members(value, "address", "lease_duration"))
    if "address" in given and not isinstance(given["address"], str):
        raise wrong_member("address", "string", given["address"])
    if "lease_duration" in given:
        seconds = parse_duration(given["lease_duration"])
        if seconds is None:
            units = 'duration with the units "ns", "us", "ms", "s", "m", or "h"'
            raise wrong_member("lease_duration", units, given["lease_duration"])
        given["lease_duration"] = format_duration(seconds)
    return given


def _same(config: Any) -> Any:
    return config


def _json(config: dict[str, Any], include_defaults: bool) -> Any:
    return dict(sorted(config.items()))

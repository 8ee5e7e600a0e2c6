"""The resources that every `Context` knows (TensorStore's names, defaults and JSON)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.aws_credentials import aws_credentials_resource
from asynctensor.runtime.azure_credentials import azure_credentials_resource
from asynctensor.runtime.duration import format_duration, parse_duration
from asynctensor.runtime.foreign_resources import foreign_resources
from asynctensor.runtime.google_credentials import google_resources
from asynctensor.runtime.http_credentials import http_credentials_resource
from asynctensor.runtime.rate_limits import rate_limiter_resources
from asynctensor.runtime.request_resources import file_retries_resource, request_resources
from asynctensor.runtime.resource_type import (
    ResourceRegistry,
    ResourceType,
    members,
    quoted,
    wrong_member,
)
from asynctensor.runtime.workers import WorkerPool, data_copy_pool, file_io_pool

_MAX_UINT64 = 2**64 - 1
FileLockingMode = Literal["os", "lockfile", "none", "non_atomic"]
FileIoMode = Literal["default", "memmap", "direct"]


def _integer(value: object) -> int | None:
    # TensorStore takes 1.0 for 1, as JSON has one kind of number only.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None  # not for nan and inf


# -- cache_pool ------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class CachePoolResource:
    """A pool of decoded chunks and metadata.

    Attributes:
        total_bytes_limit: Bytes kept beyond use; 0 keeps nothing.
        slots: What the caches keep here, by the name of whoever put it there.
    """

    total_bytes_limit: int
    slots: dict[str, Any] = field(default_factory=dict)


def _parse_cache_pool(value: Any) -> int:
    limit = members(value, "total_bytes_limit").get("total_bytes_limit", 0)
    number = _integer(limit)
    if number is None or not 0 <= number <= _MAX_UINT64:
        raise wrong_member("total_bytes_limit", "64-bit unsigned integer", limit)
    return number


def _cache_pool_json(limit: int, include_defaults: bool) -> Any:
    return {"total_bytes_limit": limit} if limit or include_defaults else {}


# -- data_copy_concurrency, file_io_concurrency ----------------------------------------------


def _parse_concurrency(value: Any) -> int | Literal["shared"]:
    limit = members(value, "limit").get("limit", "shared")
    if limit == "shared":
        return "shared"
    number = _integer(limit)
    if number is None or not 1 <= number <= _MAX_UINT64:
        raise wrong_member("limit", f'integer in the range [1, {_MAX_UINT64}] or "shared"', limit)
    return number


def _concurrency_json(limit: int | str, include_defaults: bool) -> Any:
    return {"limit": limit} if limit != "shared" or include_defaults else {}


def _data_copy_pool(limit: int | str) -> WorkerPool:
    if isinstance(limit, int):
        return WorkerPool(limit, "data_copy")
    return data_copy_pool()


def _file_io_pool(limit: int | str) -> WorkerPool:
    if isinstance(limit, int):
        return WorkerPool(limit, "file_io")
    return file_io_pool()


# -- file_io_sync, file_io_locking, file_io_mode ---------------------------------------------


def _parse_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"Expected boolean, but received: {quoted(value)}")
    return value


def _bool_json(value: bool, include_defaults: bool) -> Any:
    return value


#: Seconds; TensorStore's.
_ACQUIRE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class FileIoLocking:
    """How writers of one file keep out of each other's way.

    Attributes:
        mode: ``"os"`` (locks of the operating system), ``"lockfile"``, ``"none"`` (atomic
            replacement without locks), or ``"non_atomic"`` (written in place).
        acquire_timeout: Seconds to wait for a lock.
    """

    mode: FileLockingMode = "os"
    acquire_timeout: float = _ACQUIRE_TIMEOUT


def _parse_locking(value: Any) -> FileIoLocking:
    given = members(value, "mode", "acquire_timeout")
    mode = _one_of(given, "mode", "os", get_args(FileLockingMode))
    text = given.get("acquire_timeout", "60s")
    seconds = parse_duration(text)
    if seconds is None:
        units = 'a duration such as "1m30s", with the units "ns", "us", "ms", "s", "m", "h"'
        raise wrong_member("acquire_timeout", units, text)
    return FileIoLocking(mode, seconds)


def _locking_json(locking: FileIoLocking, include_defaults: bool) -> Any:
    json: dict[str, Any] = {}
    if include_defaults or locking.acquire_timeout != _ACQUIRE_TIMEOUT:
        json["acquire_timeout"] = format_duration(locking.acquire_timeout)
    if include_defaults or locking.mode != "os":
        json["mode"] = locking.mode
    return json


def _parse_mode(value: Any) -> FileIoMode:
    mode: FileIoMode = _one_of(members(value, "mode"), "mode", "default", get_args(FileIoMode))
    return mode


def _mode_json(mode: FileIoMode, include_defaults: bool) -> Any:
    return {"mode": mode} if include_defaults or mode != "default" else {}


def _one_of(given: dict[str, Any], name: str, default: str, choices: tuple[str, ...]) -> Any:
    value = given.get(name, default)
    if value not in choices:
        raise wrong_member(name, f"one of {', '.join(map(quoted, choices))}", value)
    return value


# -- memory_key_value_store ------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class MemoryKeyValueStoreResource:
    """The identity of an in-memory store: whoever shares it shares the data.

    Attributes:
        slots: What the store keeps here, by the name of whoever put it there.
    """

    slots: dict[str, Any] = field(default_factory=dict)


def _parse_nothing(value: Any) -> None:
    members(value)


def _nothing_json(config: None, include_defaults: bool) -> Any:
    return {}


def _make_memory(config: None) -> MemoryKeyValueStoreResource:
    return MemoryKeyValueStoreResource()


def _same(config: Any) -> Any:
    return config


def standard_resources() -> ResourceRegistry:
    """The registry of the resources above."""
    return STANDARD_RESOURCES


_object = partial(ResourceType, default_json={})
_value = partial(_object, make=_same, is_value=True)

STANDARD_RESOURCES = ResourceRegistry(
    [
        _object(
            "cache_pool",
            parse=_parse_cache_pool,
            make=CachePoolResource,
            to_json=_cache_pool_json,
        ),
        _object(
            "data_copy_concurrency",
            parse=_parse_concurrency,
            make=_data_copy_pool,
            to_json=_concurrency_json,
        ),
        _object(
            "file_io_concurrency",
            parse=_parse_concurrency,
            make=_file_io_pool,
            to_json=_concurrency_json,
        ),
        # Durable unless told otherwise: a loss is noticed too late, a slow write at once.
        ResourceType("file_io_sync", True, _parse_bool, _same, _bool_json, is_value=True),
        _value("file_io_locking", parse=_parse_locking, to_json=_locking_json),
        _value("file_io_mode", parse=_parse_mode, to_json=_mode_json),
        _object(
            "memory_key_value_store",
            parse=_parse_nothing,
            make=_make_memory,
            to_json=_nothing_json,
        ),
        file_retries_resource(),
        *request_resources(),
        *rate_limiter_resources(),
        http_credentials_resource(),
        aws_credentials_resource(),
        *google_resources(),
        *foreign_resources(),
        azure_credentials_resource(),
    ],
    restore=standard_resources,
)

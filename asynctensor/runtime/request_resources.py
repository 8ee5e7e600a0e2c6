"""The resources that say how often things are asked for (TensorStore's names and JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from asynctensor.runtime.duration import format_duration, parse_duration
from asynctensor.runtime.resource_type import ResourceType, members, wrong_member

_MAX_INT64 = 2**63 - 1
_MAX_UINT64 = 2**64 - 1
_SERVICES = ("azure", "gcs", "http", "s3")
_SHARE = "number in the range [0, 1]"


@dataclass(frozen=True, slots=True)
class RequestConcurrency:
    """``*_request_concurrency``: how many requests may be under way at one host.

    Attributes:
        limit: That many; None (``"shared"``): as many as the host turns out to bear, together with
            all other stores.
    """

    limit: int | None = None


@dataclass(frozen=True, slots=True)
class RequestRetries:
    """``*_request_retries``, ``file_io_retries``: how often what failed is repeated.

    Attributes:
        max_retries: Attempts beyond the first.
        initial_delay: Seconds before the first of them.
        max_delay: Seconds that a wait may grow to.
    """

    max_retries: int = 32
    initial_delay: float = 1.0
    max_delay: float = 32.0


@dataclass(frozen=True, slots=True)
class RequestHedging:
    """``request_hedging``: whether late reads are asked for a second time.

    Attributes:
        extra_requests: Second requests per request, at most; 0: there are none.
    """

    extra_requests: float = 0.0


_DEFAULT = RequestRetries()
#: A disk that fails will mostly fail again, so that whoever wants to wait for it says so.
_FILE_DEFAULT = RequestRetries(max_retries=0)


def request_resources() -> Iterator[ResourceType]:
    """The resources of each service."""
    for service in _SERVICES:
        ours = service == "azure"
        yield ResourceType(
            f"{service}_request_concurrency",
            {},
            _parse_concurrency,
            _same,
            _concurrency_json,
            is_ours=ours,
        )
        yield request_retries(f"{service}_request_retries", is_ours=ours)
    yield ResourceType(
        "request_hedging",
        {},
        _parse_hedging,
        _same,
        _hedging_json,
        is_value=True,
        is_quiet=True,
        is_ours=True,
    )


def file_retries_resource() -> ResourceType:
    """The resource ``file_io_retries``."""
    return request_retries("file_io_retries", _FILE_DEFAULT, is_value=True)


def request_retries(
    name: str, default: RequestRetries = _DEFAULT, *, is_value: bool = False, is_ours: bool = False
) -> ResourceType:
    """A resource of this name that says how often what failed is repeated."""
    parse, to_json = partial(_parse_retries, default), partial(_retries_json, default)
    return ResourceType(name, {}, parse, _same, to_json, is_value=is_value, is_ours=is_ours)


def _same(config: Any) -> Any:
    return config


def _parse_concurrency(value: Any) -> RequestConcurrency:
    limit = members(value, "limit").get("limit", "shared")
    if limit == "shared":
        return RequestConcurrency()
    number = _integer(limit)
    if number is None or not 1 <= number <= _MAX_UINT64:
        raise wrong_member("limit", f'integer in the range [1, {_MAX_UINT64}] or "shared"', limit)
    return RequestConcurrency(number)


def _concurrency_json(config: RequestConcurrency, include_defaults: bool) -> Any:
    if config.limit is None:
        return {"limit": "shared"} if include_defaults else {}
    return {"limit": config.limit}


def _parse_retries(default: RequestRetries, value: Any) -> RequestRetries:
    given = members(value, "max_retries", "initial_delay", "max_delay")
    retries = _integer(given.get("max_retries", default.max_retries))
    if retries is None or not 0 <= retries <= _MAX_INT64:
        expected = f"integer in the range [0, {_MAX_INT64}]"
        raise wrong_member("max_retries", expected, given["max_retries"])
    delay = partial(_delay, given)
    first, last = default.initial_delay, default.max_delay
    return RequestRetries(retries, delay("initial_delay", first), delay("max_delay", last))


def _delay(given: dict[str, Any], name: str, default: float) -> float:
    if name not in given:
        return default
    seconds = parse_duration(given[name])
    if seconds is None:
        units = 'duration with the units "ns", "us", "ms", "s", "m", or "h"'
        raise wrong_member(name, units, given[name])
    return seconds


def _retries_json(default: RequestRetries, config: RequestRetries, include_defaults: bool) -> Any:
    found: dict[str, Any] = {}
    if include_defaults or config.initial_delay != default.initial_delay:
        found["initial_delay"] = format_duration(config.initial_delay)
    if include_defaults or config.max_delay != default.max_delay:
        found["max_delay"] = format_duration(config.max_delay)
    if include_defaults or config.max_retries != default.max_retries:
        found["max_retries"] = config.max_retries
    return found


def _parse_hedging(value: Any) -> RequestHedging:
    share = members(value, "extra_requests").get("extra_requests", 0.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise wrong_member("extra_requests", _SHARE, share)
    return RequestHedging(float(share))


def _hedging_json(config: RequestHedging, include_defaults: bool) -> Any:
    if not config.extra_requests and not include_defaults:
        return {}
    return {"extra_requests": config.extra_requests}


def _integer(value: object) -> int | None:
    # TensorStore takes 1.0 for 1, as JSON has one kind of number only.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None  # not for nan and inf

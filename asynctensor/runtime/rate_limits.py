"""The resources ``experimental_*_rate_limiter`` (TensorStore's names and JSON)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asynctensor.runtime.duration import format_duration, parse_duration
from asynctensor.runtime.resource_type import ResourceType, members, wrong_member

#: Those that TensorStore has, and the one that it would have.
_SERVICES = ("azure", "gcs", "s3")


@dataclass(frozen=True, slots=True)
class _Config:
    read_rate: float | None = None
    write_rate: float | None = None
    doubling_time: float | None = None


@dataclass(eq=False, slots=True)
class RateLimits:
    """How many requests per second all stores with this resource send together.

    Attributes:
        read_rate: Reads and listings per second; None: no limit.
        write_rate: Writes and deletes per second; None: no limit.
        doubling_time: Seconds in which both double; 0: they do not.
        slots: What counts the requests, put here by whoever does.
    """

    read_rate: float | None = None
    write_rate: float | None = None
    doubling_time: float = 0.0
    slots: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        # What is counted is this process's own.
        return RateLimits, (self.read_rate, self.write_rate, self.doubling_time)


def rate_limiter_resources() -> Iterator[ResourceType]:
    """The resource of each service."""
    for service in _SERVICES:
        name = f"experimental_{service}_rate_limiter"
        yield ResourceType(
            name, {}, _parse, _made, _json, is_quiet=True, is_ours=service == "azure"
        )


def _parse(value: Any) -> _Config:
    given = members(value, "read_rate", "write_rate", "doubling_time")
    seconds = None
    if "doubling_time" in given:
        seconds = parse_duration(given["doubling_time"])
        if seconds is None:
            units = 'duration with the units "ns", "us", "ms", "s", "m", or "h"'
            raise wrong_member("doubling_time", units, given["doubling_time"])
    return _Config(_rate(given, "read_rate"), _rate(given, "write_rate"), seconds)


def _rate(given: dict[str, Any], name: str) -> float | None:
    if name not in given:
        return None
    value = given[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # TensorStore takes the process down where it is not positive.
    if not is_number or not 0 < value < math.inf:
        raise wrong_member(name, "positive 64-bit floating-point number", value)
    return float(value)


def _made(config: _Config) -> RateLimits:
    return RateLimits(config.read_rate, config.write_rate, config.doubling_time or 0.0)


def _json(config: _Config, include_defaults: bool) -> Any:
    found: dict[str, Any] = {}
    if config.doubling_time is not None:
        found["doubling_time"] = format_duration(config.doubling_time)
    if config.read_rate is not None:
        found["read_rate"] = config.read_rate
    if config.write_rate is not None:
        found["write_rate"] = config.write_rate
    return found

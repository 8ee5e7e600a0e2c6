"""Durations as TensorStore writes them in JSON: ``"1m30s"``, ``"500us"``, ``"inf"``.

Grammar (that of Abseil's ``ParseDuration``)::

    duration = [ "+" | "-" ] ( "0" | "inf" | 1*( number unit ) )
    number   = 1*DIGIT [ "." *DIGIT ] | "." 1*DIGIT
    unit     = "ns" | "us" | "ms" | "s" | "m" | "h"
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
# Longer texts would only cost time: 64 characters say any duration that means something.
_MAX_LENGTH = 64
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|s|m|h)"
_WHOLE = re.compile(rf"([+-]?)(0|inf|(?:{_PART})+)", re.ASCII)
_PARTS = re.compile(_PART, re.ASCII)


def parse_duration(text: object) -> float | None:
    """The duration that `text` says, in seconds (infinite: ``"inf"``); None if it says none."""
    if not isinstance(text, str) or len(text) > _MAX_LENGTH:
        return None
    match = _WHOLE.fullmatch(text)
    if match is None:
        return None
    sign = -1.0 if match[1] == "-" else 1.0
    if match[2] == "inf":
        return sign * math.inf
    total = sum((Decimal(n) * _UNITS[unit] for n, unit in _PARTS.findall(match[2])), Decimal(0))
    return sign * float(total)


def format_duration(seconds: float) -> str:
    """The shortest text for a duration; nothing below a nanosecond."""
    sign = "-" if seconds < 0 else ""
    if math.isinf(seconds):
        return f"{sign}inf"
    nanoseconds = round(abs(seconds) * 1e9)
    if nanoseconds == 0:
        return "0"
    if nanoseconds < 1_000_000_000:
        scale = 3 * ((len(str(nanoseconds)) - 1) // 3)
        unit = {0: "ns", 3: "us", 6: "ms"}[scale]
        return f"{sign}{_decimal(nanoseconds, scale)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if minutes else []
    parts += [f"{_decimal(rest, 9)}s"] if rest else []
    return sign + "".join(parts)


def _decimal(value: int, places: int) -> str:
    whole, fraction = divmod(value, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)

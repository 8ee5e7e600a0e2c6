"""Numbers that are counts or positions, as they are given. Pure."""

from __future__ import annotations

import operator
from typing import Any

from asynctensor.errors import IncompatibleType


def whole_number(given: Any, name: str) -> int:
    """A whole number; no truth value, and nothing that would have to be rounded.

    Raises:
        IncompatibleType: It is none.
    """
    try:
        if not isinstance(given, bool):
            return operator.index(given)
    except TypeError:
        pass
    raise IncompatibleType(f"`{name}` is a whole number, got {given!r:.100}")

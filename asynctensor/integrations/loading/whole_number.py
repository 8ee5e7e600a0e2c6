"""Numbers that are counts or positions, as they are given. Pure."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from asynctensor.errors import IncompatibleType
from asynctensor.integrations.loading.places import Int64Array


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


def whole_numbers(given: Any) -> Int64Array:
    """Samples' numbers as an array of one dimension.

    Raises:
        IncompatibleType: Something else than whole numbers is given.
    """
    numbers = np.asarray(given)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise IncompatibleType(f"samples go by whole numbers, got {given!r:.100}")
    return numbers.astype(np.int64, copy=False).reshape(-1)

"""What counts as an integer in an index."""

from __future__ import annotations

from typing import SupportsIndex, TypeGuard

import numpy as np


def is_index(value: object) -> TypeGuard[SupportsIndex]:
    """Whether `value` is an integer or can stand for one.

    ``isinstance(value, SupportsIndex)`` says the same and takes a hundred times as long, which
    would be most of what indexing costs.
    """
    return type(value) is int or hasattr(value, "__index__")


def is_scalar_index(value: object) -> TypeGuard[SupportsIndex]:
    """The same, but for arrays with dimensions, which have the method and refuse it."""
    return is_index(value) and not (isinstance(value, np.ndarray) and value.ndim)

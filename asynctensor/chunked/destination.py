"""Where a read goes: to an array of the caller's, or to a fresh one."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.scratch import new_output
from asynctensor.errors import IncompatibleType, InvalidArgument

#: An array to fill, of the view's shape and data type, or the memory order of a fresh one.
Into: TypeAlias = "Literal['C', 'F'] | Array"


def output(shape: tuple[int, ...], element: np.dtype[Any], into: Into) -> Array:
    """The array to fill and to hand out; a fresh one is 64-byte aligned, with arbitrary content."""
    if isinstance(into, str):
        return new_output(shape, element, into)
    return into


def order_of(into: Into) -> Literal["C", "F"]:
    """The memory order for what is read on the way there."""
    return into if isinstance(into, str) else "C"


def checked_output(out: Array, shape: tuple[int, ...], element: np.dtype[Any]) -> Array:
    """`out`, if a view of this shape and data type can be read into it.

    Raises:
        IncompatibleType: It is no array.
        InvalidArgument: It is of another shape, data type or byte order, or cannot be written.
    """
    if not isinstance(out, np.ndarray):
        raise IncompatibleType(f"`out` must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != element or not out.dtype.isnative:
        raise InvalidArgument(
            f"`out` must be of shape {shape} and data type {element}, in this machine's byte "
            f"order, got {out.shape} and {out.dtype.str}"
        )
    if not out.flags.writeable:
        raise InvalidArgument("`out` must be writable, got a read-only array")
    return out

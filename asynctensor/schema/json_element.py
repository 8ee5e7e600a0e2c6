"""Elements of the data type `json`: plain Python values that nobody else holds."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any, Final

import numpy as np

from asynctensor.errors import IncompatibleType, InvalidArgument

#: Deeper values are refused: copying and writing them would use up the stack.
MAX_DEPTH: Final = 400


def copied_elements(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array of `copied` of each element.

    Raises:
        IncompatibleType, InvalidArgument: As for `copied`.
    """
    found = np.empty(values.shape, np.object_)
    for place in np.ndindex(values.shape):
        found[place] = copied(values[place], finite=False)
    return found


def copied(value: Any, depth: int = 0, *, finite: bool = True) -> Any:
    """A deep copy of a JSON value that shares nothing with it, of plain Python types.

    As in TensorStore, tuples become arrays, NumPy's numbers and arrays what they hold, bytes an
    array of numbers, keys strings, and, if `finite`, numbers that are not finite null.

    Raises:
        IncompatibleType: Something in it has no JSON.
        InvalidArgument: It is nested too deeply, or a text is not valid Unicode.
    """
    if depth > MAX_DEPTH:
        raise InvalidArgument(f"a JSON value may be nested at most {MAX_DEPTH} deep")
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if not finite or math.isfinite(value) else None
    if kind is dict:
        return {_key(name): copied(each, depth + 1, finite=finite) for name, each in value.items()}
    if kind is list or kind is tuple:
        return [copied(each, depth + 1, finite=finite) for each in value]
    return copied(_plain(value), depth, finite=finite)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{value[:100]!r} is not valid Unicode, and so no JSON") from None
    return value


def _key(name: Any) -> str:
    if isinstance(name, str):
        return _text(str(name))
    if isinstance(name, numbers.Integral):
        return str(operator.index(name))
    raise IncompatibleType(f"{name!r} is no name of a member of a JSON object; use a string")


def _plain(value: Any) -> Any:
    """A value of a plain type that means the same, of one of its subclasses or relatives."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise IncompatibleType(f"Object {type(value).__name__!r} does not support conversion to JSON")

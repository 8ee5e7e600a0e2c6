"""JSON documents: bytes to values and back, within limits."""

from __future__ import annotations

import json
import math
import numbers
import operator
from typing import Any, Final, NoReturn

import numpy as np

from asynctensor.errors import DataLoss, IncompatibleType, InvalidArgument, ResourceExhausted

#: Deeper documents are refused: copying and writing them would use up the stack.
MAX_DEPTH: Final = 400
#: Larger documents are refused: parsed, they take about twenty times the memory.
MAX_BYTES: Final = 2**28


def parse(data: bytes) -> Any:
    """The value that a document is (RFC 8259, UTF-8). Integers keep all their digits.

    Raises:
        DataLoss: It is no JSON, or nested too deeply.
        ResourceExhausted: It is too large.
    """
    if len(data) > MAX_BYTES:
        raise ResourceExhausted(
            f"the JSON document has {len(data)} bytes; at most {MAX_BYTES} are read"
        )
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except RecursionError:
        raise DataLoss(f"the JSON document is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise DataLoss(f"Invalid JSON: {error}") from error
    try:
        return copied(value)
    except InvalidArgument as error:
        raise DataLoss(f"the JSON document cannot be used: {error.message}") from error


def serialize(value: Any) -> bytes:
    """The document of a value that came from `copied`: compact, members sorted."""
    text = json.dumps(
        value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def copied(value: Any, depth: int = 0) -> Any:
    """A deep copy of a JSON value that shares nothing with it, of plain Python types.

    As in TensorStore, tuples become arrays, NumPy's numbers and arrays what they hold, bytes an
    array of numbers, keys strings, and numbers that are not finite null.

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
        return value if math.isfinite(value) else None
    if kind is dict:
        return {_key(name): copied(each, depth + 1) for name, each in value.items()}
    if kind is list or kind is tuple:
        return [copied(each, depth + 1) for each in value]
    return copied(_plain(value), depth)


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

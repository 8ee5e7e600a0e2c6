"""Conversion between data types: which there are, and of whole arrays. TensorStore's rules.

Numbers convert to numbers as C++ does: to an integer by cutting off the fraction and then the high
bits, to a complex number by its real part, to bool by comparing with 0. They convert to texts and
to JSON, texts to JSON and back, and JSON to numbers; bytes (``char``, ``byte``) to each other.
(TensorStore's ``data_type_conversion.h`` and ``internal/json_binding``.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.errors import InvalidArgument
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_value import fill_value_from_json
from asynctensor.schema.json_value import expected

Array = npt.NDArray[Any]

_BYTES = frozenset({"char", "byte"})
_TEXTS = frozenset({"string", "ustring"})
_NARROW_INTEGERS = {"int2": 2, "int4": 4}
#: C's `strtod`, as far as JSON texts may use it: also hexadecimal, and surrounded by blanks.
_HEXADECIMAL = re.compile(r"[+-]?0[xX]")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


def _kind(data_type: dtype) -> str:
    """``bool``, ``int``, ``float``, ``complex``, ``bytes``, ``text``, ``json`` and what is ours.

    That is ``fixed``, texts of a fixed length, and ``other``: times and records.
    """
    name = data_type.name
    if name in _BYTES:
        return "bytes"
    if name in _TEXTS:
        return "text"
    if name in ("bool", "json"):
        return name
    if name.startswith(("int", "uint")):
        return "int"
    if data_type.numpy_dtype.kind == "U":
        return "fixed"
    if data_type.numpy_dtype.kind in "mM" or data_type.numpy_dtype.names:
        return "other"
    return "complex" if name.startswith("complex") else "float"


def is_ours(data_type: dtype) -> bool:
    """Whether elements are texts of a fixed length, times or records, which TensorStore lacks."""
    return _kind(data_type) in ("fixed", "other")


_TARGETS: dict[str, frozenset[str]] = {
    "bool": frozenset({"bool", "int", "float", "complex", "json"}),
    "int": frozenset({"bool", "int", "float", "complex", "text", "json"}),
    "float": frozenset({"bool", "int", "float", "complex", "text", "json"}),
    "complex": frozenset({"int", "float", "complex", "text", "json"}),
    "bytes": frozenset({"bytes"}),
    "text": frozenset({"text", "json"}),
    "json": frozenset({"bool", "int", "float", "text", "json"}),
    "fixed": frozenset({"text", "json"}),
    "other": frozenset(),
}


def can_convert(source: dtype, target: dtype) -> bool:
    """Whether elements of `source` can be converted to `target` at all."""
    return source == target or _kind(target) in _TARGETS[_kind(source)]


def is_lossless(source: dtype, target: dtype) -> bool:
    """Whether every element of `source` has an equal one of `target`: copying may convert then."""
    if source == target:
        return True
    kinds = _kind(source), _kind(target)
    if kinds == ("text", "text"):
        return source.name == "ustring"
    if kinds[1] == "json":
        return kinds[0] not in ("bytes", "other") and source.name != "string"
    if kinds == ("fixed", "text"):
        return True
    if kinds == ("bytes", "bytes"):
        return True
    if not can_convert(source, target) or "text" in kinds or "json" in kinds or kinds[1] == "bool":
        return False
    return kinds[0] == "bool" or _holds(source, target)


@cache
def _holds(source: dtype, target: dtype) -> bool:
    """Whether a number type holds all values of another."""
    of, to = _kind(source), _kind(target)
    if of == "int":
        digits, signed = _integer_digits(source)
        if to == "int":
            wide, wide_signed = _integer_digits(target)
            return digits <= wide and signed <= wide_signed
        return bool(digits <= _finfo(target).nmant + 1)
    if to == "int" or (of == "complex" and to != "complex"):
        return False
    small, large = _finfo(source), _finfo(target)
    return bool(
        small.nmant <= large.nmant
        and small.maxexp <= large.maxexp
        and small.minexp >= large.minexp
        and small.minexp - small.nmant >= large.minexp - large.nmant
    )


def _integer_digits(data_type: dtype) -> tuple[int, bool]:
    bits = int(re.sub(r"\D", "", data_type.name))
    signed = not data_type.name.startswith("u")
    return bits - signed, signed


def _finfo(data_type: dtype) -> Any:
    import ml_dtypes

    return ml_dtypes.finfo(data_type.numpy_dtype)  # type: ignore[no-untyped-call]


def convert(values: Array, source: dtype, target: dtype) -> Array:
    """`values` as elements of another type; `values` itself if it is the same one.

    Args:
        values: Elements of `source`, any shape.
        source: Their data type.
        target: The wanted one; `can_convert` says that there is a conversion.

    Raises:
        InvalidArgument: An element of a text or JSON cannot be converted.
    """
    if source == target:
        return values
    kinds = _kind(source), _kind(target)
    if kinds == ("bytes", "bytes"):
        return np.ascontiguousarray(values).view(target.numpy_dtype).reshape(values.shape)
    if kinds[0] in ("text", "json", "fixed") or kinds[1] in ("text", "json"):
        return _each(values, _element_conversion(source, target), target.numpy_dtype)
    if kinds[1] == "bool":
        return np.asarray(values != values.dtype.type(0))
    with np.errstate(all="ignore"):
        return _converted_numbers(values, source, target)


def _converted_numbers(values: Array, source: dtype, target: dtype) -> Array:
    of, to = _kind(source), _kind(target)
    if of == "complex" and to != "complex":
        values = np.real(values)
    wanted = target.numpy_dtype
    if to == "int":
        if of in ("float", "complex") and wanted.itemsize < 8:
            # What is outside of the target is defined by this detour only.
            values = values.astype(np.int64)
        bits = _NARROW_INTEGERS.get(target.name)
        if bits is not None:
            high = 8 - bits
            values = (values.astype(np.int8) << high) >> high
    elif values.dtype.kind not in "biufc" and (
        to == "complex" or "float8_e8m0fnu" in (source.name, target.name)
    ):
        # Extension types know few others; float32 holds all of them.
        values = values.astype(np.float32)
    return values.astype(wanted)


def _each(values: Array, function: Callable[[Any], Any], wanted: np.dtype[Any]) -> Array:
    """`function` of every element, which are Python's own objects."""
    found = np.empty(values.size, wanted)
    if values.dtype.kind not in "biufcOU":
        whole = values.dtype.name in _NARROW_INTEGERS
        values = values.astype(np.int8 if whole else np.float32)
    with np.errstate(all="ignore"):
        for place, value in enumerate(values.ravel().tolist()):
            found[place] = function(value)
    return found.reshape(values.shape)


def _element_conversion(source: dtype, target: dtype) -> Callable[[Any], Any]:
    of, to = _kind(source), _kind(target)
    of = "text" if of == "fixed" else of
    if to == "text":
        return _TO_TEXT[of] if target.name == "ustring" else _TO_BYTES[of]
    if of == "text":
        return _decoded if source.name == "string" else lambda value: value
    if of == "complex":
        return lambda value: [value.real, value.imag]
    if to == "json":
        return lambda value: value
    return from_json(target)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"Invalid UTF-8 sequence encountered: {value!r:.80}") from error


def _number_text(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, complex):
        return f"({value.real:g},{value.imag:g})"
    return f"{value:g}"


def _json_text(value: Any) -> str:
    if not isinstance(value, str):
        raise expected("string", value)
    return value


_TO_TEXT: dict[str, Callable[[Any], Any]] = {
    "int": _number_text,
    "float": _number_text,
    "complex": _number_text,
    "text": lambda value: _decoded(value) if isinstance(value, bytes) else value,
    "json": _json_text,
}
_TO_BYTES: dict[str, Callable[[Any], Any]] = {
    "int": lambda value: _number_text(value).encode(),
    "float": lambda value: _number_text(value).encode(),
    "complex": lambda value: _number_text(value).encode(),
    "text": lambda value: value.encode() if isinstance(value, str) else value,
    "json": lambda value: _json_text(value).encode(),
}


def from_json(target: dtype) -> Callable[[Any], Any]:
    """What converts one JSON value to a bool, an integer, a float, a text or JSON.

    The function raises `InvalidArgument` if the value is of another kind, or out of range. Texts
    that spell a number will do.

    Raises:
        InvalidArgument: There is no conversion to `target`.
    """
    kind = _kind(target)
    if kind == "json":
        return lambda value: value
    if kind in ("fixed", "other"):
        return lambda value: fill_value_from_json(target.numpy_dtype, value, "array")
    if kind == "text":
        return _json_text if target.name == "ustring" else lambda v: _json_text(v).encode()
    if kind == "bool":
        return _bool_from_json
    if kind == "float":
        return lambda value: _float_from_json(value, target)
    if kind != "int":
        raise InvalidArgument(f"Conversion from JSON to {target.name} is not implemented")
    digits, signed = _integer_digits(target)
    low, high = (-(2**digits) if signed else 0), 2**digits - 1
    return lambda value: _integer_from_json(value, low, high, target)


def _bool_from_json(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise expected("boolean", value)


def _integer_from_json(value: Any, low: int, high: int, target: dtype) -> int:
    found = value
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        found = int(value)
    if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
        raise expected(f"{target.name}, an integer in the range [{low}, {high}]", value)
    return found


def _float_from_json(value: Any, target: dtype) -> float:
    if isinstance(value, str):
        try:
            return float.fromhex(value) if _HEXADECIMAL.match(value.strip()) else float(value)
        except (ValueError, OverflowError):
            raise expected(f"{target.name}, a floating-point number", value) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise expected(f"{target.name}, a floating-point number", value) from None
    raise expected(f"{target.name}, a floating-point number", value)

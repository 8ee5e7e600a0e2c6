"""Data types that TensorStore lacks: their names here, and the NumPy types that hold them.

```
name     = small | time [unit] | "U" length | "complex_" part | struct
time     = "datetime64" | "timedelta64"
small    = "uint2" | "uint4" | "float6_e2m3fn" | "float6_e3m2fn" | "float8_e4m3"
unit     = "[" [factor] ("Y" | "M" | "W" | "D" | "h" | "m" | "s" | "ms" | ... | "as") "]"
struct   = "struct" JSON    a list of fields: [name, type] or [name, type, shape]
```

The type of a field is a name from here, one of TensorStore's that is no object, ``"S<n>"`` or
``"V<n>"``, or again a list of fields. Structures are packed: no padding between fields.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

#: Held by scalar types of `ml_dtypes`, like TensorStore's own small types.
SMALL = ("uint2", "uint4", "float6_e2m3fn", "float6_e3m2fn", "float8_e4m3")

#: What pairs of numbers there are beside NumPy's own complex types.
COMPLEX_PARTS = (
    "bfloat16",
    "float16",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
#: Fields of the structure that holds such a pair.
REAL, IMAG = "real", "imag"

_TIME = re.compile(r"(datetime64|timedelta64)(?:\[([1-9][0-9]{0,9})?([A-Za-z]+)\])?")
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
_TEXT = re.compile(r"U([1-9][0-9]{0,8})")
_BYTES = re.compile(r"[SV]([1-9][0-9]{0,8})")
_STRUCT = "struct["
#: Structures in structures.
MAX_NESTING = 16
#: NumPy counts the bytes of an element in 31 bits.
_MAX_ITEMSIZE = 2**31 - 1


def numpy_of_extended(
    name: str, plain: Callable[[str], np.dtype[Any] | None]
) -> np.dtype[Any] | None:
    """The NumPy type for an extended name; None if it is none.

    Args:
        name: The name.
        plain: What holds one of TensorStore's types that is no object; None if it is no such name.

    Raises:
        ValueError: It begins like one, but is malformed.
    """
    if name in SMALL:
        small: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
        return small
    part = name.removeprefix("complex_")
    if part != name and part in COMPLEX_PARTS:
        inner = plain(part) or numpy_of_extended(part, plain)
        return np.dtype([(REAL, inner), (IMAG, inner)])
    text = _TEXT.fullmatch(name)
    if text is not None:
        return _sized(np.dtype(f"U{text[1]}") if int(text[1]) * 4 <= _MAX_ITEMSIZE else None, name)
    time = _TIME.fullmatch(name)
    if time is not None:
        return _time_type(name, time[2], time[3])
    if name.startswith(_STRUCT):
        return _struct_of(name, plain)
    return None


def _time_type(name: str, factor: str | None, unit: str | None) -> np.dtype[Any]:
    if unit not in (None, *_UNITS) or (factor is not None and int(factor) >= 2**31):
        raise ValueError(f'"{name}" has no unit of time out of {", ".join(_UNITS)}')
    return np.dtype(name)


def _sized(found: np.dtype[Any] | None, name: str) -> np.dtype[Any]:
    if found is None or found.itemsize > _MAX_ITEMSIZE:
        raise ValueError(f'an element of "{name:.40}" has more than {_MAX_ITEMSIZE} bytes')
    return found


def _struct_of(name: str, plain: Callable[[str], np.dtype[Any] | None]) -> np.dtype[Any]:
    try:
        fields = json.loads(name.removeprefix("struct"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no list of fields: {error}") from error
    return _struct_of_fields(fields, plain, 0)


def _struct_of_fields(
    fields: Any, plain: Callable[[str], np.dtype[Any] | None], depth: int
) -> np.dtype[Any]:
    if depth > MAX_NESTING:
        raise ValueError(f"structures nest more than {MAX_NESTING} deep")
    described = []
    for field in fields:
        if not isinstance(field, list) or len(field) not in (2, 3) or not isinstance(field[0], str):
            raise ValueError(f"expected a field [name, type] or [name, type, shape], got {field}")
        if isinstance(field[1], list):
            inner = _struct_of_fields(field[1], plain, depth + 1)
        else:
            inner = _field_type(field[1], plain)
        shape = field[2] if len(field) == 3 else []
        if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"expected the shape of a field, got {shape}")
        described.append((field[0], inner, tuple(shape)))
    return struct_type(described)


def _field_type(name: Any, plain: Callable[[str], np.dtype[Any] | None]) -> np.dtype[Any]:
    if isinstance(name, str) and not name.startswith(_STRUCT):
        found = np.dtype(name) if _BYTES.fullmatch(name) else plain(name)
        found = found or numpy_of_extended(name, plain)
        if found is not None:
            return found
    raise ValueError(f"{name!r} is no data type of a field")


def struct_type(fields: list[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> np.dtype[Any]:
    """The packed NumPy structure of fields (name, type, shape).

    Raises:
        ValueError: There are none, two share a name, one has none, or they are too large.
    """
    names = [name for name, _, _ in fields]
    if not names or "" in names or len(set(names)) != len(names):
        raise ValueError(f"expected fields with names, each different, got {names}")
    size = 0
    for _, inner, shape in fields:
        size += inner.itemsize * int(np.prod(shape, dtype=object))
        if inner.hasobject or inner.itemsize == 0 or size > _MAX_ITEMSIZE:
            raise ValueError(f"fields must have a fixed size, all together below {_MAX_ITEMSIZE}")
    return np.dtype([(name, inner, shape) for name, inner, shape in fields])


def name_of_extended(
    numpy_dtype: np.dtype[Any], plain: Callable[[np.dtype[Any]], str | None]
) -> str | None:
    """The extended name of a NumPy type, whatever its byte order and padding; None if it has none.

    Args:
        numpy_dtype: The type.
        plain: The name of a type that is TensorStore's; None if it is not.
    """
    if numpy_dtype.name in SMALL:
        return numpy_dtype.name
    if numpy_dtype.kind in "mM":
        unit, _ = np.datetime_data(numpy_dtype)
        if unit == "generic":
            return "datetime64" if numpy_dtype.kind == "M" else "timedelta64"
        return numpy_dtype.newbyteorder("=").name
    if numpy_dtype.kind == "U" and numpy_dtype.itemsize:
        return f"U{numpy_dtype.itemsize // 4}"
    fields = _fields_of(numpy_dtype, plain)
    if fields is None:
        return None
    names = [field[0] for field in fields]
    types = [field[1:] for field in fields]
    if names == [REAL, IMAG] and types[0] == types[1] and types[0][0] in COMPLEX_PARTS:
        return f"complex_{types[0][0]}"
    return "struct" + json.dumps(fields, separators=(",", ":"))


def _fields_of(
    numpy_dtype: np.dtype[Any], plain: Callable[[np.dtype[Any]], str | None]
) -> list[list[Any]] | None:
    if numpy_dtype.fields is None or not numpy_dtype.names:
        return None
    fields: list[list[Any]] = []
    for field in numpy_dtype.names:
        inner = numpy_dtype[field]
        base, shape = inner.base, list(inner.shape)
        found: Any = None
        if base.fields is not None:
            found = _fields_of(base, plain)
        elif base.kind in "SV" and not _is_small(base):
            found = f"{base.kind}{base.itemsize}" if base.itemsize else None
        else:
            found = plain(base) or name_of_extended(base, plain)
        if found is None:
            return None
        fields.append([field, found, shape] if shape else [field, found])
    return fields


def _is_small(numpy_dtype: np.dtype[Any]) -> bool:
    return numpy_dtype.type.__module__.startswith("ml_dtypes")

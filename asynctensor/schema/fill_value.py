"""Fill values as zarr spells them in JSON, for every data type.

Zarr v3 core, "Fill value": bool and integers are JSON's; floats are numbers, ``"NaN"``,
``"Infinity"``, ``"-Infinity"`` or the bits as ``"0x..."``, most significant first; complex numbers
are pairs of those; raw bits are lists of byte values; times are integers or ``"NaT"``; text is a
string; structures are objects, or all their bytes in base64. Zarr v2 writes raw bytes in base64.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.errors import InvalidArgument

Scalar = npt.NDArray[Any]
_SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
_INTEGERS = ("int2", "int4", "uint2", "uint4")
_NOT_A_TIME = -(2**63)


def fill_value_from_json(dtype: np.dtype[Any], value: Any, where: str = "fill_value") -> Scalar:
    """The fill value that `value` (parsed JSON) says, 0-dimensional, of `dtype` (native).

    Args:
        dtype: The NumPy data type, native-endian.
        value: Parsed JSON.
        where: Path of the member, for the error.

    Raises:
        InvalidArgument: It is none for this data type.
    """
    try:
        return _reader(dtype)(dtype, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(
            f'member "{where}": {value!r:.80} is no fill value for {dtype.name}: {error}'
        ) from error


def fill_value_to_json(fill: Scalar) -> Any:
    """The JSON for a 0-dimensional `fill`; keeps every bit of it.

    Source: zarr v3 core specification, "Data types".
    """
    dtype = fill.dtype
    if dtype.kind == "b":
        return bool(fill)
    if dtype.kind in "iu" or dtype.name in _INTEGERS:
        return int(fill)
    if dtype.kind == "c":
        parts = np.frombuffer(fill.tobytes(), f"f{dtype.itemsize // 2}")
        return [_float_to_json(part) for part in parts]
    if dtype.kind in "mM":
        return int(fill.astype(np.int64))
    if dtype.kind == "U":
        return str(fill)
    if dtype.names:
        return {name: _field_to_json(fill[name]) for name in dtype.names}
    if dtype.kind == "S" or (dtype.kind == "V" and not _is_extension(dtype)):
        return list(fill.tobytes())
    return _float_to_json(fill)


def _field_to_json(value: Any) -> Any:
    array = np.asarray(value)
    if array.ndim:
        return [_field_to_json(part) for part in array]
    return fill_value_to_json(array)


def _is_extension(dtype: np.dtype[Any]) -> bool:
    return dtype.type.__module__.startswith("ml_dtypes")


def _reader(dtype: np.dtype[Any]) -> Callable[[np.dtype[Any], Any], Scalar]:
    if dtype.kind == "b":
        return _read_bool
    if dtype.kind in "iu" or dtype.name in _INTEGERS:
        return _read_integer
    if dtype.kind == "c":
        return _read_complex
    if dtype.kind in "mM":
        return _read_time
    if dtype.kind == "U":
        return _read_text
    if dtype.names:
        return _read_struct
    if dtype.kind == "S" or (dtype.kind == "V" and not _is_extension(dtype)):
        return _read_bytes
    return _read_float


def _read_bool(dtype: np.dtype[Any], value: Any) -> Scalar:
    # Old writers say 0 and 1.
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return np.array(bool(value), dtype)
    raise ValueError("expected true or false")


def _read_integer(dtype: np.dtype[Any], value: Any) -> Scalar:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("expected an integer")
    low, high = _limits(dtype)
    if not low <= value <= high:
        raise ValueError(f"expected an integer from {low} to {high}")
    return np.array(value, dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    if _is_extension(dtype):
        info = importlib.import_module("ml_dtypes").iinfo(dtype)
    else:
        info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _read_float(dtype: np.dtype[Any], value: Any) -> Scalar:
    if isinstance(value, str) and value.startswith("0x"):
        return _from_bits(dtype, value)
    if isinstance(value, str):
        if value not in _SPECIAL:
            raise ValueError('expected a number, "NaN", "Infinity", "-Infinity" or "0x..."')
        wanted = _SPECIAL[value]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        wanted = float(value)
    else:
        raise ValueError("expected a number")
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.array(wanted, np.float64).astype(dtype)
    if np.isnan(wanted) != bool(np.isnan(found)) or (np.isinf(wanted) and not np.isinf(found)):
        raise ValueError("the type has no such value")
    return found


def _from_bits(dtype: np.dtype[Any], text: str) -> Scalar:
    digits = text[2:]
    bits = bytes.fromhex(digits)
    # Both, because fromhex skips spaces.
    if len(digits) != 2 * dtype.itemsize or len(bits) != dtype.itemsize:
        raise ValueError(f"expected {2 * dtype.itemsize} hexadecimal digits")
    return np.frombuffer(_native(bits), dtype).reshape(())


def _native(most_significant_first: bytes) -> bytes:
    return most_significant_first[::-1] if sys.byteorder == "little" else most_significant_first


def _read_complex(dtype: np.dtype[Any], value: Any) -> Scalar:
    part = np.dtype(f"f{dtype.itemsize // 2}")
    pair = value if isinstance(value, list) else [value, 0.0]
    if len(pair) != 2:
        raise ValueError("expected a list of two numbers")
    # Through the bytes, because arithmetic on NaN would lose its bits.
    joined = b"".join(_read_float(part, v).tobytes() for v in pair)
    return np.frombuffer(joined, dtype).reshape(())


def _read_time(dtype: np.dtype[Any], value: Any) -> Scalar:
    if value == "NaT":
        value = _NOT_A_TIME
    return _read_integer(np.dtype(np.int64), value).view(dtype)


def _read_text(dtype: np.dtype[Any], value: Any) -> Scalar:
    if not isinstance(value, str):
        raise ValueError("expected a string")
    if len(value) * 4 > dtype.itemsize:
        raise ValueError(f"expected at most {dtype.itemsize // 4} characters")
    return np.array(value, dtype)


def _read_struct(dtype: np.dtype[Any], value: Any) -> Scalar:
    assert dtype.names is not None
    assert dtype.fields is not None
    if isinstance(value, str):
        return _read_bytes(dtype, value)
    if isinstance(value, list) and len(value) == len(dtype.names):
        value = dict(zip(dtype.names, value, strict=True))
    if not isinstance(value, dict) or value.keys() != set(dtype.names):
        raise ValueError(f"expected an object with the members {', '.join(dtype.names)}")
    found = np.zeros((), dtype)
    for name in dtype.names:
        inner = dtype[name]
        found[name] = _read_parts(inner.base, inner.shape, value[name])
    return found


def _read_parts(dtype: np.dtype[Any], shape: tuple[int, ...], value: Any) -> Scalar:
    if not shape:
        return _reader(dtype)(dtype, value)
    if not isinstance(value, list) or len(value) != shape[0]:
        raise ValueError(f"expected a list of length {shape[0]}")
    parts = [_read_parts(dtype, shape[1:], part) for part in value]
    return np.array(parts, dtype).reshape(shape)


def _read_bytes(dtype: np.dtype[Any], value: Any) -> Scalar:
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"expected base64: {error}") from error
    elif isinstance(value, list) and all(type(v) is int for v in value):
        data = bytes(value)
    else:
        raise ValueError("expected a list of byte values")
    if dtype.kind == "S":
        # What NUL bytes end is written without them by newer versions of zarr-python.
        data = data.ljust(dtype.itemsize, b"\0")
    if len(data) != dtype.itemsize:
        raise ValueError(f"expected {dtype.itemsize} bytes, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(())


def _float_to_json(fill: Any) -> float | str:
    fill = np.asarray(fill)
    value = float(fill)
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if np.isnan(value):
        canonical = np.array(np.nan, np.float64).astype(fill.dtype)
        if fill.tobytes() == canonical.tobytes():
            return "NaN"
        return f"0x{_native(fill.tobytes()).hex()}"
    return value

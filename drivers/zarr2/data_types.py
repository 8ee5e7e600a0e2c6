"""Data types as zarr v2 spells them: NumPy's array-protocol strings, and names for the others."""

from __future__ import annotations

import base64
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.member import Member
from asynctensor.errors import Unimplemented
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_value import fill_value_from_json, fill_value_to_json
from asynctensor.storage.kvstore import Json

#: Types that NumPy has no string for; TensorStore writes their names.
_NAMED = (
    "bfloat16",
    "int2",
    "int4",
    "float4_e2m1fn",
    "float8_e3m4",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_TYPESTR = re.compile(r"([<>|])([biufcSV])([1-9][0-9]{0,8})")
_NATIVE = "<" if sys.byteorder == "little" else ">"


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of zarr v2, and what elements of it look like here.

    Attributes:
        spelling: As in the document.
        element: The data type of the array.
        swapped: Whether it is stored in the other byte order.
        inner: Size of the extra last dimension into which an element is split, if any: strings
            are seen as characters and raw data as bytes, as TensorStore sees them.
    """

    spelling: str
    element: dtype
    swapped: bool = False
    inner: int | None = None

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """What the array's shape has after zarr's."""
        return () if self.inner is None else (self.inner,)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of zarr."""
        return self.element.numpy_dtype.itemsize * (self.inner or 1)

    @property
    def fill_dtype(self) -> np.dtype[Any]:
        """The NumPy type of one fill value."""
        if self.inner is None:
            return self.element.numpy_dtype
        return np.dtype(f"{self.element.numpy_dtype.kind}{self.inner}")


def read_data_type(member: Member) -> DataType:
    """The data type that ``dtype`` says.

    Raises:
        InvalidArgument: It is no data type.
        Unimplemented: It is one that is not supported here: structured, dates, text, objects.
    """
    if isinstance(member.value, list):
        raise Unimplemented(f'member "{member.path}": structured data types are not supported')
    spelling = member.string()
    if spelling in _NAMED:
        return DataType(spelling, dtype(spelling))
    match = _TYPESTR.fullmatch(spelling)
    if match is None:
        raise Unimplemented(f'member "{member.path}": Unsupported zarr dtype: "{spelling}"')
    order, kind, size = match[1], match[2], int(match[3])
    if kind in "SV":
        return DataType(spelling, dtype("char" if kind == "S" else "byte"), inner=size)
    if size not in _SIZES[kind] or (order == "|" and size > 1):
        raise Unimplemented(f'member "{member.path}": Unsupported zarr dtype: "{spelling}"')
    element = dtype(np.dtype(f"{kind}{size}"))
    return DataType(spelling, element, swapped=size > 1 and order != _NATIVE)


def data_type_of(element: dtype) -> DataType:
    """The zarr data type for arrays of `element`; little-endian, as everybody writes it.

    Raises:
        Unimplemented: There is none.
    """
    if element.name in _NAMED:
        return DataType(element.name, element)
    numpy_dtype = element.numpy_dtype
    if numpy_dtype.kind not in _SIZES:
        raise Unimplemented(f"Data type not supported: {element.name}")
    order = "<" if numpy_dtype.itemsize > 1 else "|"
    spelling = f"{order}{numpy_dtype.kind}{numpy_dtype.itemsize}"
    return DataType(spelling, element, swapped=order == "<" != _NATIVE)


def read_fill_value(member: Member, data_type: DataType) -> bytes | None:
    """The bytes of one fill value; None where there is none.

    Raises:
        InvalidArgument: It is none for this data type.
    """
    value = member.value
    if value is None:
        return None
    if data_type.inner is not None and not isinstance(value, (str, list)):
        # numcodecs-era writers say 0 for "empty".
        value = [0] * data_type.inner if value == 0 else value
    elif data_type.element.name == "char" and isinstance(value, str):
        value = _padded(value, data_type.itemsize)
    return fill_value_from_json(data_type.fill_dtype, value, member.path).tobytes()


def _padded(text: str, length: int) -> str:
    """Base64 of a string that NumPy cut at its trailing zeros, with these put back."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return text
    return base64.b64encode(data.ljust(length, b"\0")).decode()


def fill_array(fill_bytes: bytes | None, data_type: DataType) -> Array:
    """The fill value of one element of zarr, 0-dimensional; zeros where there is none."""
    data = bytes(data_type.itemsize) if fill_bytes is None else fill_bytes
    return np.frombuffer(data, data_type.fill_dtype).reshape(())


def fill_json(fill_bytes: bytes | None, data_type: DataType) -> Json:
    """The document's ``fill_value``."""
    if fill_bytes is None:
        return None
    if data_type.inner is not None:
        return base64.b64encode(fill_bytes).decode()
    found: Json = fill_value_to_json(fill_array(fill_bytes, data_type))
    return found

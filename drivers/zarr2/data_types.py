"""Data types as zarr v2 spells them: NumPy's array-protocol strings, and names for the others.

A structure is a list of fields, ``[name, type]`` or ``[name, type, shape]``; ``"|O"`` is an object,
of which the first filter tells what it is. Source: zarr v2 specification, "Data type encoding".
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.member import Member
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.schema.data_type import dtype
from asynctensor.schema.extended_types import MAX_NESTING, struct_type
from asynctensor.schema.fill_value import fill_value_from_json, fill_value_to_json
from asynctensor.storage.kvstore import Json

#: Types that NumPy has no string for; TensorStore writes the names of those that it has.
_NAMED = (
    "bfloat16",
    "int2",
    "int4",
    "uint2",
    "uint4",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_TYPESTR = re.compile(r"([<>|])([biufcSVU])([1-9][0-9]{0,8})")
_TIME = re.compile(r"[<>][mM]8(?:\[[1-9]?[0-9]{0,9}(?:Y|M|W|D|h|m|s|ms|us|μs|ns|ps|fs|as)\])?")
_NATIVE = "<" if sys.byteorder == "little" else ">"
#: What the first filter of an array of objects makes of them.
_OBJECTS = {
    "vlen-utf8": "ustring",
    "vlen-bytes": "string",
    "json2": "json",
    "categorize": "ustring",
}
_MAX_FIELDS = 2**12


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of zarr v2, and what elements of it look like here.

    Attributes:
        spelling: JSON text of it, as in the document.
        element: The data type of the array.
        stored: The NumPy type of one stored element, with its byte order.
        inner: Size of the extra last dimension into which an element is split, if any: strings
            are seen as characters and raw data as bytes, as TensorStore sees them.
        whole: What it is, if it is seen as its bytes only.
    """

    spelling: str
    element: dtype
    stored: np.dtype[Any]
    inner: int | None = None
    whole: DataType | None = None

    def as_bytes(self) -> DataType:
        """The same, seen as its bytes.

        Raises:
            Unimplemented: It has none.
        """
        if self.is_variable:
            raise Unimplemented(f"elements of {self.spelling} have no bytes of their own")
        size = self.stored.itemsize
        return DataType(self.spelling, dtype("byte"), np.dtype(f"V{size}"), size, self)

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """What the array's shape has after zarr's."""
        return () if self.inner is None else (self.inner,)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of zarr; of an object, of the pointer to it."""
        return self.stored.itemsize

    @property
    def is_variable(self) -> bool:
        """Whether elements are objects."""
        return self.stored.hasobject

    @property
    def native(self) -> np.dtype[Any]:
        """The NumPy type of one element of zarr in memory."""
        return self.stored if self.inner is not None else self.element.numpy_dtype

    @property
    def swapped(self) -> bool | None:
        """Whether it is stored in the other byte order; None for some fields only."""
        if self.stored == self.native:
            return False
        return True if self.stored == self.native.newbyteorder() else None

    def to_json(self) -> Json:
        """The document's ``dtype``."""
        found: Json = json.loads(self.spelling)
        return found


def _plain(spelling: str, element: dtype, stored: np.dtype[Any] | None = None) -> DataType:
    return DataType(
        json.dumps(spelling), element, element.numpy_dtype if stored is None else stored
    )


def read_data_type(member: Member, filters: Sequence[Numcodec] = ()) -> DataType:
    """The data type that ``dtype`` says.

    Args:
        member: The member.
        filters: The filters of the array.

    Raises:
        InvalidArgument: It is no data type.
        Unimplemented: It is one that is not supported here.
    """
    if isinstance(member.value, list):
        stored, native = _struct(member, 0)
        return DataType(json.dumps(member.value), dtype(native), stored)
    spelling = member.string()
    if spelling == "|O":
        return _object_type(member, filters)
    if spelling in _NAMED:
        return _plain(spelling, dtype(spelling))
    stored = _simple(member)
    if stored.kind in "SV":
        element = dtype("char" if stored.kind == "S" else "byte")
        return DataType(json.dumps(spelling), element, stored, stored.itemsize)
    return _plain(spelling, dtype(stored), stored)


def _object_type(member: Member, filters: Sequence[Numcodec]) -> DataType:
    first = filters[0].id if filters else None
    if first not in _OBJECTS:
        error = Unimplemented(
            f'member "{member.path}": objects need one of the filters {", ".join(_OBJECTS)} '
            f"as the first, got {first}"
        )
        error.contradicting = (member.path, f"{member.path.removesuffix('dtype')}filters")
        raise error
    return _plain("|O", dtype(_OBJECTS[first]))


def _simple(member: Member) -> np.dtype[Any]:
    """The NumPy type of a string that is no object and no structure."""
    spelling = member.string()
    wrong = Unimplemented(f'member "{member.path}": Unsupported zarr dtype: "{spelling:.40}"')
    match = _TYPESTR.fullmatch(spelling)
    if match is None:
        if not _TIME.fullmatch(spelling):
            raise wrong
        try:
            return np.dtype(spelling)
        except (TypeError, ValueError) as error:
            raise wrong from error
    order, kind, size = match[1], match[2], int(match[3])
    if kind == "U":
        if order == "|" or size * 4 >= 2**31:
            raise wrong
        return np.dtype(spelling)
    if kind in "SV":
        return np.dtype(f"{kind}{size}")
    if size not in _SIZES[kind] or (order == "|" and size > 1):
        raise wrong
    return np.dtype(spelling)


def _struct(member: Member, depth: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The NumPy types of a structure, as it is stored and native."""
    fields = member.array()
    if depth > MAX_NESTING or len(fields) > _MAX_FIELDS:
        raise member.error("a structure of reasonable size")
    stored: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
    native: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
    for field in fields:
        parts = field.array()
        if len(parts) not in (2, 3):
            raise field.error("[name, type] or [name, type, shape]")
        name = parts[0].string()
        shape = parts[2].sizes(1) if len(parts) == 3 else ()
        if isinstance(parts[1].value, list):
            pair = _struct(parts[1], depth + 1)
        elif parts[1].value in _NAMED:
            pair = (dtype(parts[1].value).numpy_dtype,) * 2
        else:
            one = _simple(parts[1])
            pair = (one, one.newbyteorder("="))
        stored.append((name, pair[0], shape))
        native.append((name, pair[1], shape))
    try:
        return struct_type(stored), struct_type(native)
    except ValueError as error:
        raise InvalidArgument(f'member "{member.path}": {error}') from error


def data_type_of(element: dtype) -> DataType:
    """The zarr data type for arrays of `element`; little-endian, as everybody writes it.

    Raises:
        Unimplemented: There is none.
    """
    if element.name in _NAMED:
        return _plain(element.name, element)
    if element.name in ("ustring", "string"):
        return _plain("|O", element)
    if element.name in ("json", "char", "byte") or element.name.startswith("complex_"):
        raise Unimplemented(f"Data type not supported: {element.name}")
    numpy_dtype = element.numpy_dtype
    if numpy_dtype.names:
        described = _described(numpy_dtype)
        stored, _ = _struct(Member(described, "dtype"), 0)
        return DataType(json.dumps(described), element, stored)
    stored = np.dtype(numpy_dtype).newbyteorder("<")
    return _plain(stored.str, element, stored)


def _described(numpy_dtype: np.dtype[Any]) -> list[Json]:
    assert numpy_dtype.names is not None
    fields: list[Json] = []
    for name in numpy_dtype.names:
        inner = numpy_dtype[name]
        base = inner.base
        is_small = base.type.__module__.startswith("ml_dtypes")
        said: Json = base.name if is_small else base.newbyteorder("<").str
        if base.names:
            said = _described(base)
        fields.append([name, said, list(inner.shape)] if inner.shape else [name, said])
    return fields


# -- fill values ------------------------------------------------------------------------------


def read_fill_value(member: Member, data_type: DataType) -> bytes | None:
    """The bytes of one fill value, native-endian; None where there is none.

    Raises:
        InvalidArgument: It is none for this data type.
    """
    value = member.value
    if value is None:
        return None
    if data_type.is_variable:
        return _read_object_fill(member, data_type)
    native = data_type.native
    empty = type(value) in (int, float) and value == 0
    if empty and (data_type.inner is not None or native.names or native.kind == "U"):
        # numcodecs-era writers say 0 for "empty".
        return bytes(data_type.itemsize)
    if native.names and isinstance(value, str):
        stored = fill_value_from_json(np.dtype(f"V{native.itemsize}"), value, member.path)
        return stored.view(data_type.stored).astype(native).tobytes()
    if data_type.element.name == "char" and isinstance(value, str):
        value = _padded(value, data_type.itemsize)
    return fill_value_from_json(native, value, member.path).tobytes()


def _read_object_fill(member: Member, data_type: DataType) -> bytes:
    value = member.value
    match data_type.element.name:
        case "json":
            return json.dumps(value).encode()
        case "ustring":
            # Written where nobody said a fill value.
            text = "" if type(value) is int and value == 0 else member.string()
            try:
                return text.encode()
            except UnicodeEncodeError as error:
                raise member.error("text that UTF-8 can encode") from error
    if type(value) is int and value == 0:
        return b""
    try:
        return base64.b64decode(member.string(), validate=True)
    except ValueError as error:
        raise member.error("base64") from error


def _padded(text: str, length: int) -> str:
    """Base64 of a string that NumPy cut at its trailing zeros, with these put back."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return text
    return base64.b64encode(data.ljust(length, b"\0")).decode()


def fill_array(fill_bytes: bytes | None, data_type: DataType) -> Array:
    """The fill value of an array; zeros, or empty, where there is none.

    Returns:
        0-dimensional, or a vector along the hidden dimension.
    """
    if data_type.is_variable:
        found: Array = np.empty((), object)
        found[()] = _object_fill(fill_bytes, data_type)
        return found
    data = bytes(data_type.itemsize) if fill_bytes is None else fill_bytes
    return np.frombuffer(data, data_type.element.numpy_dtype).reshape(data_type.hidden_shape)


def _object_fill(fill_bytes: bytes | None, data_type: DataType) -> Any:
    match data_type.element.name:
        case "json":
            return None if fill_bytes is None else json.loads(fill_bytes)
        case "ustring":
            return (fill_bytes or b"").decode()
    return fill_bytes or b""


def fill_to_bytes(fill: Array, data_type: DataType) -> bytes:
    """The inverse of `fill_array`."""
    if not data_type.is_variable:
        return fill.tobytes()
    value = fill.item()
    if data_type.element.name == "json":
        return json.dumps(value).encode()
    return value.encode() if isinstance(value, str) else bytes(value)


def fill_json(fill_bytes: bytes | None, data_type: DataType) -> Json:
    """The document's ``fill_value``."""
    if fill_bytes is None:
        return None
    if data_type.whole is not None:
        native_fill = np.frombuffer(fill_bytes, data_type.whole.stored).astype(
            data_type.whole.native
        )
        return fill_json(native_fill.tobytes(), data_type.whole)
    native = data_type.native
    if data_type.is_variable:
        value = _object_fill(fill_bytes, data_type)
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value
    if data_type.inner is not None:
        return base64.b64encode(fill_bytes).decode()
    if native.names:
        stored = np.frombuffer(fill_bytes, native).astype(data_type.stored)
        return base64.b64encode(stored.tobytes()).decode()
    found: Json = fill_value_to_json(fill_array(fill_bytes, data_type))
    return found

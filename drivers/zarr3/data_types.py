"""Data types by their names in zarr v3: the core ones, the registered ones, and legacy names.

Sources: zarr v3 core 3.1, "Data types"; zarr-extensions, "data-types"; the names that zarr-python 3
writes with a warning.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.member import Member
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.schema.data_type import dtype
from asynctensor.schema.extended_types import COMPLEX_PARTS, IMAG, MAX_NESTING, REAL, struct_type
from asynctensor.schema.fill_value import fill_value_from_json, fill_value_to_json
from asynctensor.storage.kvstore import Json

#: Types that have the same name here: the core ones, and extensions.
_SAME_NAME = (
    "bool",
    "int2", "int4", "int8", "int16", "int32", "int64",
    "uint2", "uint4", "uint8", "uint16", "uint32", "uint64",
    "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3",
    # Not registered, but TensorStore's name for what it has instead of float8_e4m3.
    "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128",
    *(f"complex_{part}" for part in COMPLEX_PARTS),
)  # fmt: skip
#: Other names of types that are here under one.
_ALIASES = {"complex_float32": "complex64", "complex_float64": "complex128"}
_TIMES = {"numpy.datetime64": "datetime64", "numpy.timedelta64": "timedelta64"}
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic")
_VARIABLE = {"string": "ustring", "bytes": "string", "variable_length_bytes": "string"}
_SPLIT = {"raw_bytes": "byte", "null_terminated_bytes": "char"}
_RAW_BITS = re.compile(r"r([1-9][0-9]{0,9})")
_MAX_ITEMSIZE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of zarr, and what elements of it look like here.

    Attributes:
        name: Its name in zarr.
        element: The data type of the array.
        inner: Size of the extra last dimension into which an element is split, if any: raw bits
            are seen as bytes, as TensorStore sees them.
        configuration: JSON text of what its object says beside the name; empty for nothing.
        whole: What it is, if it is seen as its bytes only.
        stored: The NumPy type of `whole` as it is stored.
    """

    name: str
    element: dtype
    inner: int | None = None
    configuration: str = ""
    whole: DataType | None = None
    stored: np.dtype[Any] | None = None

    def as_bytes(self, stored: np.dtype[Any]) -> DataType:
        """The same, seen as its bytes, which are stored as `stored`."""
        size = stored.itemsize
        return DataType(self.name, dtype("byte"), size, self.configuration, self, stored)

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """What the array's shape has after zarr's."""
        return () if self.inner is None else (self.inner,)

    @property
    def itemsize(self) -> int:
        """Bytes of one element of zarr; of a variable one, of the pointer to it."""
        return self.element.numpy_dtype.itemsize * (self.inner or 1)

    @property
    def is_variable(self) -> bool:
        """Whether elements have no fixed size."""
        return self.element.numpy_dtype.hasobject

    @property
    def whole_dtype(self) -> np.dtype[Any]:
        """The NumPy type of one element of zarr, not split."""
        if self.inner is None:
            return self.element.numpy_dtype
        return np.dtype(f"{'S' if self.element.name == 'char' else 'V'}{self.inner}")

    @property
    def has_byte_order(self) -> bool:
        """Whether the ``bytes`` codec must say an order."""
        return has_byte_order(self.whole_dtype)

    @property
    def default_endian(self) -> str | None:
        """The byte order where ``bytes`` says none; before ``struct`` it was little for all."""
        return "little" if self.name == "structured" else None

    def to_json(self) -> Json:
        """The document's ``data_type``."""
        if not self.configuration:
            return self.name
        return {"name": self.name, "configuration": json.loads(self.configuration)}

    # -- fill values ------------------------------------------------------------------------

    def read_fill(self, member: Member) -> bytes:
        """The bytes of one fill value: native-endian, UTF-8 for text of any length.

        Raises:
            InvalidArgument: It is none for this data type.
        """
        if self.is_variable:
            return self._read_variable_fill(member)
        value = member.value
        if self.name == "null_terminated_bytes" and isinstance(value, str):
            value = base64.b64encode(_decoded(member).ljust(self.itemsize, b"\0")).decode()
        return fill_value_from_json(self.whole_dtype, value, member.path).tobytes()

    def _read_variable_fill(self, member: Member) -> bytes:
        if self.name == "string":
            # Zarr-python before 3.1 wrote 0 for "none".
            text = "" if type(member.value) is int and member.value == 0 else member.string()
            try:
                return text.encode()
            except UnicodeEncodeError as error:
                raise member.error("text that UTF-8 can encode") from error
        if isinstance(member.value, list):
            return bytes(each.integer(0, 255) for each in member.array())
        return _decoded(member)

    def fill_array(self, fill_bytes: bytes) -> Array:
        """The fill value of an array: 0-dimensional, or a vector of `inner` elements."""
        if self.is_variable:
            found: Array = np.empty((), object)
            found[()] = fill_bytes.decode() if self.name == "string" else fill_bytes
            return found
        return np.frombuffer(fill_bytes, self.element.numpy_dtype).reshape(self.hidden_shape)

    def fill_to_json(self, fill_bytes: bytes) -> Json:
        """The document's ``fill_value``."""
        if self.whole is not None:
            fill = np.frombuffer(fill_bytes, self.stored).astype(self.whole.whole_dtype)
            return self.whole.fill_to_json(fill.tobytes())
        if self.name == "string":
            return fill_bytes.decode()
        if self.is_variable or self.name in _SPLIT:
            # The list that is also registered is what zarr-python does not read.
            data = fill_bytes.rstrip(b"\0") if self.name == "null_terminated_bytes" else fill_bytes
            return base64.b64encode(data).decode()
        if self.name == "structured":
            # The byte order of zarr-python, which always writes it so.
            whole = np.frombuffer(fill_bytes, self.whole_dtype)
            return base64.b64encode(whole.astype(whole.dtype.newbyteorder("<")).tobytes()).decode()
        fill = np.frombuffer(fill_bytes, self.whole_dtype).reshape(())
        found: Json = fill_value_to_json(fill)
        if self.name.startswith("complex_") and isinstance(found, dict):
            return [found[REAL], found[IMAG]]
        return found

    def default_fill(self) -> bytes:
        """What is written where nobody says a fill value: zeros, or an empty string."""
        return b"" if self.is_variable else bytes(self.itemsize)


def has_byte_order(numpy_dtype: np.dtype[Any]) -> bool:
    """Whether some part of an element has more than one byte, and an order of them."""
    if numpy_dtype.fields is not None:
        return any(has_byte_order(field[0].base) for field in numpy_dtype.fields.values())
    if numpy_dtype.kind == "S" or numpy_dtype.hasobject:
        return False
    if numpy_dtype.kind == "V" and not numpy_dtype.type.__module__.startswith("ml_dtypes"):
        return False
    return numpy_dtype.itemsize > 1


def _decoded(member: Member) -> bytes:
    try:
        return base64.b64decode(member.string(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise member.error("base64") from error


# -- names ------------------------------------------------------------------------------------


def read_data_type(member: Member, depth: int = 0) -> DataType:
    """The data type that ``data_type`` names, as a string or as an object.

    Raises:
        InvalidArgument: It is no name, or its configuration is wrong.
        Unimplemented: It names an extension that is not known here.
    """
    named, configuration = member, member.at("configuration", {})
    if isinstance(member.value, dict):
        found = member.object(("name", "configuration", "must_understand"), ("name",))
        if "must_understand" in found and not found["must_understand"].boolean():
            raise found["must_understand"].error("true, because this cannot be ignored")
        named, configuration = found["name"], found.get("configuration", configuration)
    name = named.string()
    read = _CONFIGURED.get(name)
    if read is not None:
        return read(name, configuration, depth)
    configuration.object(known=())
    if name in _VARIABLE:
        return DataType(name, dtype(_VARIABLE[name]))
    if name in _SAME_NAME or name in _ALIASES:
        return DataType(name, dtype(_ALIASES.get(name, name)))
    raw = _RAW_BITS.fullmatch(name)
    if raw is None:
        raise Unimplemented(f'member "{member.path}": the data type "{name}" is not supported')
    bits = int(raw[1])
    if bits % 8 or bits // 8 > _MAX_ITEMSIZE:
        raise named.error("a multiple of 8 bits")
    return DataType(name, dtype("byte"), bits // 8)


def _length(configuration: Member, unit: int) -> tuple[int, str]:
    member = configuration.object(("length_bytes",), ("length_bytes",))["length_bytes"]
    size = member.integer(0, _MAX_ITEMSIZE)
    if size % unit:
        raise member.error(f"a multiple of {unit}")
    if not size:
        raise Unimplemented(f'member "{member.path}": elements of no bytes are not supported')
    return size, json.dumps({"length_bytes": size})


def _read_split(name: str, configuration: Member, depth: int) -> DataType:
    del depth
    size, text = _length(configuration, 1)
    return DataType(name, dtype(_SPLIT[name]), size, text)


def _read_utf32(name: str, configuration: Member, depth: int) -> DataType:
    del depth
    size, text = _length(configuration, 4)
    return DataType(name, dtype(f"U{size // 4}"), configuration=text)


def _read_time(name: str, configuration: Member, depth: int) -> DataType:
    del depth
    members = ("unit", "scale_factor")
    found = configuration.object(members, members)
    unit, factor = found["unit"].string(_UNITS), found["scale_factor"].integer(1, 2**31 - 1)
    said = {"unit": unit, "scale_factor": factor}
    return DataType(name, _time_type(name, unit, factor), configuration=json.dumps(said))


def _time_type(name: str, unit: str, factor: int) -> dtype:
    if unit == "generic":
        return dtype(_TIMES[name])
    number = "" if factor == 1 else str(factor)
    return dtype(f"{_TIMES[name]}[{number}{'us' if unit == 'μs' else unit}]")


def _read_struct(name: str, configuration: Member, depth: int) -> DataType:
    if depth > MAX_NESTING:
        raise configuration.error(f"at most {MAX_NESTING} structures inside each other")
    fields = configuration.object(("fields",), ("fields",))["fields"]
    described: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
    said: list[Json] = []
    for field in fields.array():
        label, inner_member = _read_field(field, legacy=name == "structured")
        inner = read_data_type(inner_member, depth + 1)
        if inner.is_variable:
            raise inner_member.error("a data type of fixed size in a structure")
        described.append((label, inner.whole_dtype, ()))
        said.append(
            [label, inner.to_json()]
            if name == "structured"
            else {"name": label, "data_type": inner.to_json()}
        )
    try:
        element = dtype(struct_type(described))
    except ValueError as error:
        raise InvalidArgument(f'member "{fields.path}": {error}') from error
    return DataType(name, element, configuration=json.dumps({"fields": said}))


def _read_field(field: Member, *, legacy: bool) -> tuple[str, Member]:
    if legacy and isinstance(field.value, list):
        label, inner = field.array(2)
        return label.string(), inner
    found = field.object(("name", "data_type"), ("name", "data_type"))
    return found["name"].string(), found["data_type"]


_CONFIGURED: dict[str, Callable[[str, Member, int], DataType]] = {
    "raw_bytes": _read_split,
    "null_terminated_bytes": _read_split,
    "fixed_length_utf32": _read_utf32,
    "numpy.datetime64": _read_time,
    "numpy.timedelta64": _read_time,
    "struct": _read_struct,
    "structured": _read_struct,
}


def data_type_of(element: dtype) -> DataType:
    """The zarr data type for arrays of `element`.

    Raises:
        Unimplemented: There is none.
    """
    name = element.name
    if name in _SAME_NAME:
        return DataType(name, element)
    if name in ("ustring", "string"):
        return DataType("string" if name == "ustring" else "bytes", element)
    if name in ("byte", "char", "json"):
        raise Unimplemented(f"Data type not supported: {name}")
    return _described(element.numpy_dtype)


def _described(numpy_dtype: np.dtype[Any]) -> DataType:
    """The zarr data type of a structure, a time, fixed-length text, or a field."""
    kind, size = numpy_dtype.kind, numpy_dtype.itemsize
    if numpy_dtype.subdtype is not None:
        raise Unimplemented("Data type not supported: zarr v3 has no arrays as fields")
    if numpy_dtype.names and not dtype(numpy_dtype).name.startswith("complex_"):
        named: Any = numpy_dtype.fields
        fields: list[Json] = [
            {"name": field, "data_type": _described(named[field][0]).to_json()}
            for field in numpy_dtype.names
        ]
        return DataType("struct", dtype(numpy_dtype), configuration=json.dumps({"fields": fields}))
    if kind == "U":
        text = json.dumps({"length_bytes": size})
        return DataType("fixed_length_utf32", dtype(numpy_dtype), configuration=text)
    if kind in "mM":
        unit, factor = np.datetime_data(numpy_dtype)
        text = json.dumps({"unit": unit, "scale_factor": factor})
        name = "numpy.datetime64" if kind == "M" else "numpy.timedelta64"
        return DataType(name, dtype(numpy_dtype), configuration=text)
    is_small = numpy_dtype.type.__module__.startswith("ml_dtypes")
    if kind == "S":
        text = json.dumps({"length_bytes": size})
        return DataType("null_terminated_bytes", dtype("char"), size, text)
    if kind == "V" and not is_small and not numpy_dtype.names:
        return DataType(f"r{size * 8}", dtype("byte"), size)
    return data_type_of(dtype(numpy_dtype))

"""Data types by their names in zarr v3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.member import Member
from asynctensor.errors import Unimplemented
from asynctensor.schema.data_type import dtype

#: TensorStore's data types that zarr has under the same name: the core ones, and extensions.
_SAME_NAME = (
    "bool",
    "int2",
    "int4",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float4_e2m1fn",
    "float8_e3m4",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
_RAW_BITS = re.compile(r"r([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type of zarr, and what elements of it look like here.

    Attributes:
        name: Its name in zarr.
        element: The data type of the array.
        inner: Size of the extra last dimension into which an element is split, if any: raw bits
            are seen as bytes, as TensorStore sees them.
    """

    name: str
    element: dtype
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
        return np.dtype(f"V{self.inner}")

    @property
    def has_byte_order(self) -> bool:
        """Whether the ``bytes`` codec must say an order."""
        return self.inner is None and self.itemsize > 1


def read_data_type(member: Member) -> DataType:
    """The data type that ``data_type`` names, as a string or as an object without configuration.

    Raises:
        InvalidArgument: It is no name.
        Unimplemented: It names an extension that is not known here.
    """
    name = member.value
    if isinstance(name, dict):
        fields = member.object(("name", "configuration", "must_understand"), ("name",))
        if "configuration" in fields:
            fields["configuration"].object(known=())
        member = fields["name"]
    name = member.string()
    raw = _RAW_BITS.fullmatch(name)
    if raw is not None:
        bits = int(raw[1])
        if bits % 8:
            raise member.error("a multiple of 8 bits")
        return DataType(name, dtype("byte"), bits // 8)
    if name in _SAME_NAME:
        return DataType(name, dtype(name))
    raise Unimplemented(f'member "{member.path}": the data type "{name}" is not supported')


def data_type_of(element: dtype) -> DataType:
    """The zarr data type for arrays of `element`.

    Raises:
        Unimplemented: There is none.
    """
    if element.name in _SAME_NAME:
        return DataType(element.name, element)
    raise Unimplemented(f"Data type not supported: {element.name}")

"""Data types: TensorStore's names for them, and the NumPy types that hold them.

`extended_types` adds those that TensorStore lacks; none of them is a constant here.
"""

from __future__ import annotations

import builtins
import importlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema.extended_types import name_of_extended, numpy_of_extended

#: What names a data type: a `dtype`, its name, or anything NumPy takes for one of them.
DTypeLike: TypeAlias = "dtype | str | npt.DTypeLike"

#: Elements that are Python objects, held in arrays of NumPy's object type.
_OBJECTS: dict[str, type[Any]] = {"string": bytes, "ustring": str, "json": np.object_}

#: From `ml_dtypes`, which is loaded when one of them is first looked into.
_EXTENSIONS = (
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
    "bfloat16",
)

_NUMPY: dict[str, type[np.generic]] = {
    "bool": np.bool_,
    "char": np.bytes_,
    "byte": np.void,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
    "uint32": np.uint32,
    "int64": np.int64,
    "uint64": np.uint64,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "complex64": np.complex64,
    "complex128": np.complex128,
}

#: `char` and `byte` hold one byte per element: the NumPy types need their length said.
_NUMPY_SPELLING = {"char": "S1", "byte": "V1"}

#: Python's own types, as TensorStore reads them.
_PYTHON: dict[object, str] = {
    builtins.bool: "bool",
    int: "int64",
    float: "float64",
    complex: "complex128",
    bytes: "string",
    str: "ustring",
}


class dtype:  # noqa: N801 (TensorStore's name)
    """A data type.

    Equal to, and hashed as, any other spelling of itself that is a `dtype`; comparison with ``==``
    also accepts names, NumPy types and Python types.

    >>> at.dtype("uint16") == at.uint16 == np.uint16
    True
    >>> at.uint16.name, at.uint16.numpy_dtype, at.dtype(str)
    ('uint16', dtype('uint16'), dtype("ustring"))
    >>> at.int8([1, 2])
    array([1, 2], dtype=int8)

    Args:
        dtype: A `dtype`, a name (``"uint16"``, and those of `extended_types`), a NumPy data type
            or scalar type of any byte order, or one of Python's bool, int, float, complex, bytes
            and str.

    Raises:
        InvalidArgument: There is no such data type.
        IncompatibleType: The argument does not name a data type at all.
    """

    __slots__ = ("_name", "_numpy")

    def __init__(self, dtype: DTypeLike) -> None:
        self._name = _name_of(dtype)
        self._numpy: np.dtype[Any] | None = None

    @property
    def name(self) -> str:
        """The name in JSON and URLs, such as ``"float32"``."""
        return self._name

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The NumPy data type, native-endian; object for string, ustring and json."""
        if self._numpy is None:
            self._numpy = _numpy_of(self._name)
        return self._numpy

    @property
    def type(self) -> builtins.type:
        """The scalar type: NumPy's, or bytes and str for string and ustring."""
        found = _OBJECTS.get(self._name)
        return self.numpy_dtype.type if found is None else found

    def to_json(self) -> str:
        """The name."""
        return self._name

    def __call__(self, arg: Any) -> Any:
        """`arg` as a scalar (or array, if it is a sequence) of this type.

        Raises:
            ValueError, TypeError, OverflowError: NumPy cannot convert it.
        """
        if self._name == "json":
            return arg
        if self.numpy_dtype.fields is not None or self.numpy_dtype.kind in "mM":
            # Their scalar types do not know fields, or a unit.
            return np.array(arg, self.numpy_dtype)[()]
        return self.type(arg)

    def __eq__(self, other: object) -> builtins.bool:
        if isinstance(other, dtype):
            return self._name == other._name
        try:
            return self._name == _name_of(other)
        except (InvalidArgument, IncompatibleType):
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f'dtype("{self._name}")'

    def __reduce__(self) -> tuple[object, ...]:
        return (dtype, (self._name,))


def _numpy_of(name: str) -> np.dtype[Any]:
    if name in _OBJECTS:
        return np.dtype(object)
    found = _plain_numpy(name)
    if found is None:
        found = numpy_of_extended(name, _plain_numpy)
    assert found is not None
    return found


def _plain_numpy(name: str) -> np.dtype[Any] | None:
    """What holds one of TensorStore's types that is no object."""
    if name in _NUMPY:
        return np.dtype(_NUMPY_SPELLING.get(name, _NUMPY[name]))
    if name in _EXTENSIONS:
        # Loaded here because `import asynctensor` must not wait for it.
        found: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
        return found
    return None


def _name_of(spelling: object) -> str:
    if isinstance(spelling, dtype):
        return spelling._name
    if isinstance(spelling, str):
        if spelling in _NUMPY or spelling in _OBJECTS or spelling in _EXTENSIONS:
            return spelling
        extended = _extended(spelling)
        if extended is not None:
            return extended
        raise InvalidArgument(
            f'No TensorStore data type with name: "{spelling}"; expected one of {_all_names()}'
        )
    if isinstance(spelling, type) and spelling in _PYTHON:
        return _PYTHON[spelling]
    if spelling is None:
        raise IncompatibleType("Expected a data type, but got None")
    try:
        numpy_dtype = np.dtype(spelling)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise IncompatibleType(f"Expected a data type, but got {spelling!r}") from error
    return _name_of_numpy(numpy_dtype)


def _extended(spelling: str) -> str | None:
    """The canonical form of an extended name; None if it is none."""
    try:
        found = numpy_of_extended(spelling, _plain_numpy)
    except ValueError as error:
        raise InvalidArgument(f'No data type with name: "{spelling:.80}": {error}') from error
    if found is None or not spelling.startswith("struct"):
        return None if found is None else spelling
    return _name_of_numpy(found)


def _plain_name(numpy_dtype: np.dtype[Any]) -> str | None:
    for name in _NUMPY_SPELLING:
        if numpy_dtype.type is _NUMPY[name] and numpy_dtype.fields is None:
            return name
    if numpy_dtype.name in _NUMPY or numpy_dtype.name in _EXTENSIONS:
        return numpy_dtype.name
    return None


def _name_of_numpy(numpy_dtype: np.dtype[Any]) -> str:
    if numpy_dtype.kind == "T":
        return "ustring"
    found = _plain_name(numpy_dtype) or name_of_extended(numpy_dtype, _plain_name)
    if found is not None:
        return str(found)
    raise InvalidArgument(
        f"No TensorStore data type equals the NumPy type {numpy_dtype!r}; "
        f"convert to one of {_all_names()}"
    )


def _all_names() -> str:
    return ", ".join((*_NUMPY, *_EXTENSIONS, *_OBJECTS))


# `bool` shadows Python's from here on, as it does in TensorStore.
char = dtype("char")
byte = dtype("byte")
int2 = dtype("int2")
int4 = dtype("int4")
int8 = dtype("int8")
uint8 = dtype("uint8")
int16 = dtype("int16")
uint16 = dtype("uint16")
int32 = dtype("int32")
uint32 = dtype("uint32")
int64 = dtype("int64")
uint64 = dtype("uint64")
float4_e2m1fn = dtype("float4_e2m1fn")
float8_e3m4 = dtype("float8_e3m4")
float8_e4m3fn = dtype("float8_e4m3fn")
float8_e4m3fnuz = dtype("float8_e4m3fnuz")
float8_e4m3b11fnuz = dtype("float8_e4m3b11fnuz")
float8_e5m2 = dtype("float8_e5m2")
float8_e5m2fnuz = dtype("float8_e5m2fnuz")
float8_e8m0fnu = dtype("float8_e8m0fnu")
float16 = dtype("float16")
bfloat16 = dtype("bfloat16")
float32 = dtype("float32")
float64 = dtype("float64")
complex64 = dtype("complex64")
complex128 = dtype("complex128")
string = dtype("string")
ustring = dtype("ustring")
json = dtype("json")
bool = dtype("bool")  # noqa: A001 (TensorStore's name)

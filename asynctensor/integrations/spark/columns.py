"""Columns of Spark's tables that hold the elements of arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import types

from asynctensor.errors import IncompatibleType, InvalidArgument, OutOfRange
from asynctensor.schema.data_type import dtype

Array: TypeAlias = npt.NDArray[Any]

_BYTE = (types.ByteType(), pa.int8())
_SHORT = (types.ShortType(), pa.int16())
_INTEGER = (types.IntegerType(), pa.int32())
_LONG = (types.LongType(), pa.int64())
_FLOAT = (types.FloatType(), pa.float32())
#: What Spark has for a data type: it lacks unsigned numbers, and small floating-point ones.
_TYPES: Final[dict[str, tuple[types.DataType, pa.DataType]]] = {
    "bool": (types.BooleanType(), pa.bool_()),
    **dict.fromkeys(("int2", "int4", "int8", "uint2", "uint4"), _BYTE),
    **dict.fromkeys(("int16", "uint8"), _SHORT),
    **dict.fromkeys(("int32", "uint16"), _INTEGER),
    **dict.fromkeys(("int64", "uint32"), _LONG),
    "uint64": (types.DecimalType(20, 0), pa.decimal128(20, 0)),
    **dict.fromkeys(("float16", "bfloat16", "float32"), _FLOAT),
    "float64": (types.DoubleType(), pa.float64()),
    "string": (types.BinaryType(), pa.binary()),
    "ustring": (types.StringType(), pa.string()),
    "json": (types.StringType(), pa.string()),
}
_WHOLE = (types.ByteType, types.ShortType, types.IntegerType, types.LongType, types.DecimalType)
_OBJECTS: Final = ("string", "ustring", "json")


@dataclass(frozen=True, slots=True)
class ElementColumn:
    """A column of elements.

    Attributes:
        name: Its name.
        element: Their data type in the array.
    """

    name: str
    element: dtype

    @classmethod
    def of(cls, name: str, element: dtype) -> ElementColumn:
        """The column of an array.

        Raises:
            IncompatibleType: Spark has no such type.
        """
        if _kind(element) is None:
            raise IncompatibleType(
                f"array {name!r}: Spark has no data type like {element.name}; read it by "
                '.option("rows", "blocks"), or as another one: a "cast" spec around it'
            )
        return cls(name, element)

    @property
    def spark(self) -> types.DataType:
        """Spark's type."""
        return _found(self.element)[0]

    @property
    def arrow(self) -> pa.DataType:
        """Arrow's type."""
        return _found(self.element)[1]

    def to_arrow(self, values: Array) -> pa.Array:
        """Elements, as the column holds them.

        Args:
            values: One-dimensional.
        """
        name = self.element.name
        if name in _OBJECTS:
            found = [json.dumps(each) for each in values] if name == "json" else list(values)
            return pa.array(found, self.arrow)
        if name == "uint64":
            return pa.array(values).cast(self.arrow)
        return pa.array(values.astype(self.arrow.to_pandas_dtype(), copy=False))

    def check(self, given: types.DataType) -> None:
        """Refuses a column of which the array could not hold everything, whatever is in it.

        Raises:
            IncompatibleType: It says what to do.
        """
        spark = self.spark
        number = isinstance(given, types.FractionalType) and not isinstance(
            given, types.DecimalType
        )
        if isinstance(spark, _WHOLE):
            fits = isinstance(given, _WHOLE)
        elif isinstance(spark, types.FloatType):
            fits = isinstance(given, (types.FloatType, *_WHOLE))
        elif isinstance(spark, types.DoubleType):
            fits = number or isinstance(given, _WHOLE)
        else:
            fits = type(given) is type(spark)
        if not fits:
            raise IncompatibleType(
                f"column {self.name!r} of {given.simpleString()} would lose something as "
                f"{self.element.name}; convert it first: "
                f'.withColumn({self.name!r}, col({self.name!r}).cast("{spark.simpleString()}"))'
            )

    def from_arrow(self, column: pa.Array) -> Array:
        """The elements of a column.

        Raises:
            InvalidArgument: There are nulls among them.
            OutOfRange: The data type cannot hold one of them.
        """
        if column.null_count:
            raise InvalidArgument(f"column {self.name!r} has nulls, which no array can hold")
        name = self.element.name
        if name in _OBJECTS:
            found = column.cast(self.arrow).to_pylist()
            out = np.empty(len(found), object)
            out[:] = [json.loads(each) for each in found] if name == "json" else found
            return out
        target = self.element.numpy_dtype
        try:
            carried = column.cast(pa.uint64() if name == "uint64" else self.arrow)
        except pa.ArrowInvalid as error:
            raise OutOfRange(f"column {self.name!r}: {error}") from None
        values = carried.to_numpy(zero_copy_only=False)
        converted: Array = values.astype(target, copy=False)
        if isinstance(self.spark, _WHOLE) and not (converted.astype(values.dtype) == values).all():
            raise OutOfRange(f"column {self.name!r} has numbers that {name} cannot hold")
        return converted


def _kind(element: dtype) -> tuple[types.DataType, pa.DataType] | None:
    return (
        _FLOAT
        if element.name.startswith(("float8_", "float6_", "float4_"))
        else _TYPES.get(element.name)
    )


def _found(element: dtype) -> tuple[types.DataType, pa.DataType]:
    found = _kind(element)
    assert found is not None
    return found


def whole_numbers(column: pa.Array, name: str) -> npt.NDArray[np.int64]:
    """A column of indices.

    Raises:
        InvalidArgument: It has nulls.
        IncompatibleType: These are no whole numbers.
    """
    if column.null_count:
        raise InvalidArgument(f"column {name!r} has nulls, which are no indices")
    try:
        found = column.cast(pa.int64()) if not pa.types.is_floating(column.type) else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = None
    if found is None:
        raise IncompatibleType(f"column {name!r} holds indices, whole numbers; got {column.type}")
    return np.asarray(found.to_numpy(zero_copy_only=False))

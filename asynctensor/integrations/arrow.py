"""Arrow: tensors, and columns of tensors, from NumPy arrays and back, without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asynctensor.errors import IncompatibleType, InvalidArgument

__all__ = ["from_arrow", "to_arrow", "to_tensor_column"]

Array: TypeAlias = npt.NDArray[Any]

#: What an element of Arrow's tensors can be.
_NUMBERS: Final = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


def to_arrow(
    array: Array, *, dim_names: Sequence[str] | None = None, copy: bool | None = None
) -> pa.Tensor:
    """A tensor of the same elements, shape and data type.

    Args:
        array: Of a data type that Arrow has.
        dim_names: Names of the dimensions.
        copy: False: never; True: always; None: where the memory cannot be shared, because the
            array is not in this machine's byte order, or has strides that are negative.

    Returns:
        A tensor that shares the array's memory and keeps it alive, or one of its own.

    Raises:
        IncompatibleType: Arrow's tensors have no such elements.
        ValueError: ``copy=False``, and it takes one.
    """
    _check(array.dtype)
    return pa.Tensor.from_numpy(
        _shared(array, all(stride >= 0 for stride in array.strides), copy),
        dim_names=None if dim_names is None else list(dim_names),
    )


def to_tensor_column(
    array: Array, *, dim_names: Sequence[str] | None = None, copy: bool | None = None
) -> pa.FixedShapeTensorArray:
    """A column whose rows are tensors of one shape: what lies along the first dimension.

    Args:
        array: Of rank 2 or more, and of a data type that Arrow has.
        dim_names: Names of the dimensions of a row.
        copy: As for `to_arrow`; memory is shared where the array is contiguous, in C order.

    Raises:
        InvalidArgument: The array has fewer than two dimensions.
        IncompatibleType: Arrow's tensors have no such elements.
        ValueError: ``copy=False``, and it takes one.
    """
    _check(array.dtype)
    if array.ndim < 2:
        raise InvalidArgument(
            f"a column of tensors is an array of rank 2 or more, got shape {array.shape}"
        )
    names = None if dim_names is None else list(dim_names)
    shared = _shared(array, array.flags.c_contiguous, copy)
    kind = pa.fixed_shape_tensor(
        pa.from_numpy_dtype(shared.dtype), shared.shape[1:], dim_names=names
    )
    flat = pa.array(shared.reshape(-1))
    size = int(np.prod(shared.shape[1:]))
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(flat, size))


def _shared(array: Array, fits: bool, copy: bool | None) -> Array:
    if copy is False and not (fits and array.dtype.isnative):
        raise ValueError(
            "Arrow can share the memory of arrays in this machine's byte order whose strides are "
            "not negative, and of columns where they are contiguous; let it be copied"
        )
    if copy or not (fits and array.dtype.isnative):
        return np.array(array, array.dtype.newbyteorder("="), order="C")
    return array


def from_arrow(tensor: Any, *, copy: bool = False) -> Array:
    """An array of a tensor's elements, or of those of a column of tensors, a row for each.

    Args:
        tensor: A `pyarrow.Tensor`; or a `pyarrow.FixedShapeTensorArray`, or a
            `pyarrow.ChunkedArray` of several, which are copied.
        copy: Always copy. Otherwise memory is shared, and cannot be written where Arrow's cannot.

    Raises:
        IncompatibleType: These are no tensors.
        InvalidArgument: A row of the column is null.
    """
    if isinstance(tensor, pa.Tensor):
        found = tensor.to_numpy()
    else:
        parts = tensor.chunks if isinstance(tensor, pa.ChunkedArray) else [tensor]
        kind = getattr(tensor, "type", None)
        if not isinstance(kind, pa.FixedShapeTensorType):
            raise IncompatibleType(
                f"expected a tensor of Arrow, or a column of tensors, got {type(tensor).__name__}"
            )
        if tensor.null_count:
            raise InvalidArgument("a row of the column is null, which no array can hold")
        arrays = [each.to_numpy_ndarray() for each in parts]
        if len(arrays) == 1:
            found = arrays[0]
        else:
            empty = np.empty((0, *kind.shape), kind.value_type.to_pandas_dtype())
            return np.concatenate([empty, *arrays])
    return np.array(found) if copy else np.asarray(found)


def _check(element: np.dtype[Any]) -> None:
    if element.newbyteorder("=").name not in _NUMBERS:
        raise IncompatibleType(
            f"Arrow's tensors have no elements like {element.name}; read the array as another "
            'type: array.astype("float32")'
        )

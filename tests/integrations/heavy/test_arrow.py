"""Tensors of Arrow, and columns of them, share memory with arrays, or say why not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.integrations.arrow import from_arrow, to_arrow, to_tensor_column

NUMBERS = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
]


@pytest.mark.parametrize("name", NUMBERS)
def test_both_ways_without_a_copy(name) -> None:
    array = np.arange(24).astype(name).reshape(2, 3, 4)
    tensor = to_arrow(array, dim_names=["a", "b", "c"], copy=False)
    assert (tensor.shape, tensor.dim_names) == ((2, 3, 4), ["a", "b", "c"])
    back = from_arrow(tensor)
    assert np.shares_memory(back, array)
    assert back.dtype == array.dtype
    assert (back == array).all()
    column = to_tensor_column(array, dim_names=["b", "c"], copy=False)
    assert len(column) == 2
    assert (column.type.shape, column.type.dim_names) == ([3, 4], ["b", "c"])
    back = from_arrow(column)
    assert np.shares_memory(back, array)
    assert back.dtype == array.dtype
    assert (back == array).all()


def test_strides() -> None:
    array = np.arange(24, dtype="int16").reshape(4, 6)
    tensor = to_arrow(array.T[::2], copy=False)
    assert np.shares_memory(from_arrow(tensor), array)
    assert (from_arrow(tensor) == array.T[::2]).all()


@pytest.mark.parametrize("array", [np.arange(6, dtype=">i2"), np.arange(6, dtype="int16")[::-1]])
def test_what_cannot_be_shared_is_copied(array) -> None:
    for shaped, made in ((array, to_arrow), (array.reshape(2, 3), to_tensor_column)):
        assert (from_arrow(made(shaped)) == shaped).all()
        with pytest.raises(ValueError, match="let it be copied"):
            made(shaped, copy=False)
    array = np.arange(6, dtype="int16")
    assert not np.shares_memory(from_arrow(to_arrow(array, copy=True)), array)
    assert not np.shares_memory(from_arrow(to_arrow(array), copy=True), array)
    assert not np.shares_memory(from_arrow(to_tensor_column(array.reshape(2, 3).T)), array)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), ()])
def test_empty_and_small(shape) -> None:
    array = np.zeros(shape, "float32")
    assert from_arrow(to_arrow(array)).shape == shape
    if len(shape) < 2:
        with pytest.raises(InvalidArgument, match="rank 2"):
            to_tensor_column(array)


def test_columns_in_parts_and_slices() -> None:
    array = np.arange(24, dtype="int16").reshape(4, 3, 2)
    column = to_tensor_column(array)
    parts = pa.chunked_array([column.slice(0, 1), column.slice(1)])
    assert (from_arrow(parts) == array).all()
    assert (from_arrow(column.slice(2)) == array[2:]).all()
    assert from_arrow(pa.chunked_array([], column.type)).shape == (0, 3, 2)


@pytest.mark.parametrize("name", ["bool", "complex64", ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_elements_that_arrow_lacks(name) -> None:
    for made in (to_arrow, to_tensor_column):
        with pytest.raises(IncompatibleType, match="no elements like"):
            made(np.zeros((2, 2), name))


def test_bad_input() -> None:
    with pytest.raises(IncompatibleType, match="column of tensors, got Int64Array"):
        from_arrow(pa.array([1, 2]))
    with pytest.raises(IncompatibleType, match="got list"):
        from_arrow([1, 2])
    column = to_tensor_column(np.zeros((2, 2)))
    nulls = pa.ExtensionArray.from_storage(
        column.type, pa.array([[1.0, 2.0], None], column.type.storage_type)
    )
    with pytest.raises(InvalidArgument, match="null"):
        from_arrow(nulls)

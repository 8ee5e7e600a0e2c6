"""Tensors and arrays share memory where TensorFlow can bear it, or say why not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import asynctensor as at
from asynctensor.errors import IncompatibleType
from asynctensor.integrations.tensorflow import dtype_of, from_tensor, to_tensor

NAMES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
]


@pytest.mark.parametrize("name", NAMES)
def test_both_ways(name) -> None:
    store = at.open("memory://|zarr3", dtype=at.dtype(name), shape=[2, 3], create=True).result()
    store.write(np.array([[1, 0.5, 2], [8, 1, 4]]).astype(name)).result()
    array = store.read().result()
    tensor = to_tensor(array)
    assert tensor.dtype == dtype_of(name)
    assert tensor.shape == (2, 3)
    back = from_tensor(tensor)
    assert back.dtype == array.dtype
    assert (back == array).all()
    assert (from_tensor(tensor, copy=True) == array).all()


@pytest.mark.parametrize("name", ["bool", "uint16", "int64", "float16", "float64", "complex64"])
def test_what_is_read_is_shared(name) -> None:
    store = at.open("memory://|zarr3", dtype=name, shape=[64, 64], create=True).result()
    array = store.read().result()
    tensor = to_tensor(array, copy=False)
    array[3, 4] = 1
    assert bool(tf.cast(tensor[3, 4], tf.bool))
    assert np.shares_memory(from_tensor(tensor), array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(65, "uint8")[1:],
        np.arange(3, dtype=">i2"),
        np.broadcast_to(np.int16(3), (3,)),
        np.zeros((4, 4), "int32").T[1:],
        np.zeros((0, 3), "int32"),
        np.array([1.5], ml_dtypes.bfloat16),
    ],
)
def test_what_cannot_be_shared_is_copied(array) -> None:
    tensor = to_tensor(array)
    assert tensor.numpy().tolist() == array.tolist()
    with pytest.raises(ValueError, match="let it be copied"):
        to_tensor(array, copy=False)


def test_many_unaligned_ones() -> None:
    """An unaligned tensor would abort the process in some kernel."""
    raw = np.zeros(4096 + 64, "uint8")
    for offset in range(64):
        array = raw[offset : offset + 4096].view("float32" if offset % 4 == 0 else "uint8")
        assert float(tf.reduce_sum(tf.cast(to_tensor(array), tf.float32))) == 0


def test_what_tensorflow_lacks() -> None:
    with pytest.raises(IncompatibleType, match="TensorFlow has no data type"):
        to_tensor(np.zeros(2, "datetime64[s]"))
    with pytest.raises(IncompatibleType, match="array of NumPy's, got \\[1"):
        to_tensor([1, 2])
    with pytest.raises(IncompatibleType, match="eager"):
        from_tensor(np.zeros(2))

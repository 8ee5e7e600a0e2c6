"""Tensors and arrays share memory, whatever the data type, or say why not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from asynctensor.errors import IncompatibleType
from asynctensor.integrations.torch import dtype_of, from_torch, to_torch

SHARED = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz),
    *(ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu),
]


@pytest.mark.parametrize("name", SHARED)
def test_both_ways_without_a_copy(name) -> None:
    array = np.array([[1, 0.5, 2], [8, 1, 4]]).astype(name)
    tensor = to_torch(array, copy=False)
    assert tensor.dtype == dtype_of(name)
    back = from_torch(tensor)
    assert back.dtype == array.dtype
    assert np.shares_memory(back, array)
    assert (back == array).all()
    if tensor.dtype != torch.bool and not tensor.dtype.is_complex:
        assert tensor.to(torch.float64).tolist() == array.astype("float64").tolist()


@pytest.mark.parametrize("name", ["int16", ml_dtypes.bfloat16])
def test_strides(name) -> None:
    array = np.arange(24).astype(name).reshape(4, 6)
    tensor = to_torch(array.T[::2], copy=False)
    assert (from_torch(tensor) == array.T[::2]).all()
    assert np.shares_memory(from_torch(tensor), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype="int16")[::-1],
        np.arange(3, dtype=">i2"),
        np.broadcast_to(np.int16(3), (3,)),
        np.zeros(3, [("a", "i1"), ("b", "i2")])["b"],
    ],
)
def test_what_cannot_be_shared_is_copied(array) -> None:
    tensor = to_torch(array)
    assert tensor.tolist() == array.tolist()
    with pytest.raises(ValueError, match="let it be copied"):
        to_torch(array, copy=False)
    tensor[0] = 9
    assert array[0] != 9


def test_copies_when_told_to() -> None:
    array = np.zeros(3, "float32")
    to_torch(array, copy=True)[0] = 1
    from_torch(to_torch(array), copy=True)[0] = 1
    assert not array.any()


def test_tensors_that_record() -> None:
    tensor = torch.ones(2, requires_grad=True)
    assert from_torch(tensor).tolist() == [1, 1]
    conjugate = torch.tensor([1 + 2j]).conj()
    assert from_torch(conjugate).tolist() == [1 - 2j]


@pytest.mark.parametrize("name", ["datetime64[s]", "U3", ml_dtypes.int4, "V3"])
def test_what_pytorch_lacks(name) -> None:
    with pytest.raises(IncompatibleType, match="PyTorch has no data type"):
        to_torch(np.zeros(2, name))


def test_what_numpy_lacks() -> None:
    with pytest.raises(IncompatibleType, match="dense"):
        from_torch(torch.eye(3).to_sparse())
    with pytest.raises(IncompatibleType, match="NumPy has no"):
        from_torch(torch.empty(2, dtype=torch.uint4))

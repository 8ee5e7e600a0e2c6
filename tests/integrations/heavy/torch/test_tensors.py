"""Tensors and arrays share memory, whatever the data type, or say why not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

import asynctensor as at
from asynctensor.errors import IncompatibleType
from asynctensor.integrations.torch import dtype_of, from_torch, to_torch
from asynctensor.integrations.torch.tensors import tensor_memory, tensor_of

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


def test_what_is_no_array() -> None:
    for wrong in ([1, 2], torch.ones(2), None):
        with pytest.raises(IncompatibleType, match="array of NumPy's"):
            to_torch(wrong)
    assert to_torch(np.float32(3)).item() == 3
    with pytest.raises(IncompatibleType, match="tensor of PyTorch's, got 3"):
        from_torch(3)
    with pytest.raises(IncompatibleType, match="`meta`"):
        from_torch(torch.ones(3, device="meta"))


def test_what_numpy_lacks() -> None:
    with pytest.raises(IncompatibleType, match="dense"):
        from_torch(torch.eye(3).to_sparse())
    with pytest.raises(IncompatibleType, match="NumPy has no"):
        from_torch(torch.empty(2, dtype=torch.uint4))


def storage(tensor: torch.Tensor) -> int:
    """Which of PyTorch's storages a tensor is in."""
    return tensor.untyped_storage()._cdata


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2", "bool", "complex64"])
def test_arrays_in_the_memory_of_tensors(dtype) -> None:
    element = at.dtype(dtype).numpy_dtype
    array = tensor_memory((3, 4), element, pinned=False)
    assert array.dtype == element
    assert array.ctypes.data % 64 == 0
    array[...] = np.arange(12).reshape(3, 4).astype(element)
    tensor = tensor_of(array)
    # No tensor beside it that shares its memory: the very one that the memory was made for.
    assert storage(tensor) == storage(tensor_of(array)) != storage(to_torch(array))
    assert np.array_equal(from_torch(tensor).view(np.uint8), array.view(np.uint8))
    for other in (array[1:], np.array(array)):
        assert torch.equal(tensor_of(other), to_torch(np.array(other)))
    assert tensor_memory((0, 4), element, pinned=False).shape == (0, 4)


def test_what_gives_numpy_nothing_is_refused() -> None:
    store = at.open("memory://|zarr3", create=True, dtype="float32", shape=[2]).result()
    for tensor in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, requires_grad=True)):
        with pytest.raises(IncompatibleType, match=r"torch\.Tensor gives NumPy no array.*convert"):
            store.write(tensor).result()
        for copy in (None, True):
            with pytest.raises(IncompatibleType, match=r"torch\.Tensor gives NumPy no array"):
                at.array(tensor, copy=copy)
    shared = torch.ones(2)
    at.array(shared)[0].write(3).result()
    assert shared.tolist() == [3, 1]
    at.convert(torch.ones(2, requires_grad=True), store).result()
    assert store.read().result().tolist() == [1, 1]

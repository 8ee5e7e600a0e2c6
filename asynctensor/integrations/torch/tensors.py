"""Tensors from NumPy arrays and back, without a copy where that can be."""

from __future__ import annotations

from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch

from asynctensor.errors import IncompatibleType
from asynctensor.integrations.other_dtype import advice, check_array

Array: TypeAlias = npt.NDArray[Any]

#: What NumPy has of ml_dtypes, by torch's type: PyTorch takes none of them from NumPy.
_FOREIGN: dict[np.dtype[Any], torch.dtype] = {
    np.dtype(ml_dtypes.bfloat16): torch.bfloat16,
    np.dtype(ml_dtypes.float8_e4m3fn): torch.float8_e4m3fn,
    np.dtype(ml_dtypes.float8_e4m3fnuz): torch.float8_e4m3fnuz,
    np.dtype(ml_dtypes.float8_e5m2): torch.float8_e5m2,
    np.dtype(ml_dtypes.float8_e5m2fnuz): torch.float8_e5m2fnuz,
    np.dtype(ml_dtypes.float8_e8m0fnu): torch.float8_e8m0fnu,
}
_FOREIGN_BACK = {theirs: ours for ours, theirs in _FOREIGN.items()}
_BITS = {1: (np.uint8, torch.uint8), 2: (np.uint16, torch.uint16)}
_NATIVE = {
    np.dtype(name): getattr(torch, name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}

_NATIVE_BACK = {theirs: ours for ours, theirs in _NATIVE.items()}


def dtype_of(element: npt.DTypeLike) -> torch.dtype:
    """PyTorch's name of a data type.

    Raises:
        IncompatibleType: It has none.
    """
    native = np.dtype(element).newbyteorder("=")
    found = _NATIVE.get(native) or _FOREIGN.get(native)
    if found is None:
        raise IncompatibleType(f"PyTorch has no data type like {native.name}; {advice(native)}")
    return found


def array_dtype(element: torch.dtype) -> np.dtype[Any]:
    """NumPy's data type for PyTorch's.

    Raises:
        IncompatibleType: Neither NumPy nor ml_dtypes has it.
    """
    found = _NATIVE_BACK.get(element) or _FOREIGN_BACK.get(element)
    if found is None:
        raise IncompatibleType(f"NumPy has no data type like {element}")
    return found


def to_torch(array: Array, *, copy: bool | None = None) -> torch.Tensor:
    """A tensor of the same elements, shape and data type.

    Args:
        array: Of a data type that PyTorch has; bfloat16 and float8 are ml_dtypes' ones.
        copy: False: never; True: always; None: where the memory cannot be shared, because the
            array is read-only, not in this machine's byte order, or has negative strides.

    Returns:
        A tensor that shares the array's memory and keeps it alive, or one of its own.

    Raises:
        IncompatibleType: PyTorch has no such data type, or this is no array.
        ValueError: ``copy=False``, and it takes one.
    """
    check_array(array)
    element = dtype_of(array.dtype)
    shared = (
        array.flags.writeable
        and array.dtype.isnative
        and all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    )
    if copy is False and not shared:
        raise ValueError(
            "PyTorch cannot share the memory of an array that is read-only, not in this machine's "
            "byte order, or has strides that are negative or between elements; let it be copied"
        )
    if copy or not shared:
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    if array.dtype in _FOREIGN:
        return torch.from_numpy(array.view(_BITS[array.itemsize][0])).view(element)
    return torch.from_numpy(array)


def from_torch(tensor: torch.Tensor, *, copy: bool = False) -> Array:
    """An array of a tensor's elements, which shares its memory if that is the processor's.

    Args:
        tensor: Any dense tensor. One that records gradients is detached; one of a device is
            copied from there.
        copy: Always copy.

    Raises:
        IncompatibleType: NumPy and ml_dtypes have no such data type, the tensor is sparse,
            quantized or without elements (of the device ``meta``), or this is no tensor.
    """
    given: Any = tensor
    if not isinstance(given, torch.Tensor):
        raise IncompatibleType(f"expected a tensor of PyTorch's, got {tensor!r:.100}")
    if tensor.is_meta:
        raise IncompatibleType("a tensor of the device `meta` has a shape, and no elements")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise IncompatibleType(
            f"only dense tensors are arrays, got one of layout {tensor.layout}; "
            "make it dense: tensor.to_dense()"
        )
    here = tensor.detach().resolve_conj().resolve_neg().cpu()
    element = array_dtype(here.dtype)
    if element in _FOREIGN:
        found: Array = here.view(_BITS[here.itemsize][1]).numpy().view(element)
    else:
        found = here.numpy()
    return found.copy() if copy else found


def tensor_memory(shape: tuple[int, ...], element: np.dtype[Any], *, pinned: bool) -> Array:
    """An array with arbitrary content, whose memory is that of a tensor; see `tensor_of`.

    Args:
        shape: Of both.
        element: Of a data type that PyTorch has.
        pinned: Whether it is page-locked, which needs an accelerator.
    """
    return from_torch(torch.empty(shape, dtype=dtype_of(element), pin_memory=pinned))


def tensor_of(array: Array) -> torch.Tensor:
    """The tensor whose memory an array of `tensor_memory` is.

    It must be that one: PyTorch does not use page-locked memory for something else while it is
    being copied to a device, but knows whose it is only by the tensor that it was made for.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, torch.Tensor) or tuple(base.shape) != array.shape:
        return to_torch(array)
    return base.view(dtype_of(array.dtype))


def pinned_copy(batch: Any) -> Any:
    """`batch` with its tensors in page-locked memory: those that are not are copied."""
    if isinstance(batch, torch.Tensor):
        return batch.pin_memory() if batch.device.type == "cpu" else batch
    if isinstance(batch, dict):
        return {name: pinned_copy(each) for name, each in batch.items()}
    if isinstance(batch, (list, tuple)) and not hasattr(batch, "_fields"):
        return type(batch)(pinned_copy(each) for each in batch)
    return batch

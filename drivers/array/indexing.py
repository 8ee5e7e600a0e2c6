"""Index transforms applied to NumPy arrays: views of their memory where there are such."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from asynctensor.chunked.codec import Array
from asynctensor.index_space.points import point_indices
from asynctensor.index_space.propagate_bounds import check_index_arrays, propagate_bounds
from asynctensor.index_space.transform import IndexTransform

#: NumPy numbers its own data types below this.
_EXTENSION_TYPES = 256


def bounded(transform: IndexTransform, shape: tuple[int, ...]) -> IndexTransform:
    """`transform` over an array of this shape and origin 0, with all bounds explicit and checked.

    Raises:
        OutOfRange: It leaves the array.
    """
    found = propagate_bounds(transform, (0,) * len(shape), shape)
    if 0 not in found.input_shape:
        check_index_arrays(found)
    return found


def is_strided(transform: IndexTransform) -> bool:
    """Whether the transform has no index array, so that its elements are a view of any memory."""
    return all(item.index_array is None for item in transform.maps)


def strided(array: Array, transform: IndexTransform) -> Array:
    """The elements of a bounded transform as a view of `array`'s memory."""
    shape = tuple(transform.input_shape)
    if 0 in shape:
        return np.empty(shape, array.dtype)
    strides = [0] * len(shape)
    corner: list[Any] = []
    for out, item in enumerate(transform.maps):
        dim, stride = item.input_dimension, item.stride or 0
        start = item.offset
        if dim is not None:
            start += stride * transform.input_inclusive_min[dim]
            strides[dim] += stride * array.strides[out]
        corner.append(slice(start, start + 1))
    base = array[(*corner, ...)].reshape(())
    if array.dtype.num < _EXTENSION_TYPES:
        return as_strided(base, shape, strides, writeable=array.flags.writeable)
    # Not all extension types have a spelling that NumPy's function could read.
    raw = base.view(f"V{array.itemsize}")
    return as_strided(raw, shape, strides, writeable=array.flags.writeable).view(array.dtype)


def taken(array: Array, transform: IndexTransform) -> Array:
    """The elements of a bounded transform, of its input shape; maybe a view of the memory."""
    if is_strided(transform):
        return strided(array, transform)
    found = array[point_indices(transform)]
    return np.broadcast_to(found, tuple(transform.input_shape))


def put(array: Array, transform: IndexTransform, source: Array) -> None:
    """Assigns `source`, of its input shape, to the elements of a bounded transform."""
    if 0 in transform.input_shape:
        return
    if is_strided(transform):
        strided(array, transform)[...] = source
    else:
        full = np.broadcast_arrays(*point_indices(transform), np.empty(source.shape, np.bool_))
        array[tuple(full[:-1])] = source

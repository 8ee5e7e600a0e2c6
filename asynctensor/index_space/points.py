"""The indices that a transform gives, as NumPy arrays that index an array point by point."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.index_space.representation import TransformRep


def point_indices(transform: TransformRep) -> tuple[npt.NDArray[Any], ...]:
    """Per output dimension, the indices over the whole input domain; they broadcast together.

    Args:
        transform: Of a finite domain.
    """
    rank = transform.input_rank
    shape = tuple(
        high - low
        for low, high in zip(
            transform.input_inclusive_min, transform.input_exclusive_max, strict=True
        )
    )
    found = []
    for item in transform.maps:
        stride = item.stride or 0
        if item.index_array is not None:
            found.append(np.broadcast_to(item.offset + stride * item.index_array, shape))
            continue
        at = np.full((1,) * rank, item.offset, np.int64)
        dim = item.input_dimension
        if dim is not None:
            low = transform.input_inclusive_min[dim]
            sizes = [1] * rank
            sizes[dim] = shape[dim]
            at = item.offset + stride * np.arange(low, low + shape[dim]).reshape(sizes)
        found.append(at)
    return tuple(found)

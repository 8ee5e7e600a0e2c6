"""``scale_offset``: ``(element - offset) * scale`` in the arithmetic of the array's own type.

Source: zarr-extensions, "scale_offset". What the type cannot represent is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.array_step import ArrayStep
from asynctensor.errors import DataLoss, Error, InvalidArgument

#: Products of two such numbers fit into 64 bits.
_NARROW = 4


class ScaleOffsetStep(ArrayStep):
    """Subtracts and multiplies; decoding divides and adds.

    Args:
        shape: Shape of the chunk.
        dtype: Integer, float or complex.
        offset: 0-dimensional, of `dtype`.
        scale: 0-dimensional, of `dtype`, not 0.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: Array, scale: Array
    ) -> None:
        self.shape = self.encoded_shape = shape
        self.dtype = self.encoded_dtype = dtype
        self._offset, self._scale = offset, scale
        self._integers = dtype.kind in "iu"

    def encode(self, chunk: Array) -> Array:
        if not self._integers:
            with np.errstate(all="ignore"):
                found = (chunk - self._offset) * self._scale
            return found.astype(self.dtype, copy=False)
        offset, scale = int(self._offset), int(self._scale)
        return self._exact(chunk, lambda wide: (wide - offset) * scale, InvalidArgument)

    def decode(self, chunk: Array) -> Array:
        if not self._integers:
            with np.errstate(all="ignore"):
                found = chunk / self._scale + self._offset
            return found.astype(self.dtype, copy=False)
        offset, scale = int(self._offset), int(self._scale)

        def divided(wide: Array) -> Array:
            if (wide % scale != 0).any():
                raise DataLoss(f"scale_offset: an element is no multiple of the scale {scale}")
            return wide // scale + offset

        return self._exact(chunk, divided, DataLoss)

    def _exact(self, chunk: Array, change: Callable[[Array], Array], failure: type[Error]) -> Array:
        info = np.iinfo(self.dtype)
        # Python's integers do not overflow; narrow types need no more than NumPy's largest.
        narrow = self.dtype.itemsize < _NARROW
        wide = change(chunk.astype(np.int64 if narrow else object))
        if wide.size and ((wide < int(info.min)).any() or (wide > int(info.max)).any()):
            raise failure(f"scale_offset: a result is outside the range of {self.dtype.name}")
        return wide.astype(self.dtype)

    def encode_fill(self, fill: Array) -> Array:
        return np.asarray(self.encode(fill.reshape((1,)))).reshape(())

"""Numbers rounded to a few significant bits: the codec ``bitround``.

Decoding changes nothing. Floats are rounded half to even, as by numcodecs' codec of this name;
integers from their highest set bit on, half up. Source: zarr-extensions, "bitround".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.array_step import ArrayStep
from asynctensor.chunked.compression.packbits import components

#: Explicit bits of the mantissa.
MANTISSA_BITS = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}


class BitroundStep(ArrayStep):
    """Rounds.

    Args:
        shape: Shape of the chunk.
        dtype: Integer, time, float of `MANTISSA_BITS`, or complex of such.
        keepbits: Bits to keep, at least 1.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], keepbits: int) -> None:
        self.shape = self.encoded_shape = shape
        self.dtype = self.encoded_dtype = dtype
        self._keepbits = keepbits
        self._part, _ = components(dtype)

    def encode(self, chunk: Array) -> Array:
        flat = np.array(chunk, order="C").reshape(-1).view(self._part)
        mantissa = MANTISSA_BITS.get(self._part.name)
        if mantissa is not None:
            self._round_floats(flat, mantissa)
        else:
            self._round_integers(flat)
        return flat.view(self.dtype).reshape(self.shape)

    def _round_floats(self, flat: Array, mantissa: int) -> None:
        dropped = mantissa - self._keepbits
        if dropped <= 0:
            return
        bits = flat.view(f"u{flat.dtype.itemsize}")
        kind = bits.dtype.type
        finite = np.isfinite(flat)
        half = kind((1 << (dropped - 1)) - 1)
        # Not over the edge of the type: the carry may go up to infinity, not beyond.
        rounded = bits + ((bits >> kind(dropped)) & kind(1)) + half
        rounded &= ~kind((1 << dropped) - 1)
        np.copyto(bits, rounded, where=finite)

    def _round_integers(self, flat: Array) -> None:
        numbers = flat.view(np.int64) if flat.dtype.kind in "mM" else flat
        signed = numbers.dtype.kind == "i"
        unsigned = np.dtype(f"u{numbers.dtype.itemsize}")
        size = numbers.view(unsigned)
        negative = numbers < 0 if signed else None
        magnitude = np.where(numbers < 0, -size, size) if signed else size
        width = unsigned.itemsize * 8
        dropped = np.maximum(_bit_length(magnitude) - self._keepbits, 0).astype(unsigned)
        one = unsigned.type(1)
        mask = (one << dropped) - one
        half = np.where(dropped > 0, one << np.maximum(dropped, 1) - one, 0).astype(unsigned)
        rounded = (magnitude + half) & ~mask
        # What rounds beyond the largest number is cut off instead.
        limit = 1 << (width - 1) if signed else 1 << width
        overflows = (rounded < magnitude) & (half > 0) & (magnitude & ~mask > rounded)
        if signed:
            overflows |= rounded >= unsigned.type(limit)
        rounded = np.where(overflows, magnitude & ~mask, rounded)
        found = rounded if negative is None else np.where(negative, -rounded, rounded)
        size[...] = found

    def decode(self, chunk: Array) -> Array:
        return chunk

    def encode_fill(self, fill: Array) -> Array:
        step = BitroundStep((1,), self.dtype, self._keepbits)
        return step.encode(fill.reshape((1,))).reshape(())


def _bit_length(magnitude: Array) -> Array:
    length = np.zeros(magnitude.shape, np.int64)
    rest = magnitude.astype(np.uint64)
    for shift in (32, 16, 8, 4, 2, 1):
        high = rest >> np.uint64(shift)
        large = high > 0
        length += np.where(large, shift, 0)
        rest = np.where(large, high, rest)
    return length + (rest > 0)

"""Elements of a few bits, packed without gaps: the codec ``packbits``.

The bits of an element, from the least significant on, follow those of the element before it; the
bit string fills bytes from the least significant bit on, and ends with zeros. The number of these
can be told in a byte before or after it. Source: zarr-extensions, "packbits".
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import allocate, damaged, wrong_length
from asynctensor.storage.kvstore import Buffer

PADDING_ENCODINGS = ("none", "first_byte", "last_byte")
#: Components worked on at a time: a multiple of 8, so that each block ends at a byte.
_BLOCK = 2**16
_NARROW_BITS = {
    "bool": 1,
    "int2": 2, "uint2": 2,
    "int4": 4, "uint4": 4, "float4_e2m1fn": 4,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6,
}  # fmt: skip


def components(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], int]:
    """The type of the numbers that an element is, and how many it is: two if it is complex."""
    if dtype.kind == "c":
        return np.dtype(f"f{dtype.itemsize // 2}"), 2
    if dtype.names == ("real", "imag") and dtype.fields is not None:
        return dtype.fields["real"][0], 2
    return dtype, 1


def bits_of(dtype: np.dtype[Any]) -> int | None:
    """Bits of one component; None if elements are no numbers."""
    part, _ = components(dtype)
    if part.name in _NARROW_BITS:
        return _NARROW_BITS[part.name]
    is_number = part.kind in "iufmM" or part.type.__module__.startswith("ml_dtypes")
    return part.itemsize * 8 if is_number else None


class PackbitsCodec(ArrayCodec):
    """Packs and unpacks.

    Args:
        shape: Shape of the chunk.
        dtype: A type for which `bits_of` is known.
        first_bit: The first bit of a component that is kept.
        last_bit: The last one.
        padding_encoding: One of `PADDING_ENCODINGS`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        first_bit: int,
        last_bit: int,
        padding_encoding: str,
    ) -> None:
        self.shape, self.dtype = shape, dtype
        part, per_element = components(dtype)
        self._unsigned = np.dtype(f"u{part.itemsize}")
        self._first, self._kept = first_bit, last_bit - first_bit + 1
        self._width = bits_of(dtype) or 0
        self._signed = part.kind in "imM" or part.name in ("int2", "int4")
        self._count = prod(shape) * per_element
        self._padding = -self._count * self._kept % 8
        self._size = (self._count * self._kept + 7) // 8
        self._padding_encoding = padding_encoding
        self.encoded_size = self._size + (padding_encoding != "none")

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        view = memoryview(data)
        if len(view) != self.encoded_size:
            raise wrong_length("packbits", len(view), self.encoded_size)
        if self._padding_encoding != "none":
            first = self._padding_encoding == "first_byte"
            told = view[0 if first else -1]
            view = view[1:] if first else view[:-1]
            if told != self._padding:
                raise damaged("packbits", f"it says {told} bits of padding, not {self._padding}")
        found = allocate((self._count,), self._unsigned)
        packed = np.frombuffer(view, np.uint8) if self._size else np.empty(0, np.uint8)
        step = _BLOCK * self._kept // 8
        for block in range(-(-self._count // _BLOCK)):
            part = found[block * _BLOCK : (block + 1) * _BLOCK]
            self._unpack(packed[block * step : (block + 1) * step], part)
        chunk = found.view(self.dtype).reshape(self.shape)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out

    def _unpack(self, packed: Array, out: Array) -> None:
        bits = np.unpackbits(packed, count=len(out) * self._kept, bitorder="little")
        rows = np.packbits(bits.reshape(len(out), self._kept), axis=1, bitorder="little")
        whole = np.zeros((len(out), self._unsigned.itemsize), np.uint8)
        whole[:, : rows.shape[1]] = rows
        values = whole.view("<u8" if whole.shape[1] == 8 else f"<u{whole.shape[1]}").reshape(-1)
        shifted = values.astype(self._unsigned) << self._unsigned.type(self._first)
        if self._signed and self._unsigned.itemsize * 8 > self._first + self._kept:
            # The highest bit that was kept is repeated up to the highest of the type.
            sign = self._unsigned.type(1 << (self._first + self._kept - 1))
            shifted = (shifted ^ sign) - sign
            if self._width < 8:
                shifted &= self._unsigned.type((1 << self._width) - 1)
        out[...] = shifted

    def encode(self, chunk: Array) -> Buffer:
        values = np.ascontiguousarray(chunk).reshape(-1).view(self._unsigned)
        pieces = [
            self._pack(values[start : start + _BLOCK]) for start in range(0, self._count, _BLOCK)
        ]
        told = bytes([self._padding])
        if self._padding_encoding == "first_byte":
            pieces.insert(0, told)
        elif self._padding_encoding == "last_byte":
            pieces.append(told)
        return b"".join(pieces)

    def _pack(self, values: Array) -> bytes:
        little = (values >> self._unsigned.type(self._first)).astype(
            self._unsigned.newbyteorder("<")
        )
        rows = little.view(np.uint8).reshape(len(values), self._unsigned.itemsize)
        bits = np.unpackbits(rows, axis=1, bitorder="little")[:, : self._kept]
        return np.packbits(bits.reshape(-1), bitorder="little").tobytes()

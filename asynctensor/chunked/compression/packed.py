"""The codec of most chunks: axes reordered, elements laid end to end, then steps on the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import BytesCodec, wrong_length
from asynctensor.storage.kvstore import Buffer

#: Types of less than a byte, one element to a byte: the bits that mean something.
_NARROW = {"int2": 0x03, "int4": 0x0F, "float4_e2m1fn": 0x0F}


class PackedCodec(ArrayCodec):
    """Decodes straight into the output where the stored elements are the output's own.

    Args:
        shape: Shape of the decoded chunk.
        dtype: Its native-endian data type.
        order: Axis ``i`` of what is stored is axis ``order[i]`` of the chunk; None: as it is.
        swapped: Whether elements are stored in the other byte order.
        steps: What is done to the bytes, in the order of encoding.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        order: Sequence[int] | None = None,
        swapped: bool = False,
        steps: Sequence[BytesCodec] = (),
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._order = None if order is None or _keeps_order(order, shape) else tuple(order)
        self._swapped = swapped and dtype.itemsize > 1
        self._steps = tuple(steps)
        self._cleaned = dtype.kind == "b" or dtype.name in _NARROW
        self.is_identity = not (self._order or self._swapped or self._steps or self._cleaned)
        self._nbytes = prod(shape) * dtype.itemsize
        #: Swapping is done on a type that NumPy can swap, which it cannot for ml_dtypes.
        self._work = dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")
        self._limits = self._largest_lengths()

    def _largest_lengths(self) -> list[int]:
        sizes = [self._nbytes]
        for step in self._steps:
            sizes.append(step.largest_encoding(sizes[-1]))
        return sizes

    @property
    def encoded_size(self) -> int | None:
        """Length in bytes of every encoded chunk, if they are all equally long."""
        size: int | None = self._nbytes
        for step in self._steps:
            size = None if size is None else step.encoded_size(size)
        return size

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        for i in range(len(self._steps) - 1, 0, -1):
            data = self._steps[i].decode(data, self._limits[i])
        if self._steps:
            step = self._steps[0]
            if out is not None and self._order is None:
                step.decode_into(data, bytes_of(out))
                self._repair(out)
                return out
            data = step.decode_exactly(data, self._nbytes)
        return self._reordered(self._as_array(data), out)

    def _as_array(self, data: Buffer) -> Array:
        if len(data) != self._nbytes:
            raise wrong_length("chunk", len(data), self._nbytes)
        # Not frombuffer with the dtype: it refuses an empty buffer.
        stored: Array = np.frombuffer(data, np.uint8) if self._nbytes else np.empty(0, np.uint8)
        if self._swapped:
            # Not in place: the bytes may be the caller's.
            stored = stored.view(self._work).byteswap().view(np.uint8)
        if self._cleaned:
            stored = _cleaned(stored, self.dtype.name)
        return stored.view(self.dtype).reshape(self._stored_shape())

    def _stored_shape(self) -> tuple[int, ...]:
        if self._order is None:
            return self.shape
        return tuple(self.shape[axis] for axis in self._order)

    def _repair(self, stored: Array) -> None:
        if self._swapped:
            stored.view(self._work).byteswap(inplace=True)
        if self._cleaned:
            flat = stored.reshape(-1).view(np.uint8)
            _cleaned(flat, self.dtype.name, flat)

    def _reordered(self, stored: Array, out: Array | None) -> Array:
        view = stored if self._order is None else stored.transpose(np.argsort(self._order))
        if out is None:
            return view
        np.copyto(out, view)
        return out

    def encode(self, chunk: Array) -> Buffer:
        stored = chunk if self._order is None else chunk.transpose(self._order)
        contiguous = np.ascontiguousarray(stored)
        if self._swapped:
            contiguous = contiguous.view(self._work).byteswap()
        data: Buffer = bytes_of(contiguous)
        for step in self._steps:
            data = step.encode(data)
        return data


def bytes_of(array: Array) -> memoryview:
    """The bytes of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _keeps_order(order: Sequence[int], shape: tuple[int, ...]) -> bool:
    """Whether the elements lie in the same order as before: axes of size 1 do not count."""
    moved = [axis for axis in order if shape[axis] != 1]
    return moved == sorted(moved)


def _cleaned(stored: Array, name: str, out: Array | None = None) -> Array:
    """Bytes that NumPy itself would have written for the elements; in `out` if given."""
    if name == "bool":
        truth = None if out is None else out.view(np.bool_)
        return np.not_equal(stored, 0, out=truth)
    return np.bitwise_and(stored, _NARROW[name], out=out)

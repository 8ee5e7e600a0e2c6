"""The codec of most chunks: axes reordered, elements laid end to end, then steps on the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec, Encoding
from asynctensor.chunked.compression.codec import BytesCodec, wrong_length
from asynctensor.storage.kvstore import Buffer

#: Types of less than a byte, one element to a byte: the bits that mean something.
_NARROW = {
    "int2": 0x03, "uint2": 0x03,
    "int4": 0x0F, "uint4": 0x0F, "float4_e2m1fn": 0x0F,
    "float6_e2m3fn": 0x3F, "float6_e3m2fn": 0x3F,
}  # fmt: skip


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
        self._cleaned = _Cleaning.of(dtype)
        changed = self._order or self._swapped or self._steps or self._cleaned
        self.is_identity = not changed
        self.encodes_apart = bool(self._steps) and self._steps[-1].encodes_apart
        self._nbytes = prod(shape) * dtype.itemsize
        #: Swapping is done on a type that NumPy can swap, which it cannot for ml_dtypes.
        self._work = _swappable(dtype)
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
            stored = self._cleaned(stored)
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
            self._cleaned(flat, flat)

    def _reordered(self, stored: Array, out: Array | None) -> Array:
        view = stored if self._order is None else stored.transpose(np.argsort(self._order))
        if out is None:
            return view
        np.copyto(out, view)
        return out

    def decode_each(
        self, values: Sequence[Buffer], chunks: Array, lead: memoryview | None = None
    ) -> list[int]:
        if len(self._steps) != 1 or self._order is not None or not self._nbytes:
            return super().decode_each(values, chunks)
        failed = self._steps[0].decode_each(values, bytes_of(chunks), self._nbytes, lead)
        self._repair(chunks)
        return failed

    def encode_each(self, chunks: Array) -> Sequence[Encoding]:
        if len(self._steps) != 1 or self._order is not None or not self._nbytes:
            return super().encode_each(chunks)
        stored = chunks.view(self._work).byteswap() if self._swapped else chunks
        return self._steps[0].encode_each(bytes_of(stored), self._nbytes)

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


def _swappable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.fields is not None and dtype.names is not None:
        fields = [(name, dtype[name]) for name in dtype.names]
        return np.dtype([(name, _swappable(inner.base), inner.shape) for name, inner in fields])
    if dtype.type.__module__.startswith("ml_dtypes"):
        return np.dtype(f"u{dtype.itemsize}")
    return dtype


class _Cleaning:
    """Gives elements the bytes that NumPy itself would have written for them.

    Stored bytes may have bits that mean nothing: NumPy compares and casts by all of them.

    Args:
        mask: Per byte of an element, the bits that mean something.
        truths: Positions of bytes that are true or false.
    """

    def __init__(self, mask: Array, truths: Array) -> None:
        self._mask, self._truths = mask, truths
        self._is_bool = len(mask) == 1 and len(truths) == 1

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> _Cleaning | None:
        """For elements of `dtype`; None if all bits of it mean something."""
        mask = np.full(dtype.itemsize, 0xFF, np.uint8)
        truths: list[int] = []
        _mark(dtype, 0, mask, truths)
        if not truths and bool((mask == 0xFF).all()):
            return None
        return cls(mask, np.array(truths, np.intp))

    def __call__(self, stored: Array, out: Array | None = None) -> Array:
        """Cleans flat bytes, into `out` if given (which may be `stored`)."""
        if self._is_bool:
            return np.not_equal(stored, 0, out=None if out is None else out.view(np.bool_))
        rows = stored.reshape(-1, len(self._mask))
        found = np.bitwise_and(rows, self._mask, out=None if out is None else rows)
        if len(self._truths):
            found[:, self._truths] = found[:, self._truths] != 0
        return found.reshape(-1)


def _mark(dtype: np.dtype[Any], start: int, mask: Array, truths: list[int]) -> None:
    if dtype.subdtype is not None:
        base = dtype.base
        for k in range(prod(dtype.shape) if _Cleaning.of(base) else 0):
            _mark(base, start + k * base.itemsize, mask, truths)
    elif dtype.fields is not None:
        for field in dtype.fields.values():
            _mark(field[0], start + field[1], mask, truths)
    elif dtype.kind == "b":
        truths.append(start)
    elif dtype.name in _NARROW:
        mask[start] = _NARROW[dtype.name]

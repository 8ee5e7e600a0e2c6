"""Steps from array to array, and the codec that does them before something makes bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import BytesCodec, allocate, damaged
from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import Buffer

#: Elements without a fixed size may decode to so many bytes ...
_VARIABLE_BYTES = 64 * 2**20
#: ... or to so many times what is stored, which is more than deflate can reach.
_VARIABLE_RATIO = 1100


class ArrayStep(ABC):
    """One step from array to array. Immutable, and safe in any thread.

    Attributes:
        shape: Shape of a decoded chunk.
        dtype: Its data type, native-endian.
        encoded_shape: Shape of the encoded chunk.
        encoded_dtype: Its data type, native-endian.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    encoded_shape: tuple[int, ...]
    encoded_dtype: np.dtype[Any]

    @abstractmethod
    def encode(self, chunk: Array) -> Array:
        """The encoded form of a chunk of `shape` and `dtype`; may be a view of it.

        Raises:
            InvalidArgument: An element has no encoding.
        """

    @abstractmethod
    def decode(self, chunk: Array) -> Array:
        """The chunk of which this is the encoded form; may be a view of it.

        Raises:
            DataLoss: It is the encoded form of none.
        """

    def encode_fill(self, fill: Array) -> Array:
        """What a fill value (0-dimensional) becomes.

        Raises:
            InvalidArgument: It has no encoding.
        """
        return fill


class TransposeStep(ArrayStep):
    """Axis ``i`` of the encoded chunk is axis ``order[i]`` of the decoded one."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Sequence[int]) -> None:
        self.shape, self.dtype, self.encoded_dtype = shape, dtype, dtype
        self.encoded_shape = tuple(shape[axis] for axis in order)
        self._order = tuple(order)
        self._inverse = tuple(int(axis) for axis in np.argsort(order))

    def encode(self, chunk: Array) -> Array:
        return chunk.transpose(self._order)

    def decode(self, chunk: Array) -> Array:
        return chunk.transpose(self._inverse)


class ReshapeStep(ArrayStep):
    """The same elements in the same C order, in another shape."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], encoded_shape: tuple[int, ...]
    ) -> None:
        assert prod(shape) == prod(encoded_shape)
        self.shape, self.dtype, self.encoded_dtype = shape, dtype, dtype
        self.encoded_shape = encoded_shape

    def encode(self, chunk: Array) -> Array:
        return chunk.reshape(self.encoded_shape)

    def decode(self, chunk: Array) -> Array:
        return chunk.reshape(self.shape)


class JoinStep(ArrayStep):
    """Bytes along a last dimension as one element of raw bytes."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self.encoded_shape = shape[:-1]
        self.encoded_dtype = np.dtype(f"V{shape[-1] * dtype.itemsize}")

    def encode(self, chunk: Array) -> Array:
        joined = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1)
        return joined.view(self.encoded_dtype).reshape(self.encoded_shape)

    def decode(self, chunk: Array) -> Array:
        return np.ascontiguousarray(chunk).reshape(-1).view(self.dtype).reshape(self.shape)


class ChainCodec(ArrayCodec):
    """Array steps, a codec to bytes, and steps on the bytes.

    Args:
        arrays: Steps on the array, in the order of encoding.
        serializer: What makes bytes of what they give.
        steps: Steps on the bytes, in the order of encoding.
        largest: A length in bytes that no reasonable encoding by `serializer` exceeds; None where
            elements have no fixed size: what is stored is the measure then.
    """

    def __init__(
        self,
        arrays: Sequence[ArrayStep],
        serializer: ArrayCodec,
        steps: Sequence[BytesCodec] = (),
        largest: int | None = None,
    ) -> None:
        first = arrays[0] if arrays else serializer
        self.shape, self.dtype = first.shape, first.dtype
        self._arrays, self._serializer, self._steps = tuple(arrays), serializer, tuple(steps)
        self._largest = largest

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        limits = self._limits(len(data))
        for step, limit in zip(reversed(self._steps), reversed(limits[:-1]), strict=True):
            data = step.decode(data, limit)
        direct = out if not self._arrays else None
        chunk = self._serializer.decode(data, direct)
        for array_step in reversed(self._arrays):
            chunk = array_step.decode(chunk)
        if chunk.shape != self.shape or chunk.dtype != self.dtype:
            raise damaged("chunk", f"it decodes to {chunk.dtype} of shape {chunk.shape}")
        if out is None or chunk is out:
            return chunk
        np.copyto(out, chunk)
        return out

    def _limits(self, stored: int) -> list[int]:
        """Longest form before each step, and after the last."""
        if self._largest is None:
            return [_VARIABLE_BYTES + _VARIABLE_RATIO * stored] * (len(self._steps) + 1)
        limits = [self._largest]
        for step in self._steps:
            limits.append(step.largest_encoding(limits[-1]))
        return limits

    def encode(self, chunk: Array) -> Buffer:
        for array_step in self._arrays:
            chunk = array_step.encode(chunk)
        data = self._serializer.encode(chunk)
        for step in self._steps:
            data = step.encode(data)
        return data


def array_of(data: Buffer, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """The elements that `data` is, native-endian, in C order.

    Raises:
        DataLoss: It has another length.
    """
    size = prod(shape) * dtype.itemsize
    if len(data) != size:
        raise DataLoss(f"chunk: the data decodes to {len(data)} bytes, expected {size}")
    if not size:
        return allocate(shape, dtype)
    return np.frombuffer(data, np.uint8).view(dtype).reshape(shape)

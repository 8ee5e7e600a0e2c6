"""numcodecs' codecs from arrays to arrays, and as zarr v2 has them, between bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.array_step import ArrayStep, array_of
from asynctensor.chunked.compression.bitround import MANTISSA_BITS, BitroundStep
from asynctensor.chunked.compression.codec import BytesCodec, damaged, wrong_length
from asynctensor.chunked.compression.numcodecs_library import FAILURES, numcodecs_object
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.chunked.compression.packed import bytes_of
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.storage.kvstore import Buffer


class NumcodecsFilter(ArrayStep):
    """A codec out of `numcodecs_spec.ARRAYS`, or ``categorize``.

    Args:
        spec: The codec; what it does not say is completed from `dtype`.
        shape: Shape of the decoded chunk.
        dtype: Its data type, of the byte order that the codec is to see.

    Raises:
        InvalidArgument: Its members do not fit the data type.
    """

    def __init__(self, spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = spec.id, shape, dtype
        values = spec.values
        self.encoded_shape, self.encoded_dtype = shape, dtype
        if spec.id == "packbits":
            decoded = np.dtype(bool)
            self.encoded_shape, self.encoded_dtype = (1 + (prod(shape) + 7) // 8,), np.dtype("u1")
        elif spec.id == "bitround":
            decoded = dtype
            if dtype.kind != "f" or not values["keepbits"] <= MANTISSA_BITS.get(dtype.name, -1):
                raise InvalidArgument(f"bitround: cannot keep {values['keepbits']} bits of {dtype}")
        else:
            said, encoded = ("decode_dtype", "encode_dtype") if spec.id == "astype" else (
                "dtype", "astype",
            )  # fmt: skip
            values.setdefault(said, dtype.str)
            if values[said] != "|O":
                values.setdefault(encoded, values[said])
            decoded = np.dtype(values[said])
            self.encoded_dtype = np.dtype(values.get(encoded, "u1"))
        if decoded != dtype:
            raise InvalidArgument(
                f'the codec "{spec.id}" is for elements of type {decoded.str}, here are {dtype.str}'
            )
        self._codec = numcodecs_object(spec, values)

    def encode(self, chunk: Array) -> Array:
        flat = np.ascontiguousarray(chunk).reshape(-1)
        if not flat.size and self.name != "packbits":
            return flat.astype(self.encoded_dtype).reshape(self.encoded_shape)
        try:
            with np.errstate(all="ignore"):
                encoded = self._codec.encode(flat)
            return _as(encoded, self.encoded_dtype, self.encoded_shape)
        except FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error

    def decode(self, chunk: Array) -> Array:
        flat = np.ascontiguousarray(chunk).reshape(-1)
        if not flat.size:
            return flat.astype(self.dtype).reshape(self.shape)
        try:
            with np.errstate(all="ignore"):
                decoded = self._codec.decode(flat)
            return _as(decoded, self.dtype, self.shape)
        except FAILURES as error:
            raise damaged(self.name, error) from error

    def encode_fill(self, fill: Array) -> Array:
        if self.name in ("fixedscaleoffset", "quantize", "astype", "bitround"):
            with np.errstate(all="ignore"):
                encoded = np.asarray(self._codec.encode(fill.reshape((1,))))
            return encoded.reshape(-1).view(self.encoded_dtype).reshape(())
        # The others do not encode one element by itself.
        return np.zeros((), self.encoded_dtype)


def _as(found: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    array = np.ascontiguousarray(found).reshape(-1)
    if array.dtype != dtype:
        array = array.view(dtype)
    return array.reshape(shape)


class FilterStep(BytesCodec):
    """An array filter between bytes, as zarr v2 has them: it says itself what the elements are.

    Args:
        array_step: The filter, of one-dimensional chunks.
    """

    def __init__(self, name: str, array_step: ArrayStep) -> None:
        self.name = name
        self._step = array_step
        self._decoded = prod(array_step.shape) * array_step.dtype.itemsize
        self._encoded = prod(array_step.encoded_shape) * array_step.encoded_dtype.itemsize

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        if size != self._decoded:
            raise wrong_length(self.name, self._decoded, size)
        return self.decode(data, size)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        if self._decoded > limit:
            raise wrong_length(self.name, self._decoded, limit)
        if len(data) != self._encoded:
            raise DataLoss(f"{self.name}: {len(data)} bytes came, expected {self._encoded}")
        step = self._step
        decoded = step.decode(array_of(data, step.encoded_dtype, step.encoded_shape))
        return bytes_of(np.ascontiguousarray(decoded))

    def encode(self, data: Buffer) -> Buffer:
        step = self._step
        encoded = step.encode(array_of(data, step.dtype, step.shape))
        return bytes_of(np.ascontiguousarray(encoded))

    def encoded_size(self, size: int) -> int | None:
        return self._encoded if size == self._decoded else None

    def largest_encoding(self, size: int) -> int:
        del size
        return self._encoded


def build_filter(spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayStep:
    """A codec out of `numcodecs_spec.ARRAYS` for chunks of `shape` and `dtype`.

    Raises:
        InvalidArgument: Its members do not fit them.
    """
    if spec.id == "bitround" and dtype.name in MANTISSA_BITS:
        keepbits = spec.values["keepbits"]
        if 1 <= keepbits <= MANTISSA_BITS[dtype.name] and dtype.isnative:
            return BitroundStep(shape, dtype, keepbits)
    return NumcodecsFilter(spec, shape, dtype)

"""numcodecs' codecs from arrays to bytes: ``pcodec`` and ``zfpy``."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import allocate, damaged
from asynctensor.chunked.compression.numcodecs_library import (
    FAILURES,
    library_of,
    numcodecs_object,
)
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer


class NumcodecsSerializer(ArrayCodec):
    """``pcodec`` or ``zfpy``: numbers to bytes that say how many they are.

    Args:
        spec: The codec.
        shape: Shape of the chunk.
        dtype: Its data type.

    Raises:
        InvalidArgument: It cannot hold such numbers.
        Unimplemented: Its library is not installed.
    """

    def __init__(self, spec: Numcodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = spec.id, shape, dtype
        allowed = "iuf" if spec.id == "pcodec" else "if"
        widths = (2, 4, 8) if spec.id == "pcodec" else (4, 8)
        if dtype.kind not in allowed or dtype.itemsize not in widths:
            raise InvalidArgument(f'the codec "{spec.id}" is not for elements of type {dtype.name}')
        if spec.id == "zfpy" and not 1 <= len(shape) <= 4:
            raise InvalidArgument(f'the codec "zfpy" is for 1 to 4 dimensions, not {len(shape)}')
        # numcodecs' own class of zfpy does not know all modes.
        self._codec = numcodecs_object(spec, spec.values) if spec.id == "pcodec" else None
        self._library = library_of(spec.id, "zfpy" if spec.id == "zfpy" else "pcodec.standalone")
        self._zfpy_options = _zfpy_options(spec.values)

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        if not prod(self.shape):
            return allocate(self.shape, self.dtype)
        decode = self._decode_zfpy if self.name == "zfpy" else self._decode_pcodec
        try:
            chunk = decode(bytes(data))
        except FAILURES as error:
            raise damaged(self.name, error) from error
        if chunk.size != prod(self.shape) or chunk.dtype != self.dtype:
            raise damaged(self.name, f"it holds {chunk.dtype} of shape {chunk.shape}")
        chunk = chunk.reshape(self.shape)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out

    def _decode_pcodec(self, data: bytes) -> Array:
        flat = allocate((prod(self.shape),), self.dtype)
        progress = self._library.simple_decompress_into(data, flat)
        if progress.n_processed != flat.size or not progress.finished:
            raise damaged(self.name, f"it does not hold {flat.size} numbers")
        return flat

    def _decode_zfpy(self, data: bytes) -> Array:
        header = self._library.header(data)
        sizes = [n for n in (header["nx"], header["ny"], header["nz"], header["nw"]) if n]
        if prod(sizes) != prod(self.shape) or np.dtype(header["type"]) != self.dtype:
            raise damaged(self.name, f"its header says {header['type']} of shape {sizes[::-1]}")
        # The library does not know where the stream ends, and must not read beyond it: a block of
        # 4 to the power of the rank takes at most twice its own size.
        bits = 2 * 8 * self.dtype.itemsize * 4 ** len(sizes) + 128
        if header["config"]["expert"]["minbits"] > bits:
            raise damaged(self.name, "its blocks are longer than any can be")
        blocks = prod(-(-n // 4) for n in sizes)
        found: Array = self._library.decompress_numpy(data + bytes(blocks * bits // 8 + 1024))
        return found

    def encode(self, chunk: Array) -> Buffer:
        if not chunk.size:
            return b""
        try:
            contiguous = np.ascontiguousarray(chunk)
            if self._codec is not None:
                encoded: Buffer = self._codec.encode(contiguous)
            else:
                encoded = self._library.compress_numpy(
                    contiguous, write_header=True, **self._zfpy_options
                )
        except FAILURES as error:
            raise InvalidArgument(f"{self.name}: {error}") from error
        return encoded


def _zfpy_options(values: dict[str, Any]) -> dict[str, Any]:
    """What zfpy calls a codec's mode and its one parameter; numcodecs' default is accuracy."""
    name = {2: "rate", 3: "precision", 5: None}.get(values.get("mode", 4), "tolerance")
    return {} if name is None else {name: values.get(name, -1)}

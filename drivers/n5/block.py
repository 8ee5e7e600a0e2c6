"""Blocks: what N5 stores under one key, a header and the encoded elements.

All numbers are big-endian::

    block    = header payload
    header   = mode ndim *size [ count ]
    mode     = u16                ; 0: default, 1: variable length, 2: serialized object
    ndim     = u16                ; number of dimensions of the dataset
    size     = u32                ; of this block, one per dimension, at most its blockSize
    count    = u32                ; number of elements, only if mode is 1
    payload  = the elements, the first dimension varying fastest, compressed

A block at the upper edge of the dataset may be cut off there, or have the full size; blocks of both
kinds lie in one dataset. What a block lacks reads as 0. Source: N5 specification, "File-system
specification", number 9.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import BytesCodec, allocate
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import Buffer

_START = struct.Struct(">HH")
_SIZE = struct.Struct(">I")
_DEFAULT, _VARIABLE = 0, 1


class BlockCodec(ArrayCodec):
    """Decodes blocks of any legal size into chunks of the full one, and writes only full ones.

    Args:
        shape: The dataset's block size.
        dtype: Its native-endian data type.
        steps: What is done to the elements' bytes, in the order of encoding.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], steps: Sequence[BytesCodec]
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._steps = tuple(steps)
        self._elements = self._packed(shape)
        self._header = _START.pack(_DEFAULT, len(shape)) + b"".join(map(_SIZE.pack, shape))

    def _packed(self, shape: tuple[int, ...]) -> PackedCodec:
        return PackedCodec(
            shape,
            self.dtype,
            order=range(len(shape) - 1, -1, -1),
            swapped=sys.byteorder == "little",
            steps=self._steps,
        )

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        shape, start = self._read_header(data)
        payload = memoryview(data)[start:]
        if shape == self.shape:
            return self._elements.decode(payload, out)
        block = self._packed(shape).decode(payload)
        chunk = allocate(self.shape, self.dtype) if out is None else out
        chunk[...] = 0
        chunk[tuple(slice(size) for size in shape)] = block
        return chunk

    def _read_header(self, data: Buffer) -> tuple[tuple[int, ...], int]:
        """The block's size, and where its payload begins."""
        rank = len(self.shape)
        end = len(self._header)
        if len(data) < end:
            raise DataLoss(f"the block has {len(data)} bytes, its header alone takes {end}")
        mode, ndim = _START.unpack_from(data)
        if mode not in (_DEFAULT, _VARIABLE):
            what = "a serialized object, which is no array" if mode == 2 else "not a known one"
            raise DataLoss(f"the block's header says mode {mode}: {what}")
        if ndim != rank:
            raise DataLoss(f"the block's header says {ndim} dimensions, the array has {rank}")
        sizes = struct.unpack_from(f">{rank}I", data, _START.size)
        if any(size > limit for size, limit in zip(sizes, self.shape, strict=True)):
            raise DataLoss(
                f"the block's header says a size of {list(sizes)}, which exceeds the array's "
                f"blockSize of {list(self.shape)}"
            )
        if mode == _VARIABLE:
            self._check_count(data, end, sizes)
            end += _SIZE.size
        return sizes, end

    def _check_count(self, data: Buffer, at: int, sizes: tuple[int, ...]) -> None:
        if len(data) < at + _SIZE.size:
            raise DataLoss(f"the block has {len(data)} bytes, too few for its header")
        (count,) = _SIZE.unpack_from(data, at)
        if count != prod(sizes):
            raise DataLoss(
                f"the block is of variable length: {count} elements for a size of {list(sizes)}; "
                "only blocks with one element per position can be read as an array"
            )

    def encode(self, chunk: Array) -> Buffer:
        return b"".join((self._header, self._elements.encode(chunk)))

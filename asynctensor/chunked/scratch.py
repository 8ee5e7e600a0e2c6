"""Buffers that a worker thread uses again and again.

A fresh buffer per chunk costs about a third of a read: the kernel hands out its pages one by one.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.runtime.reused_memory import ENCODINGS, OUTPUTS, reused_memory

#: Larger buffers are not kept: they would stay for the life of the thread.
_KEPT_BYTES = 16 * 2**20
#: Bytes before each buffer of stored bytes, for codecs that decode several values as one.
LEAD = 4096


class Scratch(threading.local):
    """Two reusable buffers per thread: one for stored bytes, one for a decoded chunk.

    What a method returns is valid until the same thread calls that method again.
    """

    def __init__(self) -> None:
        self._encoded = np.empty(LEAD, np.uint8)
        self._decoded = np.empty(0, np.uint8)

    def encoded(self, size: int) -> memoryview:
        """A writable buffer of `size` bytes with arbitrary content."""
        size += LEAD
        if self._encoded.size < size:
            buffer = aligned_empty(size)
            if size > _KEPT_BYTES:
                return buffer.data[LEAD:]
            self._encoded = buffer
        return self._encoded.data[LEAD:size]

    @property
    def lead(self) -> memoryview:
        """Writable bytes before the last buffer of `encoded`, in its memory, if that is kept."""
        return self._encoded.data[:LEAD]

    def decoded(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A writable C-contiguous array with arbitrary content; fresh if it is of objects."""
        if dtype.hasobject:
            return np.empty(shape, dtype)
        size = math.prod(shape) * dtype.itemsize
        if self._decoded.size < size:
            buffer = aligned_empty(size)
            if size > _KEPT_BYTES:
                return buffer.view(dtype).reshape(shape)
            self._decoded = buffer
        return self._decoded[:size].view(dtype).reshape(shape)


def aligned_empty(size: int) -> Array:
    """`size` fresh bytes, aligned to 64 (what TensorFlow and JAX need to adopt them)."""
    raw = np.empty(size + 64, np.uint8)
    start = -int(raw.__array_interface__["data"][0]) % 64
    return raw[start : start + size]


def new_encoding(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A C-contiguous array with arbitrary content that will be stored as it stands.

    Its memory is used again when neither it nor a view of it is left.
    """
    lent = None
    if not dtype.hasobject:
        lent = reused_memory(math.prod(shape) * dtype.itemsize, ENCODINGS)
    return np.empty(shape, dtype) if lent is None else lent.view(dtype).reshape(shape)


def new_output(shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C") -> Array:
    """An array to hand out: 64-byte aligned, writable, with arbitrary content.

    Its memory is never used for anything else as long as somebody refers to it.
    """
    if dtype.hasobject:
        return np.empty(shape, dtype, "F" if order == "F" else "C")
    size = math.prod(shape) * dtype.itemsize
    lent = reused_memory(size, OUTPUTS)
    flat = (aligned_empty(size) if lent is None else lent).view(dtype)
    if order == "F":
        return flat.reshape(shape[::-1]).transpose()
    return flat.reshape(shape)

"""Codecs of arrays that users wrote: from arrays to arrays, and from arrays to bytes.

Their functions get arrays that cannot be written, and run on worker threads alone. What they raise
arrives as it is; what they give is checked for its shape and data type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.array_step import ArrayStep
from asynctensor.chunked.compression.user_codec import (
    UserCodec,
    UserObject,
    bytes_given,
    definition_of,
)
from asynctensor.errors import IncompatibleType
from asynctensor.storage.kvstore import Buffer


class UserFilter(ArrayStep):
    """A codec from arrays to arrays of the same shape.

    Args:
        codec: The codec.
        shape: Shape of a chunk.
        dtype: Its data type.
    """

    def __init__(self, codec: UserCodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        definition = definition_of(codec)
        self.shape = self.encoded_shape = shape
        self.dtype = self.encoded_dtype = dtype
        if definition.encoded_dtype is not None:
            self.encoded_dtype = definition.encoded_dtype
        self._name, self._object = codec.name, UserObject(codec, definition)

    def encode(self, chunk: Array) -> Array:
        found = self._object.call("encode", _protected(chunk))
        return _checked(self._name, "encode", found, self.shape, self.encoded_dtype)

    def decode(self, chunk: Array) -> Array:
        found = self._object.call("decode", _protected(chunk))
        return _checked(self._name, "decode", found, self.shape, self.dtype)


class UserSerializer(ArrayCodec):
    """A codec from arrays to bytes; its ``decode(data, shape, dtype)`` is told what to give.

    Args:
        codec: The codec.
        shape: Shape of a chunk.
        dtype: Its data type.
    """

    def __init__(self, codec: UserCodec, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._name, self._object = codec.name, UserObject(codec, definition_of(codec))

    def encode(self, chunk: Array) -> Buffer:
        return bytes_given(self._name, "encode", self._object.call("encode", _protected(chunk)))

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        found = self._object.call("decode", bytes(data), self.shape, self.dtype)
        chunk = _checked(self._name, "decode", found, self.shape, self.dtype)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out


def _protected(chunk: Array) -> Array:
    view = chunk.view()
    view.flags.writeable = False
    return view


def _checked(
    codec: str, function: str, found: object, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    if not isinstance(found, np.ndarray):
        raise IncompatibleType(
            f'{function} of the codec "{codec}" must give an array, but gave: {found!r:.200}'
        )
    if found.shape != shape or found.dtype != dtype:
        raise IncompatibleType(
            f'{function} of the codec "{codec}" must give {dtype} of shape {shape}, but gave '
            f"{found.dtype} of shape {found.shape}"
        )
    return found

"""Strings of any length: the codecs ``vlen-utf8`` and ``vlen-bytes``.

```
chunk   = count element*            count: uint32, little-endian; elements in C order
element = length byte*              length: uint32, little-endian
```

Source: zarr-extensions, "vlen-utf8" and "vlen-bytes"; numcodecs' codecs of these names.
"""

from __future__ import annotations

import importlib
import struct
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.codec import allocate, damaged
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer

#: Compiled, and without types.
_vlen: Any = importlib.import_module("numcodecs.vlen")
_COUNT = struct.Struct("<I")
_MAX_LENGTH = 2**31 - 1
#: Length prefix of one element.
_PREFIX = 4


class VlenCodec(ArrayCodec):
    """Arrays of str or bytes.

    Args:
        shape: Shape of the chunk.
        element: str (encoded as UTF-8) or bytes.
    """

    def __init__(self, shape: tuple[int, ...], element: type[str | bytes]) -> None:
        self.shape = shape
        self.dtype = np.dtype(object)
        self._element = element
        self._name = "vlen-utf8" if element is str else "vlen-bytes"
        self._codec: Any = _vlen.VLenUTF8() if element is str else _vlen.VLenBytes()
        self._count = prod(shape)

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        if len(data) < _COUNT.size + _PREFIX * self._count:
            raise damaged(self._name, f"{len(data)} bytes are too few for {self._count} elements")
        (count,) = _COUNT.unpack_from(data)
        if count != self._count:
            raise damaged(self._name, f"it says {count} elements, expected {self._count}")
        found = allocate((count,), self.dtype)
        if count:
            try:
                # It checks lengths against the end; the count was left to us.
                self._codec.decode(bytes(data), found)
            except (ValueError, TypeError, OverflowError) as error:
                raise damaged(self._name, error) from error
        chunk = found.reshape(self.shape)
        if out is None:
            return chunk
        np.copyto(out, chunk)
        return out

    def encode(self, chunk: Array) -> Buffer:
        elements = np.ascontiguousarray(chunk).reshape(-1)
        if not elements.size:
            return _COUNT.pack(0)
        for element in elements:
            # The C code takes None and 0 for an empty string.
            if not isinstance(element, self._element) or len(element) > _MAX_LENGTH:
                raise InvalidArgument(
                    f"{self._name}: expected {self._element.__name__}, got {element!r:.80}"
                )
        try:
            encoded: Buffer = self._codec.encode(elements)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidArgument(f"{self._name}: {error}") from error
        return encoded

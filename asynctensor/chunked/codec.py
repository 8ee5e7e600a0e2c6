"""The contract of what turns one chunk into bytes and back, on a worker thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import Buffer

Array: TypeAlias = npt.NDArray[Any]
#: Encoded bytes, perhaps in pieces.
Encoding: TypeAlias = "Buffer | tuple[Buffer, ...]"


class ArrayCodec(ABC):
    """Encodes chunks of one fixed shape and data type. Immutable, and safe in any thread.

    Attributes:
        shape: Shape of the decoded chunk.
        dtype: Its data type, native-endian.
        is_identity: Whether the encoded bytes are just the chunk in C order, native-endian.
        encodes_apart: Whether what `encode` gives is never a view of the chunk.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_identity: bool = False
    encodes_apart: bool = False

    @abstractmethod
    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        """The chunk that `data` encodes.

        Args:
            data: The stored bytes, not trusted; not kept by the codec, but the array returned
                may be a view of them when `out` is None.
            out: C-contiguous, writable, of `shape` and `dtype`: filled and returned.

        Returns:
            `out`, or an array of `shape` and `dtype`, possibly read-only and not C-contiguous.

        Raises:
            DataLoss: The bytes are not an encoding of such a chunk. Never allocates more than
                the chunk (and its codecs' intermediate forms) can take.
        """

    @abstractmethod
    def encode(self, chunk: Array) -> Buffer:
        """The bytes for `chunk` (of `shape` and `dtype`, any strides); may be a view of it."""

    def decode_each(
        self, values: Sequence[Buffer], chunks: Array, lead: memoryview | None = None
    ) -> list[int]:
        """Decodes several values at once: less than as many calls of `decode` cost.

        Args:
            values: The stored bytes of each.
            chunks: C-contiguous, shape ``(len(values), *shape)``; filled.
            lead: Bytes that may be written to, and lie before those of `values` that are in the
                same memory; None: there are none.

        Returns:
            Numbers of the values that are no encoding of a chunk; what their chunks hold is
            undefined.
        """
        failed = []
        for k, data in enumerate(values):
            try:
                self.decode(data, chunks[k])
            except DataLoss:
                failed.append(k)
        return failed

    def encode_each(self, chunks: Array) -> Sequence[Encoding]:
        """The bytes for several chunks (C-contiguous, one behind the other); none is a view."""
        return [self.encode_apart(chunk) for chunk in chunks]

    def encode_apart(self, chunk: Array) -> Buffer:
        """`encode`, whose outcome is no view of the chunk: its memory may be written again."""
        encoded = self.encode(chunk)
        if self.encodes_apart or isinstance(encoded, bytes | bytearray):
            return encoded
        return bytes(encoded)

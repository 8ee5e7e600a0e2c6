"""What a transaction wrote to a chunk, where it was moved out of memory."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.codec import Array
from asynctensor.chunked.written_part import WrittenPart
from asynctensor.storage.stash import Stash, StoredValue


class MovedChunk:
    """One chunk, or the written elements of one, in a stash.

    Args:
        stash: Where it is.
        value: What it is there: the encoded chunk, or the elements in C order; None: the chunk is
            not to be stored.
        part: Which elements; None: all.
    """

    __slots__ = ("part", "stash", "value")

    def __init__(self, stash: Stash, value: StoredValue | None, part: bytes | None) -> None:
        self.stash, self.value, self.part = stash, value, part

    async def read(self, key: str) -> bytes | None:
        """The bytes.

        Raises:
            DataLoss: They are gone, or damaged.
            Error: The store failed.
        """
        return None if self.value is None else await self.stash.read(key, self.value)

    def marks(self, array: ChunkedArray) -> Array:
        """Which elements were written, of those of a chunk."""
        assert self.part is not None
        mask = WrittenPart.decode(self.part, array.layout.chunk_shape).mask
        assert mask is not None
        return mask

    def elements(self, array: ChunkedArray, data: bytes) -> tuple[Array, Array]:
        """The written elements in a chunk of their own, and which they are."""
        layout, mask = array.layout, self.marks(array)
        values: Array = np.empty(layout.chunk_shape, layout.dtype)
        values[...] = layout.fill_value
        values[mask] = np.frombuffer(data, layout.dtype)
        return values, mask

"""What a transaction writes to one chunk: patches with data of their own, applied at the commit."""

from __future__ import annotations

import threading

import numpy as np

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.update import Patch, apply, chunk_of, encode_chunk, updated_value
from asynctensor.storage.kvstore import whole
from asynctensor.transaction.staged_value import StagedValue

#: From so many patches on they are folded into one masked chunk, which bounds their memory.
_FOLD = 32


class StagedChunk(StagedValue):
    """A masked write of one chunk. Thread-safe.

    Attributes:
        array: The array, as the transaction sees it.
    """

    def __init__(
        self, array: ChunkedArray, index: tuple[int, ...], before: StagedValue | None
    ) -> None:
        self.array = array
        self._before = before
        self._index = index
        self._lock = threading.Lock()
        self._patches: list[Patch] = []
        self._covered = False
        self._values: Array | None = None
        self._mask: Array | None = None

    def add(self, data: Array, partition: Partition, cell: Cell) -> None:
        """Adds a patch; `data` belongs to the transaction from now on."""
        with self._lock:
            if partition.is_full(cell):
                self._patches.clear()
                self._values = self._mask = None
                self._covered = True
            self._patches.append((data, partition, cell))
            if len(self._patches) >= _FOLD:
                self._fold()

    def _fold(self) -> None:
        layout = self.array.layout
        if self._values is None or self._mask is None:
            self._values = np.empty(layout.chunk_shape, layout.dtype)
            self._values[...] = layout.fill_value
            self._mask = np.zeros(layout.chunk_shape, np.bool_)
        apply(self._patches, self._values)
        for data, partition, cell in self._patches:
            marks = np.broadcast_to(np.True_, data.shape)
            partition.scatter(marks, self._mask, cell)
        self._patches = []

    @property
    def needs_current(self) -> bool:
        """Whether some element of the chunk is not written."""
        with self._lock:
            if self._covered:
                return False
        return self._before is None or self._before.needs_current

    def committed(self) -> None:
        """What is cached of the chunk outside of the transaction is outdated."""
        if self.array.base is not None:
            self.array.base.forget(self._index)

    async def value(self, current: bytes | None) -> bytes | None:
        """The encoded chunk after the writes."""
        if self._before is not None and not self._covered:
            current = await self._before.value(current)
        done = ChunkStatistics()
        encoded = await self.array.workers.run(self._encoded, current, done)
        self.array.count(done)
        return encoded

    def _encoded(self, current: bytes | None, done: ChunkStatistics) -> bytes | None:
        with self._lock:
            patches = list(self._patches)
            values, mask = self._values, self._mask
            if values is None or mask is None:
                new = updated_value(self.array, self._index, patches, current, done)
            else:
                chunk = chunk_of(self.array, current)
                np.copyto(chunk, values, where=mask)
                apply(patches, chunk)
                new = encode_chunk(self.array, chunk, done)
            return None if new is None else bytes(whole(new))

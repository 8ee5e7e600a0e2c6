"""Writing in a transaction: nothing is encoded or stored, the data is kept by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import ViewRequest
from asynctensor.chunked.scratch import new_output
from asynctensor.chunked.staged_chunk import StagedChunk
from asynctensor.chunked.staged_tile import StagedTile
from asynctensor.chunked.tiles import ragged, tile_limit, tiles
from asynctensor.errors import Error
from asynctensor.runtime.workers import yield_gil
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.staged_value import StagedValue
from asynctensor.transaction.staging import Staging
from asynctensor.transaction.transaction import Transaction

#: Data up to this size is copied before `write` returns.
_INLINE_BYTES = 256 * 1024


class StagingWriter:
    """Serves the write requests of one array in one transaction, in the order they are made."""

    def __init__(self, array: ChunkedArray, store: StagedStore, transaction: Transaction) -> None:
        self._array, self._store, self._transaction = array, store, transaction
        self._queue = transaction.queue

    def submit(self, request: ViewRequest, plan: Callable[[], None] | None = None) -> None:
        """Stages `request`; `plan` gives it its partition, when that takes a while.

        Raises:
            FailedPrecondition, Unimplemented: See `Transaction.participant`.
        """
        # Refused now, if at all: once it waits here, the commit may begin, and waits for it.
        staging = self._store.staging()
        self._transaction.awaits(request.future)
        if plan is None and request.data.nbytes <= _INLINE_BYTES and self._queue.idle:
            self._queue.run(lambda: self._stage(request, staging, None))
        else:
            self._queue.post(self._array.workers, lambda: self._stage(request, staging, plan))

    def _stage(
        self, request: ViewRequest, staging: Staging, plan: Callable[[], None] | None
    ) -> None:
        try:
            if plan is not None:
                plan()
            data = self._own(request.data)
            for count, stage in self._steps(request.partition, data, staging):
                if not request.begin(count):
                    break
                try:
                    stage()
                finally:
                    request.finish(count)
                yield_gil()
        except Exception as error:  # noqa: BLE001
            if isinstance(error, Error):
                error.located(array=self._array.url, operation="write")
            request.fail(error)
        # Before the write is done: a commit waits for what it sets going.
        self._transaction.holds(request.data.nbytes)
        request.planned()

    def _own(self, data: Array) -> Array:
        """A copy that belongs to the transaction."""
        dtype = self._array.layout.dtype
        if data.dtype != dtype or not data.flags.c_contiguous:
            return np.array(data, dtype=dtype)
        own = new_output(data.shape, dtype)
        np.copyto(own, data)
        return own

    def _steps(
        self, partition: Partition, data: Array, staging: Staging
    ) -> Iterator[tuple[int, Callable[[], None]]]:
        """What is staged together: how many chunks, and what stages them."""
        for tile in tiles(partition, tile_limit(self._array.chunk_bytes)):
            box = StagedTile(data, partition, tile)
            yield tile.count, partial(self._stage_tile, staging, box)
        for cell in ragged(partition):
            yield 1, partial(self._stage_cell, staging, data, partition, cell)

    def _stage_tile(self, staging: Staging, box: StagedTile) -> None:
        array = self._array
        indices = box.tile.indices()

        def staged(number: int, before: StagedValue | None) -> StagedChunk:
            chunk = self._chunk(indices[number], before)
            chunk.cover(box, number)
            return chunk

        staging.stage_each([array.key(index) for index in indices], staged)

    def _stage_cell(self, staging: Staging, data: Array, partition: Partition, cell: Cell) -> None:
        index = partition.index(cell)
        key = self._array.key(index)
        staged = self._chunk(index, staging.staged(key))
        staged.add(data, partition, cell)
        staging.stage(key, staged)

    def _chunk(self, index: tuple[int, ...], before: StagedValue | None) -> StagedChunk:
        """What is staged for a chunk, to which more may be added."""
        if isinstance(before, StagedChunk) and before.array is self._array:
            return before
        return StagedChunk(self._array, index, before)

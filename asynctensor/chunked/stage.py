"""Writing in a transaction: nothing is encoded or stored, the data is kept by chunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import ViewRequest
from asynctensor.chunked.staged_chunk import StagedChunk
from asynctensor.errors import Error
from asynctensor.runtime.workers import yield_gil
from asynctensor.transaction.staged_store import StagedStore
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
            data = np.array(request.data, dtype=self._array.layout.dtype)
            partition = request.partition
            for cell in partition.cells():
                if not request.begin():
                    break
                try:
                    self._stage_cell(staging, data, partition, cell)
                finally:
                    request.finish()
                yield_gil()
        except Exception as error:  # noqa: BLE001
            if isinstance(error, Error):
                error.located(array=self._array.url, operation="write")
            request.fail(error)
        request.planned()

    def _stage_cell(self, staging: Staging, data: Array, partition: Partition, cell: Cell) -> None:
        index = partition.index(cell)
        key = self._array.key(index)
        staged = staging.staged(key)
        if not isinstance(staged, StagedChunk) or staged.array is not self._array:
            staged = StagedChunk(self._array, index, staged)
        staged.add(data, partition, cell)
        staging.stage(key, staged)

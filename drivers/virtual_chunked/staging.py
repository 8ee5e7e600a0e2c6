"""What a transaction writes to a virtual array: masked chunks, written at the commit."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import ViewRequest
from asynctensor.chunked.request import Request
from asynctensor.drivers.virtual_chunked.array import INLINE_BYTES, VirtualArray, copy_of
from asynctensor.drivers.virtual_chunked.write import VirtualWriter
from asynctensor.errors import Error
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.commit_domain import Commit, CommitDomain
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.transaction import Transaction


class MaskedChunk:
    """Some elements of one chunk; a `write.Part`. Thread-safe."""

    def __init__(self, array: VirtualArray, index: tuple[int, ...]) -> None:
        self._array, self._index = array, index
        self._lock = threading.Lock()
        self._values = array.layout.new_chunk(index)
        self._mask = np.zeros(self._values.shape, np.bool_)

    def add(self, data: Array, partition: Partition, cell: Cell) -> None:
        """Adds the part of a view's data that lies in the chunk."""
        with self._lock:
            partition.scatter(data, self._values, cell)
            if partition.is_full(cell):
                self._mask[...] = True
            else:
                partition.scatter(np.broadcast_to(np.True_, data.shape), self._mask, cell)

    @property
    def covers(self) -> bool:
        """See `Part.covers`."""
        with self._lock:
            return bool(self._mask.all())

    def apply(self, chunk: Array) -> None:
        """See `Part.apply`."""
        with self._lock:
            np.copyto(chunk, self._values, where=self._mask)


class StagedChunks(Participant):
    """All that one transaction has staged in one virtual array."""

    def __init__(self, array: VirtualArray) -> None:
        self._array = array
        self._lock = threading.Lock()
        self._chunks: dict[tuple[int, ...], MaskedChunk] = {}

    def add(self, data: Array, partition: Partition, cell: Cell) -> None:
        """Stages the part of a view's data that lies in `cell`."""
        index = partition.index(cell)
        with self._lock:
            chunk = self._chunks.get(index)
            if chunk is None:
                chunk = self._chunks[index] = MaskedChunk(self._array, index)
        chunk.add(data, partition, cell)

    def needs(self, index: tuple[int, ...]) -> bool:
        """Whether an element of the chunk at `index` is not staged."""
        chunk = self._chunks.get(index)
        return chunk is None or not chunk.covers

    def overlay(self, index: tuple[int, ...], base: Array | None) -> Array | None:
        """The chunk with what is staged; None if nothing is."""
        chunk = self._chunks.get(index)
        if chunk is None:
            return None
        found = (
            self._array.layout.new_chunk(index)
            if base is None
            else copy_of(self._array, index, base)
        )
        chunk.apply(found)
        return found

    # -- as a participant -------------------------------------------------------------------

    @property
    def commit_domain(self) -> CommitDomain | None:
        return None

    @property
    def description(self) -> str:
        return "a virtual array"

    async def prepare(self, shared: SharedTransaction | None = None) -> Commit:
        raise AssertionError("without a commit domain nothing is prepared")

    def is_final(self, key: str) -> bool:
        return False

    async def commit_isolated(self) -> None:
        for index, chunk in list(self._chunks.items()):
            request = Request[None](lambda: None)
            request.begin()
            request.planned()
            await VirtualWriter.of(self._array).write(index, [(request, chunk)])
            await request.future

    def committed(self) -> None:
        pass

    def discard(self) -> None:
        with self._lock:
            self._chunks.clear()


class VirtualStager:
    """Serves write requests in one transaction, in the order in which they are made."""

    def __init__(self, array: VirtualArray, transaction: Transaction) -> None:
        self._array, self._transaction = array, transaction

    @property
    def chunks(self) -> StagedChunks:
        """What was staged, by this handle and others of the same array and transaction."""
        name = f"virtual {id(self._array)}"
        return self._transaction.slot(name, lambda: StagedChunks(self._array))

    def needs(self, index: tuple[int, ...]) -> bool:
        """See `StagedChunks.needs`."""
        return self.chunks.needs(index)

    def overlay(self, index: tuple[int, ...], base: Array | None) -> Array | None:
        """See `StagedChunks.overlay`."""
        return self.chunks.overlay(index, base)

    def submit(self, request: ViewRequest, plan: Callable[[], None]) -> None:
        """Stages `request`; `plan` gives it its partition.

        Raises:
            FailedPrecondition, Unimplemented: See `Transaction.participant`.
        """
        chunks = self.chunks
        self._transaction.participant(("virtual", id(self._array)), lambda: chunks)
        self._transaction.awaits(request.future)
        queue = self._transaction.queue
        if request.data.nbytes <= INLINE_BYTES and queue.idle:
            queue.run(lambda: self._stage(request, chunks, plan))
        else:
            queue.post(self._array.workers, lambda: self._stage(request, chunks, plan))

    def _stage(self, request: ViewRequest, chunks: StagedChunks, plan: Callable[[], None]) -> None:
        try:
            plan()
            for cell in request.partition.cells():
                if not request.begin():
                    break
                try:
                    chunks.add(request.data, request.partition, cell)
                finally:
                    request.finish()
                yield_gil()
        except Exception as error:  # noqa: BLE001 -- told by the request
            if isinstance(error, Error):
                error.located(operation="write")
            request.fail(error)
        request.planned()

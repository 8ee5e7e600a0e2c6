"""`VirtualDriver`: an array whose chunks are read and written by a user's functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from asynctensor.chunked.array import ChunkStatistics
from asynctensor.chunked.array_driver import (
    ArrayDriver,
    Progress,
    ProgressFunction,
    ResizeRequest,
)
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.grid import Partition
from asynctensor.chunked.plan import ViewRequest, plan_later
from asynctensor.chunked.source import shaped_source
from asynctensor.drivers.virtual_chunked.array import VirtualArray
from asynctensor.drivers.virtual_chunked.plan import VirtualPartition, check_finite
from asynctensor.drivers.virtual_chunked.read import VirtualReader
from asynctensor.drivers.virtual_chunked.staging import VirtualStager
from asynctensor.drivers.virtual_chunked.write import VirtualWriter
from asynctensor.errors import Unimplemented
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, SYSTEM_CLOCK, Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json, KeyValueStore
from asynctensor.transaction.transaction import Transaction

#: Index arrays of more points are sorted into chunks by a worker, not on the caller's thread.
_INLINE_POINTS = 1024
#: What errors and explanations call the array.
_NAME = "the functions of virtual_chunked"


class VirtualDriver(ArrayDriver):
    """See the module; made by `opening`."""

    driver = "virtual_chunked"

    def __init__(self, array: VirtualArray, transaction: Transaction | None = None) -> None:
        self._array = array
        self.transaction = transaction
        functions, layout = array.functions, array.layout
        self.data_type = layout.dtype
        self.access = ("r" if functions.read else "") + ("w" if functions.write else "")
        self._transform = IndexTransform(layout.domain)
        if transaction is None:
            self._stager = None
            self._reader = VirtualReader(array)
        else:
            stager = self._stager = VirtualStager(array, transaction)
            self._reader = VirtualReader(array, stager.needs, stager.overlay)

    def transform(self) -> IndexTransform:
        return self._transform

    def read(
        self,
        transform: IndexTransform,
        into: Into = "C",
        limit: Deadline = NEVER,
        progress: ProgressFunction | None = None,
        batch: Batch | None = None,
    ) -> Future[Array]:
        if self.transaction is not None:
            self.transaction.check_open()
        check_finite(transform, "Read")
        data = output(transform.input_shape, self.data_type.numpy_dtype, into)
        if 0 in transform.input_shape:
            return Future.resolved(data)
        request = ViewRequest(Partition((), 0, ()), data, SYSTEM_CLOCK.time())
        self._array.functions.bind(request.future, self._array.functions.read)
        plan = self._planning(request, transform, "read", limit, progress)
        if _points(transform) > _INLINE_POINTS:
            plan_later(self._array.workers, request, plan, self._reader.submit)
            return request.future
        plan()
        if batch is None:
            self._reader.submit(request)
        else:
            batch.add(self._reader.deliver, request)
        return request.future

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline = NEVER,
        progress: ProgressFunction | None = None,
    ) -> WriteFutures:
        if self.transaction is not None:
            self.transaction.check_open()
        check_finite(transform, "Write")
        data = shaped_source(source, transform.domain)
        if 0 in transform.input_shape:
            nothing: Future[None] = Future.resolved(None)
            return WriteFutures(nothing, nothing)
        request = ViewRequest(Partition((), 0, ()), data, result=lambda: None)
        plan = self._planning(request, transform, "write", limit, progress)
        if self._stager is not None:
            self._stager.submit(request, plan)
            return WriteFutures(request.future, request.future)
        self._array.functions.bind(request.future, self._array.functions.write)
        if _points(transform) > _INLINE_POINTS:
            submit = VirtualWriter.of(self._array).submit
            plan_later(self._array.workers, request, plan, submit)
        else:
            plan()
            VirtualWriter.of(self._array).submit(request)
        return WriteFutures(request.future, request.future)

    def _planning(
        self,
        request: ViewRequest,
        transform: IndexTransform,
        what: str,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> Callable[[], None]:
        """What gives `request` its chunks, once called."""
        request.what, request.array = what, _NAME
        request.limit(limit)

        def plan() -> None:
            partition = VirtualPartition.over(transform, self._array.layout)
            request.partition = partition
            if progress is not None:
                total, report = partition.count, progress
                request.watch(lambda done: report(Progress(what, done, total)))

        return plan

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        raise Unimplemented("Resize not supported: the domain of a virtual array is fixed")

    async def refresh(self) -> None:
        pass

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        raise Unimplemented("Storage statistics not supported: a virtual array stores nothing")

    async def explain(self, transform: IndexTransform) -> Explanation:
        # Each chunk is one call of the read function; what that costs, nobody here knows.
        check_finite(transform, "Read")
        layout, count = self._array.layout, 0
        if 0 not in transform.input_shape:
            planned = VirtualPartition.over
            count = (await self._array.workers.run(planned, transform, layout)).count
        size = math.prod(layout.chunk_shape) * self.data_type.numpy_dtype.itemsize
        return Explanation(
            shape=tuple(transform.input_shape),
            dtype=self.data_type.name,
            driver=self.driver,
            url=_NAME,
            chunk_shape=tuple(layout.chunk_shape),
            chunks=count,
            chunks_stored=count,
            inner_chunks=count,
            decoded=count,
            requests=count,
            bytes_decoded=count * size,
            estimated=True,
        )

    def schema(self) -> Schema:
        return self._array.layout.schema()

    def spec_json(self) -> dict[str, Json]:
        # The functions are no JSON, which `SpecState.to_json` says to whoever asks for it.
        found: dict[str, Any] = {"driver": self.driver, "functions": self._array.functions}
        return {**found, "schema": self.schema().to_json()}

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return None

    def bound(self, transaction: Transaction | None) -> VirtualDriver:
        if transaction is self.transaction:
            return self
        return VirtualDriver(self._array, transaction)

    def statistics(self) -> ChunkStatistics:
        copy = ChunkStatistics()
        copy.add(self._array.statistics)
        return copy


def _points(transform: IndexTransform) -> int:
    """Number of points of the largest index array."""
    sizes = [m.index_array.size for m in transform.maps if m.index_array is not None]
    return max(sizes, default=0)

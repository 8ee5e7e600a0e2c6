"""`ChunkedDriver`: one opened array of any chunked format over any store."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from asynctensor.chunked.array import (
    ChunkedArray,
    ChunkOptions,
    ChunkStatistics,
    ChunkVersions,
)
from asynctensor.chunked.array_driver import (
    ArrayDriver,
    Progress,
    ProgressFunction,
    ResizeRequest,
)
from asynctensor.chunked.array_form import form_of
from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.user_codec import replacements
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.grid import Partition
from asynctensor.chunked.joint_write import writer_of
from asynctensor.chunked.plan import ViewRequest, plan_later
from asynctensor.chunked.read import Reader
from asynctensor.chunked.shrink import delete_outside
from asynctensor.chunked.source import shaped_source
from asynctensor.chunked.stage import StagingWriter
from asynctensor.chunked.stored import count_stored, newest_change, partition_of, stored_entries
from asynctensor.chunked.stored_metadata import StoredMetadata
from asynctensor.errors import Error, ResourceExhausted
from asynctensor.index_space.propagate_bounds import propagate_bounds
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, SYSTEM_CLOCK, Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_state import SchemaState
from asynctensor.storage.kvstore import Json, KeyValueStore, ListEntry
from asynctensor.storage.store_name import store_name
from asynctensor.storage.value_history import ValueChange
from asynctensor.transaction.own_commit import in_one_commit
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

if TYPE_CHECKING:
    from asynctensor.chunked.explanation import Explanation

M = TypeVar("M")
#: Index arrays of more points are sorted into chunks by a worker, not on the caller's thread.
_INLINE_POINTS = 1024
#: Attempts of a resize in which whatever others write to the array meanwhile is in its way.
_LISTINGS = 4


@dataclass(frozen=True, slots=True)
class ChunkedOptions:
    """Members of a chunked spec that do not concern the format.

    Attributes:
        recheck_data: When cached chunks are looked at again: True always, False never, or if
            older than this time (Unix seconds; the time of opening for ``"open"``).
        recheck_metadata: The same for the metadata.
        chunks: See `ChunkOptions`.
        spec: The members as they were given, for `spec_json`.
    """

    recheck_data: bool | float = True
    recheck_metadata: bool | float = True
    chunks: ChunkOptions = field(default_factory=ChunkOptions)
    spec: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Pools:
    """Where an array's work is done and its chunks are kept: from its `Context`."""

    cache: ChunkCache
    workers: WorkerPool
    io_workers: WorkerPool


class ChunkedDriver(ArrayDriver, Generic[M]):
    """See the module; made by `asynctensor.chunked.opening`."""

    def __init__(
        self,
        fmt: ArrayFormat[M],
        store: KeyValueStore,
        path: str,
        metadata: M,
        generation: bytes,
        options: ChunkedOptions,
        pools: Pools,
        transaction: Transaction | None = None,
        schema: SchemaState | None = None,
    ) -> None:
        """`schema` is what the metadata say, if that is known already."""
        self.format, self.store, self.path = fmt, store, path
        self.options, self.pools = options, pools
        self.transaction = transaction
        self.driver = fmt.driver
        layout = fmt.layout(metadata)
        schema = fmt.schema(metadata).state if schema is None else schema
        assert schema.dtype is not None
        self.data_type = schema.dtype
        self._view = store if transaction is None else StagedStore(store, transaction)
        self.array = self._shared_array(pools, metadata, layout, None)
        if transaction is None:
            self.array.layout = layout
        else:
            # Nothing is cached in a transaction, but its handles share their arrays.
            cache = transaction.slot("chunks", lambda: ChunkCache(0))
            pools = Pools(cache, pools.workers, pools.io_workers)
            self.array = self._shared_array(pools, metadata, layout, self.array)
            self.array.form = form_of(fmt, metadata)
        self._stored = StoredMetadata(fmt, self._view, self.array, metadata, generation, schema)
        self._reader = Reader(self.array)
        self._stager = (
            None
            if transaction is None
            else StagingWriter(self.array, StagedStore(store, transaction), transaction)
        )

    def _shared_array(
        self, pools: Pools, metadata: M, layout: ArrayLayout, base: ChunkedArray | None
    ) -> ChunkedArray:
        """The array that all handles over this pool share; in a transaction, over `base`."""
        fmt = self.format
        kind = fmt.kind(metadata)
        # Bytes of records and the records themselves are kept apart; and so is what formats and
        # codecs make of it that were registered under the same names later.
        document = self.path + fmt.metadata_key
        meaning = type(fmt), replacements(), kind, str(layout.dtype)
        key = (self.store.identity, document, *meaning)
        versions = pools.cache.shared(key, ChunkVersions)
        store = self.store if base is None else self._view
        return pools.cache.shared(
            (*key, self.options.chunks),
            lambda: ChunkedArray(
                store,
                self.path,
                layout,
                self.options.chunks,
                pools.cache,
                pools.workers,
                pools.io_workers,
                f"{store_name(self.store, self.path)}|{fmt.driver}:",
                versions,
                base,
            ),
        )

    # -- reading and writing ----------------------------------------------------------------

    def transform(self) -> IndexTransform:
        return self._stored.transform

    def read(
        self,
        transform: IndexTransform,
        into: Into = "C",
        limit: Deadline = NEVER,
        progress: ProgressFunction | None = None,
        batch: Batch | None = None,
    ) -> Future[Array]:
        layout = self.array.layout
        view = self._bounded(transform, layout)
        if self.transaction is not None:
            try:
                self._stored.rely(transform, view, writes=False)
            except Error as error:
                return Future.failed(error)
        if 0 in view.input_shape:
            return Future.resolved(_output(view.input_shape, layout.dtype, into))
        bound = self._data_bound()
        if _is_quick(view):
            partition = Partition.of(view, layout.chunk_shape, layout.shape)
            data = _output(view.input_shape, layout.dtype, into)
            if (
                self.pools.cache.limit_bytes
                and progress is None
                and self._reader.read_cached(partition, data, bound)
            ):
                return Future.resolved(data)
            request = ViewRequest(partition, data, bound)
            self._watch(request, "read", limit, progress)
            if batch is None:
                self._reader.submit(request)
            else:
                batch.add(self._reader.deliver, request)
            return request.future
        data = _output(view.input_shape, layout.dtype, into)
        request = ViewRequest(Partition((), 0, ()), data, bound)
        self._watch(request, "read", limit, None)

        def plan() -> None:
            request.partition = Partition.of(view, layout.chunk_shape, layout.shape)
            self._watch(request, "read", NEVER, progress)

        plan_later(self.pools.workers, request, plan, self._reader.submit)
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
        layout = self.array.layout
        view = self._bounded(transform, layout)
        if self.transaction is not None:
            self._stored.rely(transform, view, writes=True)
        data = shaped_source(source, view.domain)
        if 0 in view.input_shape:
            nothing: Future[None] = Future.resolved(None)
            return WriteFutures(nothing, nothing)
        request = ViewRequest(Partition((), 0, ()), data, result=lambda: None)
        submit = self._stager.submit if self._stager else writer_of(self.array).submit
        if _is_quick(view):
            request.partition = Partition.of(view, layout.chunk_shape, layout.shape)
            self._watch(request, "write", limit, progress)
            submit(request)
            return WriteFutures(request.future, request.future)
        self._watch(request, "write", limit, None)

        def plan() -> None:
            request.partition = Partition.of(view, layout.chunk_shape, layout.shape)
            self._watch(request, "write", NEVER, progress)

        if self._stager is not None:
            self._stager.submit(request, plan)
        else:
            plan_later(self.pools.workers, request, plan, submit)
        return WriteFutures(request.future, request.future)

    def rely_on_meaning(self) -> None:
        """Has the commit of its transaction, if any, rest on what the array is."""
        self._stored.rely_on_meaning()

    def _bounded(self, transform: IndexTransform, layout: ArrayLayout) -> IndexTransform:
        if True not in transform.implicit_upper_bounds + transform.implicit_lower_bounds:
            # Planning checks explicit bounds against the array's.
            return transform
        rank = len(layout.shape)
        return propagate_bounds(transform, (0,) * rank, layout.shape)

    def _data_bound(self) -> float:
        recheck = self.options.recheck_data
        if recheck is True:
            return SYSTEM_CLOCK.time()
        return float("-inf") if recheck is False else float(recheck)

    def _watch(
        self, request: ViewRequest, what: str, limit: Deadline, progress: ProgressFunction | None
    ) -> None:
        request.what, request.array = what, self.array.url
        if not limit.never:
            request.limit(limit)
        if progress is not None:
            total = request.partition.count
            request.watch(lambda done: progress(Progress(what, done, total)))

    # -- metadata ---------------------------------------------------------------------------

    async def refresh(self) -> None:
        if self.options.recheck_metadata is not False:
            await self._stored.look_again()

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        store = self.store
        if self.transaction or store.history is None or store.commit_domain is None:
            await self._resize(request, progress, self._forgetting())
            return
        # Where there is a history, it is one step in it.
        gone: list[tuple[int, ...]] = []

        async def resized(transaction: Transaction) -> None:
            gone.clear()
            await self.bound(transaction)._resize(request, progress, gone.append)

        await in_one_commit(resized, rests_on_reads=_LISTINGS)
        for cell in gone:
            self.array.forget(cell)
        await self._stored.look_again()

    async def _resize(
        self,
        request: ResizeRequest,
        progress: ProgressFunction | None,
        gone: Callable[[tuple[int, ...]], object],
    ) -> None:
        # The new shape is what counts from here on: whatever a crash leaves of the chunks outside
        # it is not visible.
        shrinks = await self._stored.resize(request)
        if shrinks and not request.metadata_only:
            await delete_outside(self.array, self._view, self._stored.look_again, progress, gone)

    def _forgetting(self) -> Callable[[tuple[int, ...]], object]:
        """Forgets chunks that it is told of; outside of a transaction, when that is committed."""
        array, view = self.array, self._view
        base = array.base
        if base is None or not isinstance(view, StagedStore):
            return array.forget
        cells: list[tuple[int, ...]] = []

        def committed() -> None:
            for cell in cells:
                base.forget(cell)

        def gone(cell: tuple[int, ...]) -> None:
            array.forget(cell)
            cells.append(cell)

        view.staging().when_committed(committed)
        return gone

    async def grow(self, dimension: int, count: int) -> int:
        return await self._stored.grow(dimension, count)

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        partition = await partition_of(self.array, self._bounded(transform, self.array.layout))
        stored = await count_stored(self.array, partition, enough=enough)
        return stored, 0 if partition is None else partition.count

    async def stored_entries(self, transform: IndexTransform) -> AsyncIterator[ListEntry]:
        view = self._bounded(transform, self.array.layout)
        async for _, entry in stored_entries(self.array, await partition_of(self.array, view)):
            yield entry

    async def last_change(self, transform: IndexTransform) -> tuple[int, ValueChange | None] | None:
        history = self.array.store.history
        if history is None:
            return None
        view = self._bounded(transform, self.array.layout)
        return await newest_change(self.array, await partition_of(self.array, view), history)

    async def explain(self, transform: IndexTransform) -> Explanation:
        # Few programs ask.
        from asynctensor.chunked.explain import explain_read

        view = self._bounded(transform, self.array.layout)
        found = await explain_read(self.array, view, self._data_bound())
        return replace(found, driver=self.driver, dtype=self.data_type.name)

    # -- what it is -------------------------------------------------------------------------

    @property
    def generation(self) -> bytes:
        """The generation of the metadata."""
        return self._stored.generation

    @property
    def metadata(self) -> M:
        """The metadata as it is known now."""
        return self._stored.value

    def schema(self) -> Schema:
        return Schema.from_state(self._stored.schema)

    def spec_json(self) -> dict[str, Json]:
        spec: dict[str, Json] = {
            "driver": self.driver,
            "kvstore": self.store.spec_json(self.path),
            "metadata": self.format.to_json(self._stored.value),
        }
        spec.update(self.options.spec)
        return spec

    def version(self) -> bytes | None:
        return self._stored.generation

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return self._view, self.path

    def bound(self, transaction: Transaction | None) -> ChunkedDriver[M]:
        """The same array in `transaction`, with the metadata known here."""
        if transaction is self.transaction:
            return self
        value, generation, schema = self._stored.known
        return ChunkedDriver(
            self.format, self.store, self.path, value, generation, self.options, self.pools,
            transaction, schema,
        )  # fmt: skip

    def statistics(self) -> ChunkStatistics:
        return self.array.statistics()


def _is_quick(view: IndexTransform) -> bool:
    """Whether planning costs the caller's thread next to nothing."""
    for m in view.maps:
        if m.index_array is not None:
            return math.prod(view.input_shape) <= _INLINE_POINTS
    return len({m.input_dimension for m in view.maps}) == len(view.maps) or (
        math.prod(view.input_shape) <= _INLINE_POINTS
    )


def _output(shape: tuple[int, ...], element: np.dtype[Any], into: Into) -> Array:
    try:
        return output(shape, element, into)
    except (MemoryError, ValueError, OverflowError) as error:
        size = math.prod(shape) * element.itemsize
        raise ResourceExhausted(
            f"an array of shape {tuple(shape)} and {size} bytes does not fit into memory; read a "
            "smaller part of it: store[slice].read()",
            operation="read",
        ) from error

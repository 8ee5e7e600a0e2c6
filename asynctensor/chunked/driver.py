"""`ChunkedDriver`: one opened array of any chunked format over any store."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

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
from asynctensor.chunked.cache import ChunkCache
from asynctensor.chunked.codec import Array
from asynctensor.chunked.explain import explain_read
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.format import ArrayFormat, ArrayLayout
from asynctensor.chunked.grid import Partition
from asynctensor.chunked.plan import ViewRequest
from asynctensor.chunked.read import Reader
from asynctensor.chunked.scratch import new_output
from asynctensor.chunked.source import shaped_source
from asynctensor.chunked.stage import StagingWriter
from asynctensor.chunked.stored import partition_of, stored_entries
from asynctensor.chunked.write import Writer
from asynctensor.errors import (
    Error,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from asynctensor.index_space.propagate_bounds import propagate_bounds
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Json, KeyValueStore, ListEntry, ReadOptions
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

M = TypeVar("M")
#: Index arrays of more points are sorted into chunks by a worker, not on the caller's thread.
_INLINE_POINTS = 1024
#: Chunks of a view that are looked up one by one; more are counted from a listing.
_LOOKUPS = 64


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
    ) -> None:
        self.format, self.store, self.path = fmt, store, path
        self.options, self.pools = options, pools
        self.transaction = transaction
        self.driver = fmt.driver
        self._metadata, self._generation = metadata, generation
        layout = fmt.layout(metadata)
        schema = fmt.schema(metadata)
        assert schema.dtype is not None
        self.data_type = schema.dtype
        self._view = store if transaction is None else StagedStore(store, transaction)
        self._transform = _domain_transform(schema)
        self.array = self._shared_array(pools, None)
        if transaction is None:
            self.array.layout = layout
        else:
            # Nothing is cached in a transaction, but its handles share their arrays.
            cache = transaction.slot("chunks", lambda: ChunkCache(0))
            pools = Pools(cache, pools.workers, pools.io_workers)
            self.array = self._shared_array(pools, self.array)
        self._reader = Reader(self.array)
        self._stager = (
            None
            if transaction is None
            else StagingWriter(self.array, StagedStore(store, transaction), transaction)
        )

    def _shared_array(self, pools: Pools, base: ChunkedArray | None) -> ChunkedArray:
        """The array that all handles over this pool share; in a transaction, over `base`."""
        fmt, layout = self.format, self.format.layout(self._metadata)
        kind = fmt.serialize(fmt.resized(self._metadata, (0,) * len(layout.shape)))
        # Bytes of records and the records themselves are kept apart.
        key = (self.store.identity, self.path, fmt.driver, kind, str(layout.dtype))
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
                _url(self.store, self.path, fmt.driver),
                versions,
                base,
            ),
        )

    # -- reading and writing ----------------------------------------------------------------

    def transform(self) -> IndexTransform:
        return self._transform

    def read(
        self,
        transform: IndexTransform,
        order: Literal["C", "F"] = "C",
        limit: Deadline = NEVER,
        progress: ProgressFunction | None = None,
        batch: Batch | None = None,
    ) -> Future[Array]:
        layout = self.array.layout
        view = self._bounded(transform, layout)
        if 0 in view.input_shape:
            return Future.resolved(_output(view.input_shape, layout.dtype, order))
        bound = self._data_bound()
        if _is_quick(view):
            partition = Partition.of(view, layout.chunk_shape, layout.shape)
            data = _output(view.input_shape, layout.dtype, order)
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
        data = _output(view.input_shape, layout.dtype, order)
        request = ViewRequest(Partition((), 0, ()), data, bound)
        self._watch(request, "read", limit, None)

        def plan() -> None:
            request.partition = Partition.of(view, layout.chunk_shape, layout.shape)
            self._watch(request, "read", NEVER, progress)

        self._plan_later(request, plan, self._reader.submit)
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
            self._rely_on_metadata()
        layout = self.array.layout
        view = self._bounded(transform, layout)
        data = shaped_source(source, view.domain)
        if 0 in view.input_shape:
            nothing: Future[None] = Future.resolved(None)
            return WriteFutures(nothing, nothing)
        request = ViewRequest(Partition((), 0, ()), data, result=lambda: None)
        submit = self._stager.submit if self._stager else Writer.of(self.array).submit
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
            self._plan_later(request, plan, submit)
        return WriteFutures(request.future, request.future)

    def _rely_on_metadata(self) -> None:
        """Has the commit fail if the array has another shape by then than this write is for."""
        if isinstance(self._view, StagedStore):
            self._view.rely_on(self.path + self.format.metadata_key, self._generation)

    def _bounded(self, transform: IndexTransform, layout: ArrayLayout) -> IndexTransform:
        if True not in transform.implicit_upper_bounds + transform.implicit_lower_bounds:
            # Planning checks explicit bounds against the array's.
            return transform
        rank = len(layout.shape)
        return propagate_bounds(transform, (0,) * rank, layout.shape)

    def _data_bound(self) -> float:
        recheck = self.options.recheck_data
        if recheck is True:
            return time.time()
        return float("-inf") if recheck is False else float(recheck)

    def _watch(
        self, request: ViewRequest, what: str, limit: Deadline, progress: ProgressFunction | None
    ) -> None:
        if not limit.never:
            request.limit(limit, what)
        if progress is not None:
            total = request.partition.count
            request.watch(lambda done: progress(Progress(what, done, total)))

    def _plan_later(
        self,
        request: ViewRequest,
        plan: Callable[[], None],
        submit: Callable[[ViewRequest], None],
    ) -> None:
        """Has a worker plan and submit `request`: sorting many points takes a while."""

        def planned() -> None:
            try:
                plan()
                submit(request)
            except Exception as error:  # noqa: BLE001
                request.fail(error)
                request.planned()

        self.pools.workers.post(planned)

    # -- metadata ---------------------------------------------------------------------------

    async def refresh(self) -> None:
        if self.options.recheck_metadata is False:
            return
        await self._look_again()

    def _adopt(self, metadata: M, generation: bytes) -> None:
        self._check_kind(metadata)
        self._metadata, self._generation = metadata, generation
        self._transform = _domain_transform(self.format.schema(metadata))
        self.array.layout = self.format.layout(metadata)

    def _check_kind(self, metadata: M) -> None:
        """Refuses metadata under which this array's chunks would mean something else."""
        old, new = self.array.layout, self.format.layout(metadata)
        same = len(old.shape) == len(new.shape) and self.format.serialize(
            self.format.resized(metadata, old.shape)
        ) == self.format.serialize(self.format.resized(self._metadata, old.shape))
        if not same and (old.dtype, old.chunk_shape) != (new.dtype, new.chunk_shape):
            raise FailedPrecondition(
                "the stored metadata was replaced by one of another kind of array; open it again",
                array=self.array.url,
            )

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        key = self.path + self.format.metadata_key
        while True:
            found = await self._view.read(key)
            if found.state != "value":
                raise NotFound("the array was deleted", key=key, array=self.array.url)
            current = self.format.parse(found.value)
            self._check_kind(current)
            old_shape = self.format.layout(current).shape
            shape = _resized_shape(old_shape, request)
            metadata = self.format.resized(current, shape)
            self._check_storable(metadata)
            if shape == old_shape:
                self._adopt(current, found.stamp.generation)
                return
            conditional = self._view.capabilities.can_compare_and_swap
            stamp = await self._view.write(
                key,
                self.format.serialize(metadata),
                found.stamp.generation if conditional else UNKNOWN,
            )
            if stamp.generation != UNKNOWN:
                break
        # The new shape is what counts from here on: whatever a crash leaves of the chunks outside
        # it is not visible.
        self._adopt(metadata, stamp.generation)
        shrinks = any(n < o for n, o in zip(shape, old_shape, strict=True))
        if shrinks and not request.metadata_only:
            await self._delete_outside(progress)

    def _check_storable(self, metadata: M) -> None:
        """Refuses what could be stored, but not be opened again."""
        try:
            self.format.parse(self.format.serialize(metadata))
        except Error as error:
            raise InvalidArgument(f"the array cannot get this shape: {error.message}") from error

    async def _delete_outside(self, progress: ProgressFunction | None) -> None:
        """Deletes the stored chunks that lie wholly outside the array.

        Somebody may let the array grow again meanwhile, and write there: a chunk goes only if,
        after its generation was looked at, the metadata still leaves it outside.
        """
        keys = self.array.layout.keys
        deleted = 0
        async for entry in self._view.list(KeyRange.prefix(self.path)):
            cell = keys.cell(entry.key[len(self.path) :])
            if cell is None or self._is_inside(cell):
                continue
            found = await self._view.read(entry.key, ReadOptions(ByteRange(0, 0)))
            await self._look_again()
            if found.state == "missing" or self._is_inside(cell):
                continue
            conditional = self._view.capabilities.can_compare_and_swap
            generation = found.stamp.generation if conditional else UNKNOWN
            await self._view.write(entry.key, None, generation)
            self.array.forget(cell)
            deleted += 1
            if progress is not None:
                await self.pools.workers.run(progress, Progress("resize", deleted, None))

    def _is_inside(self, cell: tuple[int, ...]) -> bool:
        """Whether a chunk has elements of the array."""
        layout = self.array.layout
        return all(
            k * c < n for k, c, n in zip(cell, layout.chunk_shape, layout.shape, strict=True)
        )

    async def _look_again(self) -> None:
        """Takes over the stored metadata if it has changed.

        Raises:
            NotFound: It was deleted.
        """
        key = self.path + self.format.metadata_key
        found = await self._view.read(key, ReadOptions(if_not_equal=self._generation))
        if found.state == "missing":
            raise NotFound("the array was deleted", key=key, array=self.array.url)
        if found.state == "value":
            self._adopt(self.format.parse(found.value), found.stamp.generation)

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        layout = self.array.layout
        view = self._bounded(transform, layout)
        plan = partial(Partition.of, view, layout.chunk_shape, layout.shape)
        partition = await self.pools.workers.run(plan)
        stored = 0
        if partition.count <= _LOOKUPS:
            for cell in partition.cells():
                key = self.array.key(partition.index(cell))
                found = await self._view.read(key, ReadOptions(if_not_equal=b"?"))
                stored += found.state == "value"
                if stored and enough:
                    break
            return stored, partition.count
        async for entry in self._view.list(KeyRange.prefix(self.path)):
            index = layout.keys.cell(entry.key[len(self.path) :])
            if index is not None and partition.touches(index):
                stored += 1
                if enough:
                    break
        return stored, partition.count

    async def stored_entries(self, transform: IndexTransform) -> AsyncIterator[ListEntry]:
        view = self._bounded(transform, self.array.layout)
        async for _, entry in stored_entries(self.array, await partition_of(self.array, view)):
            yield entry

    async def explain(self, transform: IndexTransform) -> Explanation:
        view = self._bounded(transform, self.array.layout)
        found = await explain_read(self.array, view, self._data_bound())
        return replace(found, driver=self.driver, dtype=self.data_type.name)

    # -- what it is -------------------------------------------------------------------------

    @property
    def generation(self) -> bytes:
        """The generation of the metadata."""
        return self._generation

    @property
    def metadata(self) -> M:
        """The metadata as it is known now."""
        return self._metadata

    def schema(self) -> Schema:
        return self.format.schema(self._metadata)

    def spec_json(self) -> dict[str, Json]:
        spec: dict[str, Json] = {
            "driver": self.driver,
            "kvstore": self.store.spec_json(self.path),
            "metadata": self.format.to_json(self._metadata),
        }
        spec.update(self.options.spec)
        return spec

    def version(self) -> bytes | None:
        return self._generation

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return self._view, self.path

    def bound(self, transaction: Transaction | None) -> ChunkedDriver[M]:
        """The same array in `transaction`, with the metadata known here."""
        if transaction is self.transaction:
            return self
        return ChunkedDriver(
            self.format, self.store, self.path, self._metadata, self._generation, self.options,
            self.pools, transaction,
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


def _output(shape: tuple[int, ...], element: np.dtype[Any], order: Literal["C", "F"]) -> Array:
    try:
        return new_output(shape, element, order)
    except (MemoryError, ValueError, OverflowError) as error:
        size = math.prod(shape) * element.itemsize
        raise ResourceExhausted(
            f"an array of shape {tuple(shape)} and {size} bytes does not fit into memory; read a "
            "smaller part of it: store[slice].read()",
            operation="read",
        ) from error


def _domain_transform(schema: Schema) -> IndexTransform:
    domain = schema.domain
    assert domain is not None
    return IndexTransform(domain)


def _resized_shape(old: tuple[int, ...], request: ResizeRequest) -> tuple[int, ...]:
    shape = []
    for dim, (size, new) in enumerate(zip(old, request.exclusive_max, strict=True)):
        chosen = size if new is None else new
        if chosen < 0:
            raise FailedPrecondition(f"cannot resize dimension {dim} to the upper bound {chosen}")
        if request.expand_only:
            chosen = max(size, chosen)
        if request.shrink_only:
            chosen = min(size, chosen)
        shape.append(chosen)
    return tuple(shape)


def _url(store: KeyValueStore, path: str, driver: str) -> str:
    try:
        return f"{store.url(path)}|{driver}:"
    except Error:
        return f"{store.driver}:{path}|{driver}:"

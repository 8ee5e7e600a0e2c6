"""`TensorStore`: the handle of an array, or of a view of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, Literal, TypeVar

import numpy.typing as npt

from asynctensor.appending import append_to
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.destination import checked_output
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.source import as_source_of, json_source
from asynctensor.chunked.view import View
from asynctensor.copying import copy_view
from asynctensor.display.page import Display, Displayed
from asynctensor.errors import (
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    PermissionDenied,
)
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.indexable import Indexable
from asynctensor.index_space.operations import Subscript
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore import KvStore
from asynctensor.open_mode import OpenMode
from asynctensor.registry import REGISTRY, driver_module
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import DTypeLike, dtype
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import is_readable
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_display import schema_display
from asynctensor.schema.schema_properties import SchemaProperties
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.schema_transform import transformed
from asynctensor.schema.unit import Unit
from asynctensor.spec import Spec
from asynctensor.spec_json import state_from_json
from asynctensor.spec_options import RecheckCacheOption
from asynctensor.spec_state import SpecState
from asynctensor.storage.kvstore import ListEntry
from asynctensor.transaction.transaction import Transaction


@dataclass(slots=True, repr=False)
class StorageStatistics:
    """What is stored of a view; None where it was not asked. ``TensorStore.StorageStatistics``.

    Attributes:
        not_stored: Whether no chunk of the view is stored.
        fully_stored: Whether every chunk of the view is stored.
    """

    not_stored: bool | None = None
    fully_stored: bool | None = None

    def __repr__(self) -> str:
        return (
            f"TensorStore.StorageStatistics(not_stored={self.not_stored}, "
            f"fully_stored={self.fully_stored})"
        )


_Statistics = StorageStatistics
Result = TypeVar("Result")
#: So many arrays upon each other surely fit into the levels that JSON may have ...
_PLAIN_LEVELS: Final = 8
#: ... and more surely do not.
_MAX_SPEC_LEVELS: Final = 64


class WritableSubscript(Subscript["TensorStore"]):
    """``store.oindex`` and ``store.vindex``: views, and synchronous writes to them."""

    def __setitem__(self, key: Any, source: Any) -> None:
        """Writes to the view, and waits."""
        self[key]._write_now(source)


class TensorStore(SchemaProperties, Indexable, Displayed):
    """An array, or a lazy view of one: an index transform over a driver.

    Made by `open`. Indexing gives views and never reads; `read` and `write` do. Cheap to copy,
    safe to use from any thread and any event loop, picklable.
    """

    StorageStatistics: ClassVar = _Statistics
    __slots__ = ("_context", "_driver", "_mode", "_opened", "_transform")
    __hash__ = object.__hash__

    def __init__(
        self,
        driver: ArrayDriver,
        transform: IndexTransform,
        context: Context,
        mode: str = "rw",
        opened: SpecState | None = None,
    ) -> None:
        """Made by `open` and by indexing.

        Args:
            driver: Serves the array.
            transform: From the indices of this view to those of the array.
            context: Where resources come from.
            mode: ``"r"``, ``"w"`` or ``"rw"``.
            opened: The spec that was opened, bound to the resources it uses.
        """
        self._driver, self._transform = driver, transform
        self._context, self._mode, self._opened = context, mode, opened

    # -- what it is -------------------------------------------------------------------------

    @property
    def domain(self) -> IndexDomain:
        """The domain of the view; fixed when it was made, see `resolve`."""
        return self._transform.domain

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return self._transform.input_rank

    @property
    def ndim(self) -> int:
        """The same as `rank`."""
        return self._transform.input_rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the domain."""
        return self._transform.input_shape

    @property
    def origin(self) -> tuple[int, ...]:
        """Lower bounds of the domain."""
        return self._transform.input_inclusive_min

    @property
    def size(self) -> int:
        """Number of elements of the domain."""
        return self._transform.domain.size

    @property
    def dtype(self) -> dtype:
        """Data type of the elements."""
        return self._driver.data_type

    @property
    def mode(self) -> str:
        """``"r"``, ``"w"`` or ``"rw"``."""
        return self._mode

    @property
    def readable(self) -> bool:
        """Whether it can be read."""
        return "r" in self._mode

    @property
    def writable(self) -> bool:
        """Whether it can be written."""
        return "w" in self._mode

    def _schema_state(self) -> SchemaState:
        return transformed(self._driver.schema().state, self._transform)

    @property
    def schema(self) -> Schema:
        """All that is known of the array, in the indices of this view."""
        return Schema.from_state(self._schema_state())

    @property
    def codec(self) -> CodecSpec | None:
        """How chunks are encoded."""
        return self._driver.schema().codec

    @property
    def dimension_units(self) -> tuple[Unit | None, ...]:
        """Unit per dimension, None where it is not known."""
        return self._schema_state().units or (None,) * self.rank

    @property
    def kvstore(self) -> KvStore | None:
        """Where it is stored."""
        found = self._driver.kvstore()
        if found is None:
            return None
        store, path = found
        base = getattr(store, "base", store) if self.transaction is not None else store
        opened = None if self._opened is None else self._opened.kvstore
        return KvStore(
            base, path, transaction=self.transaction, context=self._context, opened=opened
        )

    @property
    def url(self) -> str:
        """URL of the array (not of the view).

        Raises:
            InvalidArgument: There is none.
        """
        return self.spec().url

    @property
    def base(self) -> TensorStore | None:
        """The array below, if the driver is an adapter."""
        below = self._driver.base(self._transform)
        if below is None:
            return None
        opened = None if self._opened is None else self._opened.base
        return TensorStore(below.driver, below.transform, self._context, below.mode, opened)

    @property
    def transaction(self) -> Transaction | None:
        """What reads and writes belong to."""
        return self._driver.transaction

    @property
    def context(self) -> Context:
        """The resources it uses."""
        return self._context

    def statistics(self) -> Any:
        """What the array has done so far: reads, chunks decoded, cache hits, bytes ..."""
        return self._driver.statistics()

    # -- views ------------------------------------------------------------------------------

    def _indexing_transform(self) -> IndexTransform:
        return self._transform

    def _with_indexing_transform(self, transform: IndexTransform) -> TensorStore:
        return TensorStore(self._driver, transform, self._context, self._mode, self._opened)

    def __getitem__(self, key: Any) -> TensorStore:
        """A view; nothing is read."""
        return self._with_indexing_transform(self._transform[key])

    @property
    def T(self) -> TensorStore:  # noqa: N802 (TensorStore's name)
        """The dimensions in reverse order."""
        return TensorStore(self._driver, self._transform.T, self._context, self._mode, self._opened)

    def __copy__(self) -> TensorStore:
        """The same view; what is stored is not copied."""
        return self._with_indexing_transform(self._transform)

    @property
    def oindex(self) -> WritableSubscript:
        """``store.oindex[...]``: index arrays apply orthogonally, each in its place."""
        return WritableSubscript(self, "oindex", partial(self._subscripted, "oindex"))

    @property
    def vindex(self) -> WritableSubscript:
        """``store.vindex[...]``: index arrays are broadcast, their dimensions come first."""
        return WritableSubscript(self, "vindex", partial(self._subscripted, "vindex"))

    def astype(self, dtype: DTypeLike) -> TensorStore:
        """A view whose elements are converted to another data type as they are read and written.

        Raises:
            InvalidArgument: There is no conversion, or no such data type.
        """
        workers = self._context.resolve("data_copy_concurrency").value
        made = driver_module("cast").cast_view(self._view(), data_type(dtype), workers)
        opened = None if self._opened is None else SpecState("cast", base=self._opened)
        return TensorStore(made.driver, made.transform, self._context, made.mode, opened)

    def _view(self) -> View:
        return View(self._driver, self._transform, self._mode)

    def with_transaction(self, transaction: Transaction | None) -> TensorStore:
        """The same view, whose reads and writes belong to `transaction` (None: to none)."""
        driver = self._driver.bound(transaction)
        return TensorStore(driver, self._transform, self._context, self._mode, self._opened)

    # -- reading and writing ----------------------------------------------------------------

    def read(
        self,
        order: Literal["C", "F"] = "C",
        *,
        out: npt.NDArray[Any] | None = None,
        batch: Batch | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> Future[npt.NDArray[Any]]:
        """Reads the view.

        Args:
            order: Memory layout of the result, ``"C"`` or ``"F"``.
            out: The array to fill, of the view's `shape` and data type, of any strides; None: a
                fresh one. Leave it alone until the Future is done.
            batch: Start with the batch, not before.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each chunk, from worker threads.

        Returns:
            Future of `out`, or of a fresh array of `shape` and the view's data type, 64-byte
            aligned and writable. It fails with `OutOfRange` if the view leaves the array, with
            `DataLoss` if a chunk is damaged, and with what the store raises. A cancelled read
            leaves nothing behind; of `out`, some elements may have been replaced.

        Raises:
            InvalidArgument: `out` is not of this shape and data type, or is read-only.
        """
        if order not in ("C", "F"):
            raise IncompatibleType(f'`order` must be one of {{"C", "F"}}, but is: {order!r}')
        if not self.readable:
            raise PermissionDenied("Source does not support reading; open it with read=True")
        limit = Deadline.of(timeout, deadline)
        into = order if out is None else checked_output(out, self.shape, self.dtype.numpy_dtype)
        return self._driver.read(self._transform, into, limit, progress, batch)

    def write(
        self,
        source: TensorStore | npt.ArrayLike,
        *,
        batch: Batch | None = None,
        can_reference_source_data_indefinitely: bool | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> WriteFutures:
        """Writes the view.

        Args:
            source: An array that can be broadcast to the view and cast to its data type without
                loss; a Python number or nested sequence; or another TensorStore.
            batch: For the reads of a TensorStore `source`.
            can_reference_source_data_indefinitely: Accepted: no data is referenced beyond
                `WriteFutures.copy`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each chunk, from worker threads.

        Returns:
            Futures: `copy` (the source may change) and `commit` (it is durable and visible; in a
            transaction, staged). A write that fails or is cancelled may have written some chunks,
            each as a whole; when that is delivered, no chunk is being written any more.

        Raises:
            IncompatibleType: The source cannot be cast.
            InvalidArgument: It does not fit the shape of the view.
        """
        del can_reference_source_data_indefinitely
        if not self.writable:
            raise PermissionDenied("Destination does not support writing.")
        limit = Deadline.of(timeout, deadline)
        if isinstance(source, TensorStore):
            copied = self._run(
                copy_view, source, self, progress, timeout=timeout, deadline=deadline
            )
            return WriteFutures(copied, copied)
        if batch is not None:
            raise InvalidArgument("batch can only be specified when the source is a TensorStore")
        if self.rank == 0 and self._driver.data_type.name == "json":
            data = json_source(source)
        else:
            data = as_source_of(source, self._driver.data_type)
        return self._driver.write(self._transform, data, limit, progress)

    def _write_now(self, source: Any) -> None:
        self.write(source).result()

    def __setitem__(self, key: Any, source: Any) -> None:
        """Writes to a view, and waits: ``store[key].write(source).result()``."""
        self[key]._write_now(source)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None, context: Any = None
    ) -> npt.NDArray[Any]:
        """Reads the view, and waits."""
        del context
        if copy is False:
            raise InvalidArgument("reading makes a new array: copy=False cannot be satisfied")
        data = self.read().result()
        return data if dtype is None else data.astype(dtype, copy=False)

    # -- bounds -----------------------------------------------------------------------------

    def resolve(
        self,
        fix_resizable_bounds: bool = False,
        batch: Batch | None = None,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[TensorStore]:
        """The same view with implicit bounds as they are stored now.

        Args:
            fix_resizable_bounds: Make all bounds explicit.
            batch: Accepted; one metadata document is read at most.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
        """
        del batch

        async def resolved() -> TensorStore:
            await self._driver.refresh()
            return self._with_indexing_transform(self._resolved(fix_resizable_bounds))

        return start(resolved, timeout=timeout, deadline=deadline)

    def _resolved(self, fix: bool = False) -> IndexTransform:
        transform = resolve_over(self._transform, self._driver.transform())
        return transform.mark_bounds_implicit[False] if fix else transform

    def resize(
        self,
        inclusive_min: Sequence[int | None] | None = None,
        exclusive_max: Sequence[int | None] | None = None,
        resize_metadata_only: bool = False,
        resize_tied_bounds: bool = False,
        expand_only: bool = False,
        shrink_only: bool = False,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> Future[TensorStore]:
        """Changes the bounds of the stored array.

        Args:
            inclusive_min: New lower bounds; formats here fix them at 0.
            exclusive_max: New upper bounds (None: unchanged), in the indices of this view.
            resize_metadata_only: Leave chunks that fall outside in the store.
            resize_tied_bounds: Also allow it where the view does not show the whole array.
            expand_only: Never shrink a dimension.
            shrink_only: Never grow a dimension.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each deleted chunk.

        Returns:
            Future of the view with its new bounds. It fails with `FailedPrecondition` where a
            bound cannot change. The new bounds hold once the metadata is replaced; a call that
            fails or is cancelled after that leaves chunks behind that nobody sees.
        """
        upper = self._upper_bounds(inclusive_min, exclusive_max, resize_tied_bounds)
        request = ResizeRequest(upper, resize_metadata_only, expand_only, shrink_only)
        if not self.writable:
            raise PermissionDenied("Destination does not support writing.")

        async def resized() -> TensorStore:
            await self._driver.resize(request, progress)
            return self._with_indexing_transform(self._resolved())

        return self._run(resized, timeout=timeout, deadline=deadline)

    def append(
        self,
        source: npt.ArrayLike,
        axis: int = 0,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        progress: ProgressFunction | None = None,
    ) -> Future[TensorStore]:
        """Makes the array longer along one dimension, and writes what is added. Beyond TensorStore.

        Of several that append at the same time, each gets a place of its own, one after the
        other. In a transaction, the place is the end of the array as the transaction sees it until
        the commit, and then the end of the array as it is stored: what others have appended
        meanwhile stays before it.

        Args:
            source: What to add: an array of this rank, as long as this one in all dimensions but
                `axis`, that can be cast to the data type without loss.
            axis: The dimension; from the last one if negative.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
            progress: Told after each chunk, from worker threads.

        Returns:
            Future of the view with its new bounds. It fails with `FailedPrecondition` where the
            bound cannot change, and with `InvalidArgument` if the shape does not fit. Where the
            store can commit several keys at once, it is all or nothing; elsewhere, a call that
            fails or is cancelled may leave the array longer, with fill values in the place.

        Raises:
            IncompatibleType: The source cannot be cast.
            InvalidArgument: It is of another rank, or there is no such dimension.
        """
        if not self.writable:
            raise PermissionDenied("Destination does not support writing.")
        data = as_source_of(source, self._driver.data_type)
        if data.ndim != self.rank or not -self.rank <= axis < self.rank:
            raise InvalidArgument(
                f"an array of rank {data.ndim} cannot be appended along dimension {axis} of one of "
                f"rank {self.rank}"
            )
        # Kept until it is written: the caller may change it meanwhile.
        data = data.copy()

        async def appended() -> TensorStore:
            await append_to(self._view(), data, axis % self.rank, progress)
            return self._with_indexing_transform(self._resolved())

        return self._run(appended, timeout=timeout, deadline=deadline)

    def _run(
        self,
        function: Callable[..., Awaitable[Result]],
        *args: Any,
        timeout: float | None,
        deadline: float | None,
    ) -> Future[Result]:
        """Starts an operation of several steps; in a transaction, the commit waits for it."""
        run = start if self.transaction is None else self.transaction.run
        return run(function, *args, timeout=timeout, deadline=deadline)

    def _upper_bounds(
        self,
        inclusive_min: Sequence[int | None] | None,
        exclusive_max: Sequence[int | None] | None,
        tied: bool,
    ) -> tuple[int | None, ...]:
        """New upper bounds of the stored array's dimensions."""
        lower = _per_dimension("inclusive_min", inclusive_min, self.rank)
        upper = _per_dimension("exclusive_max", exclusive_max, self.rank)
        t = self._transform
        implicit = self._driver.transform().implicit_upper_bounds
        found: list[int | None] = [None] * t.output_rank
        for dim in range(self.rank):
            if lower[dim] is not None and lower[dim] != t.input_inclusive_min[dim]:
                raise FailedPrecondition(f"Cannot change explicit lower bound of dimension {dim}")
            new = upper[dim]
            if new is None:
                continue
            outputs = [o for o, m in enumerate(t.maps) if m.input_dimension == dim]
            fits = len(outputs) == 1 and t.maps[outputs[0]].stride == 1
            if not fits or not (t.implicit_upper_bounds[dim] or tied):
                if new == t.input_exclusive_max[dim]:
                    continue
                raise FailedPrecondition(
                    f"Cannot change explicit upper bound of dimension {dim}; resize the whole "
                    "array, or a view made with resizable bounds"
                )
            (o,) = outputs
            if not implicit[o]:
                raise FailedPrecondition(f"dimension {o} of the array cannot be resized")
            found[o] = t.maps[o].offset + new
        return tuple(found)

    def storage_statistics(
        self,
        *,
        query_not_stored: bool = False,
        query_fully_stored: bool = False,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[_Statistics]:
        """Whether chunks of the view are stored.

        Args:
            query_not_stored: Ask whether none is.
            query_fully_stored: Ask whether all are.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
        """

        async def asked() -> _Statistics:
            statistics = _Statistics()
            if query_not_stored or query_fully_stored:
                found, total = await self._driver.stored_chunks(
                    self._transform, not query_fully_stored
                )
                if query_not_stored:
                    statistics.not_stored = found == 0
                if query_fully_stored:
                    statistics.fully_stored = found == total
            return statistics

        return start(asked, timeout=timeout, deadline=deadline)

    def stored_entries(self) -> Listing[ListEntry]:
        """The stored chunks of the view: their keys, sizes, and times where the store has them.

        Returns:
            The listing: ``async for``, or ``await`` for a list; in no particular order. It fails
            with `Unimplemented` if the driver stores no chunks.
        """

        async def found() -> AsyncIterator[ListEntry]:
            async for entry in self._driver.stored_entries(self._transform):
                yield entry

        return Listing(found)

    def explain(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Explanation]:
        """What reading the view would do now: chunks, requests, bytes; and what would be better.

        Nothing is read but sizes, and of shards the index, which says where the inner chunks are;
        nothing is cached by it. Of a view of very many chunks a part is looked at, and
        `Explanation.estimated` says so.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the explanation, which ``print`` shows. It fails with `OutOfRange` if the view
            leaves the array, and with `Unimplemented` if the driver reads no chunks.
        """

        async def explained() -> Explanation:
            found = await self._driver.explain(self._transform)
            size = self.size * self.dtype.numpy_dtype.itemsize
            return replace(found, shape=self.shape, dtype=self.dtype.name, bytes_returned=size)

        return start(explained, timeout=timeout, deadline=deadline)

    # -- spec -------------------------------------------------------------------------------

    def spec(
        self,
        *,
        open_mode: OpenMode | None = None,
        open: bool | None = None,  # noqa: A002 -- TensorStore's name
        create: bool | None = None,
        delete_existing: bool | None = None,
        assume_metadata: bool | None = None,
        assume_cached_metadata: bool | None = None,
        minimal_spec: bool | None = None,
        retain_context: bool | None = None,
        unbind_context: bool | None = None,
        recheck_cached_metadata: RecheckCacheOption | None = None,
        recheck_cached_data: RecheckCacheOption | None = None,
        recheck_cached: RecheckCacheOption | None = None,
    ) -> Spec:
        """The spec that opens this view again.

        Args:
            open_mode: How it is to be opened; so are the five flags after it.
            open: See `OpenMode`.
            create: See `OpenMode`.
            delete_existing: See `OpenMode`.
            assume_metadata: See `OpenMode`.
            assume_cached_metadata: See `OpenMode`.
            minimal_spec: Leave out the metadata, so that anything stored there fits.
            retain_context: Keep the spec bound to the same context resources, which who opens it
                shares; by default it says nothing of them.
            unbind_context: Name the resources, and define the names in the member ``context``.
            recheck_cached_metadata: See `open`.
            recheck_cached_data: See `open`.
            recheck_cached: Both.

        Raises:
            InvalidArgument: More arrays stand upon each other than JSON says in 64 levels.
        """
        levels = self._driver.levels
        if levels > _MAX_SPEC_LEVELS:
            raise _too_many(levels)
        json, transform = self._driver.view_json(self._transform)
        state = state_from_json(json, REGISTRY)
        if (retain_context or unbind_context) and self._opened is not None:
            state = state.bound_as(self._opened)
        spec = Spec.from_state(replace(state, transform=transform))
        if levels > _PLAIN_LEVELS and state.has_json and not is_readable(spec.to_json()):
            raise _too_many(levels)
        spec.update(
            open_mode=open_mode,
            open=open,
            create=create,
            delete_existing=delete_existing,
            assume_metadata=assume_metadata,
            assume_cached_metadata=assume_cached_metadata,
            recheck_cached_metadata=recheck_cached_metadata,
            recheck_cached_data=recheck_cached_data,
            recheck_cached=recheck_cached,
            minimal_spec=minimal_spec,
            unbind_context=unbind_context,
        )
        return spec

    def _display(self) -> Display:
        return schema_display("TensorStore", self.schema, (), tuple(self._rows()))

    def _rows(self) -> Iterator[tuple[str, str]]:
        """What is shown of it beside the schema."""
        yield "driver", self._driver.driver
        kvstore = self.kvstore
        if kvstore is not None:
            yield "store", kvstore.place
        if self.mode != "rw":
            yield "mode", {"r": "read only", "w": "write only"}[self.mode]
        if self.transaction is not None:
            yield "transaction", "open" if self.transaction.open else "ended"
        spec = self._context.spec
        if spec is not None:
            yield "context", json_repr(spec.to_json(), width=10**6)

    def __repr__(self) -> str:
        try:
            spec = self.spec(unbind_context=True)
        except InvalidArgument:
            # No array is too large to be shown.
            return "TensorStore(...)"
        if not spec.state.has_json:
            return "TensorStore(...)"
        return f"TensorStore({json_repr(spec.state.brief_json())})"


def _too_many(levels: int) -> InvalidArgument:
    return InvalidArgument(
        f"{levels} arrays stand upon each other below this one, and no spec says so many; "
        "give all layers to one overlay, stack or concat"
    )


def _per_dimension(
    name: str, value: Iterable[int | None] | None, rank: int
) -> tuple[int | None, ...]:
    if value is None:
        return (None,) * rank
    if not isinstance(value, Iterable):
        raise IncompatibleType(f"{name} must be a sequence of int or None, but is: {value!r}")
    found = tuple(value)
    if len(found) != rank:
        raise InvalidArgument(f"{name} has {len(found)} elements, expected {rank}")
    return tuple(None if n is None else int(n) for n in found)

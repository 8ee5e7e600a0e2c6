"""`TensorStore`: the handle of an array, or of a view of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy.typing as npt

from asynctensor.chunked.array_driver import ProgressFunction
from asynctensor.chunked.destination import checked_output
from asynctensor.chunked.source import as_source_of, json_source
from asynctensor.copying import copy_view
from asynctensor.display.page import Display, Displayed
from asynctensor.display.summary import Summary
from asynctensor.errors import IncompatibleType, InvalidArgument, PermissionDenied
from asynctensor.index_space.operations import Subscript
from asynctensor.open_mode import OpenMode
from asynctensor.registry import REGISTRY
from asynctensor.resizable_array import ResizableArray
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import is_readable
from asynctensor.schema.keywords import optional_type
from asynctensor.schema.schema_display import schema_display
from asynctensor.spec import Spec
from asynctensor.spec_json import state_from_json
from asynctensor.spec_options import RecheckCacheOption
from asynctensor.storage.kvstore import ListEntry
from asynctensor.storage_statistics import StorageStatistics, storage_statistics
from asynctensor.streaming import check_ahead, stream

if TYPE_CHECKING:
    from asynctensor.chunked.explanation import Explanation

_Statistics = StorageStatistics
#: So many arrays upon each other surely fit into the levels that JSON may have ...
_PLAIN_LEVELS: Final = 8
#: ... and more surely do not.
_MAX_SPEC_LEVELS: Final = 64


class WritableSubscript(Subscript["TensorStore"]):
    """``store.oindex`` and ``store.vindex``: views, and synchronous writes to them."""

    def __setitem__(self, key: Any, source: Any) -> None:
        """Writes to the view, and waits."""
        self[key]._write_now(source)


class TensorStore(ResizableArray, Displayed):
    """An array, or a lazy view of one: an index transform over a driver.

    Made by `open`. Indexing gives views and never reads; `read` and `write` do. Cheap to copy,
    safe to use from any thread and any event loop, picklable.

    In a coroutine, ``await`` stands where these examples have ``.result()``.

    >>> store = at.open("memory://a/|zarr3:", create=True, dtype=at.uint8, shape=[3, 6]).result()
    >>> store[1, 2:4] = 7
    >>> view = store[:2, ::2]
    >>> view.shape
    (2, 3)
    >>> view.read().result()
    array([[0, 0, 0],
           [0, 7, 0]], dtype=uint8)
    >>> view[0].write([1, 2, 3]).result()
    >>> store[0].read().result()
    array([1, 0, 2, 0, 3, 0], dtype=uint8)
    """

    StorageStatistics: ClassVar = _Statistics
    __slots__ = ()

    @property
    def url(self) -> str:
        """URL of the array (not of the view).

        Raises:
            InvalidArgument: There is none.
        """
        return self.spec().url

    @property
    def oindex(self) -> WritableSubscript:
        """``store.oindex[...]``: index arrays apply orthogonally, each in its place."""
        return WritableSubscript(self, "oindex", partial(self._subscripted, "oindex"))

    @property
    def vindex(self) -> WritableSubscript:
        """``store.vindex[...]``: index arrays are broadcast, their dimensions come first."""
        return WritableSubscript(self, "vindex", partial(self._subscripted, "vindex"))

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
        self._check_readable()
        optional_type(batch, Batch, "batch")
        limit = Deadline.of(timeout, deadline)
        into = order if out is None else checked_output(out, self.shape, self.dtype.numpy_dtype)
        return self._driver.read(self._transform, into, limit, progress, batch)

    def _check_readable(self) -> None:
        if not self.readable:
            raise PermissionDenied("Source does not support reading; open it with read=True")

    def stream(
        self, *, ahead: int = 2
    ) -> AsyncGenerator[tuple[tuple[slice, ...], npt.NDArray[Any]], None]:
        """Reads the view block by block, for whoever sends or works it off as it comes.

        ::

            async for region, block in store.stream():
                await response.write(block.tobytes())

        Blocks are runs of whole chunks along the last dimensions, of about 8 MiB, or one chunk,
        and come in C order. So many are in memory as are read ahead, and the one that is being
        worked on: who is slow keeps the next ones from being read.

        Args:
            ahead: How many blocks are read while the caller works on one.

        Returns:
            An asynchronous generator of pairs: what to index this view with for the block, and its
            values. It fails as `read` does. When it is closed, or the task is cancelled, nothing of
            it is being read any more.

        Raises:
            InvalidArgument: `ahead` is no number of blocks.
            PermissionDenied: It was not opened for reading.
        """
        check_ahead(ahead)
        self._check_readable()
        return stream(self, ahead)

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
        return start(
            storage_statistics,
            self._driver,
            self._transform,
            query_not_stored,
            query_fully_stored,
            timeout=timeout,
            deadline=deadline,
        )

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

    def summary(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Summary]:
        """What the array is, as its repr shows it, with how much of it is stored.

        The store is asked for a listing, and for no values.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the summary, which ``print`` and notebooks show. It fails with
            `Unimplemented` if the driver stores no chunks, or the store cannot be listed.
        """

        async def summed_up() -> Summary:
            sizes = [each.size async for each in self._driver.stored_entries(self._transform)]
            nbytes = self.size * self.dtype.numpy_dtype.itemsize
            known = [size for size in sizes if size >= 0]
            complete = len(known) == len(sizes)
            return Summary(self._display(), nbytes, sum(known), len(sizes), complete)

        return start(summed_up, timeout=timeout, deadline=deadline)

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
        spec = Spec.from_state(replace(state.with_silent_base(), transform=transform))
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

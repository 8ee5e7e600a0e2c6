"""`InMemoryArray`: a NumPy array as an array of any other driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.array_driver import (
    ArrayDriver,
    Progress,
    ProgressFunction,
    ResizeRequest,
)
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.source import array_of, as_source, as_source_of, shaped_source
from asynctensor.drivers.array.indexing import bounded, put, taken
from asynctensor.drivers.array.spec import (
    array_schema,
    effective_schema,
    in_order,
    read_members,
    visible,
)
from asynctensor.errors import FailedPrecondition, InvalidArgument, Unimplemented
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.data_type import dtype
from asynctensor.schema.elements import Elements
from asynctensor.schema.json_element import copied_elements
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_transform import transformed
from asynctensor.storage.kvstore import Json, KeyValueStore
from asynctensor.transaction.transaction import Transaction

#: Up to so many bytes are copied on the caller's thread, before the Future is returned.
_INLINE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ArrayStatistics:
    """What is in memory: so many bytes."""

    nbytes: int


class InMemoryArray(ArrayDriver):
    """An array in memory; reads and writes copy, and several at once may mix."""

    driver = "array"
    transaction = None

    def __init__(
        self,
        array: Array,
        data_type: dtype,
        workers: WorkerPool,
        units: Schema | None = None,
    ) -> None:
        """Wraps `array`, which is not copied.

        Args:
            array: Of `data_type`; if it is not writable, neither is this.
            data_type: Of the elements.
            workers: Where large copies are made.
            units: Holds the units of the dimensions, if they are known.
        """
        self.array, self.data_type, self._workers = array, data_type, workers
        self._transform = IndexTransform.identity(array.shape)
        self.access = "rw" if array.flags.writeable else "r"
        self._units = None if units is None else units.dimension_units

    def transform(self) -> IndexTransform:
        return self._transform

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        view = bounded(transform, self.array.shape)

        def copied() -> Array:
            shape = tuple(view.input_shape)
            found = output(shape, self.array.dtype, into)
            found[...] = self._own(taken(self.array, view))
            if progress is not None:
                progress(Progress("read", 1, 1))
            return found

        return self._done(copied, view, limit)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        view = bounded(transform, self.array.shape)
        data = shaped_source(source, view.domain)

        def written() -> None:
            put(self.array, view, self._own(data))
            if progress is not None:
                progress(Progress("write", 1, 1))

        done = self._done(written, view, limit)
        return WriteFutures(done, done)

    def _own(self, elements: Array) -> Array:
        """What can be handed over: a JSON value that changes there must not change here."""
        return copied_elements(elements) if self.data_type.name == "json" else elements

    def _done(self, work: Callable[[], Any], view: IndexTransform, limit: Deadline) -> Future[Any]:
        if view.domain.size * self.array.itemsize <= _INLINE_BYTES:
            return Future.resolved(work())
        seconds = None if limit.never else limit.remaining()
        return start(self._workers.run, work, timeout=seconds)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        raise FailedPrecondition("Resize not supported: an array in memory has a fixed shape")

    async def refresh(self) -> None:
        """There is nothing to look at."""

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        return 1, 1

    async def explain(self, transform: IndexTransform) -> Explanation:
        # Nothing is requested of anything: it is copied.
        view = bounded(transform, self.array.shape)
        shape = tuple(view.input_shape)
        size = view.domain.size * self.array.itemsize
        return Explanation(
            shape=shape,
            dtype=self.data_type.name,
            driver=self.driver,
            url="memory of this process",
            chunk_shape=self.array.shape,
            bytes_returned=size,
        )

    def schema(self) -> Schema:
        known = array_schema(self.array, self.data_type)
        if self._units is not None:
            known.update(dimension_units=self._units)
        return known

    def spec_json(self) -> dict[str, Json]:
        return self.view_json(self.transform())[0]

    def view_json(self, transform: IndexTransform) -> tuple[dict[str, Any], IndexTransform]:
        view = bounded(transform, self.array.shape)
        values, over = visible(taken(self.array, view), transform)
        json = {
            "driver": self.driver,
            "array": Elements(values, self.data_type),
            "dtype": self.data_type.name,
        }
        units = transformed(self.schema().state, transform).units
        if any(units):
            written = tuple(
                None if item.input_dimension is None else units[item.input_dimension]
                for item in over.maps
            )
            json["schema"] = Schema(dimension_units=written).to_json()
        return json, over

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return None

    def bound(self, transaction: Transaction | None) -> InMemoryArray:
        if transaction is not None:
            raise Unimplemented('"array" driver does not support transactions')
        return self

    def statistics(self) -> ArrayStatistics:
        return ArrayStatistics(self.array.nbytes)


async def open_driver(request: DriverRequest) -> InMemoryArray:
    """The array that a spec says in JSON.

    Raises:
        InvalidArgument: A member is wrong, or a constraint is not satisfied.
        Unimplemented: A transaction was given.
    """
    if request.transaction is not None:
        raise Unimplemented('"array" driver does not support transactions')
    schema = request.schema
    array, data_type = read_members(request.options, schema)
    effective_schema(request.options, schema)
    refuse_unsupported(schema)
    if schema.domain is not None and schema.domain != IndexTransform.identity(array.shape).domain:
        raise contradiction(
            f"Mismatch between domain in schema {{ {schema.domain} }} and array of shape "
            f"{array.shape}",
            "schema.domain",
            "array",
        )
    order = schema.chunk_layout.inner_order
    if order is not None:
        array = in_order(array, order)
    # What is opened is its own: the spec stays as it is.
    array = np.array(array, order="K")
    return InMemoryArray(array, data_type, request.resource("data_copy_concurrency"), schema)


def refuse_unsupported(schema: Schema) -> None:
    """Refuses constraints that memory cannot satisfy.

    Raises:
        InvalidArgument: There is a fill value, a codec or a grid.
    """
    layout = schema.chunk_layout
    grids = (layout.write_chunk, layout.read_chunk, layout.codec_chunk)
    if any(grid.shape is not None or grid.elements is not None for grid in grids):
        message = 'chunking not supported by the "array" driver'
        raise contradiction(message, "schema.chunk_layout", "driver")
    for name, given in (("fill_value", schema.fill_value), ("codec", schema.codec)):
        if given is not None:
            message = f'{name} not supported by the "array" driver'
            raise contradiction(message, f"schema.{name}", "driver")


def wrap(
    values: Any,
    data_type: dtype | None,
    workers: WorkerPool,
    copy: bool | None,
    write: bool | None,
) -> InMemoryArray:
    """A driver over an array-like; see `asynctensor.array`."""
    if data_type is not None and data_type.numpy_dtype.hasobject:
        return _of_objects(as_source_of(values, data_type), data_type, workers, copy, write)
    try:
        found = array_of(values, copy=copy)
    except ValueError as error:
        raise InvalidArgument(f"the source is no array that can be used: {error}") from error
    if data_type is None and found.dtype.hasobject:
        return _of_objects(found, dtype("json"), workers, copy, write)
    if data_type is None and found.dtype.kind == "S" and found.dtype.itemsize > 1:
        raise InvalidArgument(f"{found.dtype!r} holds texts: pass dtype=asynctensor.string")
    given = found
    if data_type is None:
        data_type = dtype(found.dtype)
    else:
        found = as_source(
            found if isinstance(values, np.ndarray) else values, data_type.numpy_dtype
        )
    if found.dtype != data_type.numpy_dtype:
        found = found.astype(data_type.numpy_dtype)
    if found is not given and copy is False:
        raise InvalidArgument(
            f"Unable to avoid copy: the source is no {data_type.name} array in native byte order; "
            "pass copy=None"
        )
    if copy and np.may_share_memory(found, given):
        found = found.copy()
    if write is False and found.flags.writeable:
        found = found.view()
        found.flags.writeable = False
    elif write and not found.flags.writeable:
        if copy is False:
            raise InvalidArgument("the array is not writable; pass copy=None for a writable copy")
        found = found.copy()
    return InMemoryArray(found, data_type, workers)


def _of_objects(
    values: Array, data_type: dtype, workers: WorkerPool, copy: bool | None, write: bool | None
) -> InMemoryArray:
    """Elements that are Python's objects, of which those in the array are its own."""
    if copy is False:
        raise InvalidArgument(
            f"Unable to avoid copy: an array of {data_type.name} has elements of its own; "
            "pass copy=None"
        )
    found = copied_elements(values) if data_type.name == "json" else values.copy()
    found.flags.writeable = write is not False
    return InMemoryArray(found, data_type, workers)

"""`StackDriver`: several arrays, the layers, seen as one; the later ones lie on top."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asynctensor.chunked.adapter import levels_over
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, order_of, output
from asynctensor.chunked.driver_request import DriverRequest, OpenView, SpecBelow, schema_of
from asynctensor.chunked.explanation import Explanation, combined
from asynctensor.chunked.pieces import (
    PIECE_BYTES,
    PIECES,
    Counter,
    Piece,
    for_each,
    pieces_of,
    place_of,
)
from asynctensor.chunked.source import shaped_source
from asynctensor.chunked.view import View
from asynctensor.drivers.stack.plan import LayerGrid, Part
from asynctensor.drivers.stack.spec import stacked_schema
from asynctensor.errors import Error, InvalidArgument, PermissionDenied, Unimplemented
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json, KeyValueStore, ListEntry
from asynctensor.transaction.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: an opened view, or a spec that every operation opens anew.

    Attributes:
        array: Which of them.
        open_view: Opens a spec.
    """

    array: View | SpecBelow
    open_view: OpenView

    def schema(self) -> Schema:
        """In the indices of the stack."""
        return self.array.schema() if isinstance(self.array, View) else schema_of(self.array)

    def spec_json(self) -> dict[str, Any]:
        """The spec that opens it."""
        if isinstance(self.array, View):
            return self.array.spec_json()
        return self.array.without_context().to_json()

    def bound(self, transaction: Transaction | None) -> Layer:
        """The same as `transaction` sees it; of a spec, whatever it gives."""
        below = self.array
        if isinstance(below, View):
            view = View(below.driver.bound(transaction), below.transform, below.mode)
            return Layer(view, self.open_view)

        async def open_bound(spec: Any) -> View:
            view = await self.open_view(spec)
            return View(view.driver.bound(transaction), view.transform, view.mode)

        return Layer(below, open_bound)

    async def opened(self) -> View:
        """The layer as a view."""
        if isinstance(self.array, View):
            return self.array
        return await self.open_view(self.array)


class StackDriver(ArrayDriver):
    """Layers in a common index space, with explicit bounds; without fill value and chunks."""

    driver = "stack"

    def __init__(
        self,
        layers: Sequence[Layer],
        schema: Schema,
        transaction: Transaction | None,
        workers: WorkerPool,
    ) -> None:
        """Puts layers together.

        Raises:
            InvalidArgument: They do not fit together, or their data type is not known.
        """
        stacked = stacked_schema([layer.schema() for layer in layers], schema)
        self.levels = levels_over(
            layer.array.driver for layer in layers if isinstance(layer.array, View)
        )
        data_type, domain = stacked.schema.dtype, stacked.schema.domain
        if data_type is None:
            raise InvalidArgument("dtype must be specified: no layer says it")
        assert domain is not None
        self.layers, self._schema, self.transaction = tuple(layers), stacked.schema, transaction
        self.data_type, self._workers = data_type, workers
        self._grid = LayerGrid(domain, stacked.domains)
        self._transform = IndexTransform(domain)
        modes = [layer.array.mode for layer in layers if isinstance(layer.array, View)]
        anything = len(modes) < len(layers) or not layers
        self.access = "".join(w for w in "rw" if anything or any(w in mode for mode in modes))

    def transform(self) -> IndexTransform:
        return self._transform

    # -- reading and writing ----------------------------------------------------------------

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        view = self._grid.bounded(transform)
        parts, shape = self._grid.parts(view), tuple(view.input_shape)
        seconds = None if limit.never else limit.remaining()
        if not parts:
            return Future.resolved(output(shape, self.data_type.numpy_dtype, into))
        opened = [self._opened(part.layer) for part in parts]
        if parts[0].whole and (layer := opened[0]) is not None:
            _check_readable(layer)
            inner = layer.transform[parts[0].transform]
            return layer.driver.read(inner, into, limit, progress, batch)
        if batch is None:
            return start(self._read, parts, shape, into, progress, timeout=seconds)
        begun: list[Future[Array] | None] = []
        for part, known in zip(parts, opened, strict=True):
            if known is not None:
                _check_readable(known)
                inner = known.transform[part.transform]
                begun.append(known.driver.read(inner, order_of(into), NEVER, None, batch))
            else:
                begun.append(None)
        return start(self._gather, parts, begun, shape, into, timeout=seconds)

    def _opened(self, layer: int) -> View | None:
        array = self.layers[layer].array
        return array if isinstance(array, View) else None

    async def _gather(
        self,
        parts: list[Part],
        begun: list[Future[Array] | None],
        shape: tuple[int, ...],
        into: Into,
    ) -> Array:
        found = output(shape, self.data_type.numpy_dtype, into)

        async def one(number: int) -> None:
            future = begun[number]
            if future is None:
                await self._read_part(parts[number], found, into)
            else:
                found[parts[number].place] = await future

        await for_each(range(len(parts)), one, len(parts))
        return found

    async def _read(
        self,
        parts: list[Part],
        shape: tuple[int, ...],
        into: Into,
        progress: ProgressFunction | None,
    ) -> Array:
        found = output(shape, self.data_type.numpy_dtype, into)
        await self._each(parts, lambda part: self._read_part(part, found, into), "read", progress)
        return found

    async def _read_part(self, part: Part, found: Array, into: Into) -> None:
        view = await self._layer(part.layer)
        _check_readable(view)
        inner = view.transform[part.transform]

        async def read(piece: Piece) -> None:
            data = await view.driver.read(inner[piece], order_of(into), NEVER, None, None)
            found[part.place][place_of(piece, inner.input_origin)] = data

        pieces = self._pieces(view, inner, part)
        if pieces is None:
            found[part.place] = await view.driver.read(inner, order_of(into), NEVER, None, None)
        else:
            await for_each(pieces, read)

    def _pieces(self, view: View, inner: IndexTransform, part: Part, written: bool = False) -> Any:
        """How to cut a large part; None if it is small, or elements of it lie scattered."""
        itemsize = self.data_type.numpy_dtype.itemsize
        if inner.domain.size * itemsize <= PIECES * PIECE_BYTES:
            return None
        if not all(isinstance(each, slice) for each in part.place):
            return None
        layout = View(view.driver, inner).schema().chunk_layout
        return pieces_of(inner.domain, layout, itemsize, written=written)

    async def _each(
        self,
        parts: list[Part],
        work: Callable[[Part], Awaitable[None]],
        operation: str,
        progress: ProgressFunction | None,
    ) -> None:
        counter = Counter(progress, operation, len(parts), self._workers)

        async def one(part: Part) -> None:
            await work(part)
            await counter.count()

        await for_each(parts, one)

    async def _layer(self, number: int) -> View:
        try:
            return await self.layers[number].opened()
        except Error as error:
            error.message = f"While opening layer {number}: {error.message}"
            raise

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        bounded = self._grid.bounded(transform)
        parts, data = self._grid.parts(bounded), shaped_source(source, bounded.domain)
        if not parts:
            nothing: Future[None] = Future.resolved(None)
            return WriteFutures(nothing, nothing)
        view = self._opened(parts[0].layer)
        if parts[0].whole and view is not None:
            _check_writable(view)
            return view.driver.write(view.transform[parts[0].transform], data, limit, progress)
        seconds = None if limit.never else limit.remaining()
        run = start if self.transaction is None else self.transaction.run
        written: Future[None] = run(self._write, parts, data, progress, timeout=seconds)
        return WriteFutures(written, written)

    async def _write(
        self, parts: list[Part], data: Array, progress: ProgressFunction | None
    ) -> None:
        async def write(part: Part) -> None:
            view = await self._layer(part.layer)
            _check_writable(view)
            inner = view.transform[part.transform]
            await view.driver.write(inner, data[part.place], NEVER, None)

        await self._each(parts, write, "write", progress)

    # -- what it is -------------------------------------------------------------------------

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        raise Unimplemented("Resize not supported: resize the layers, and stack them again")

    async def refresh(self) -> None:
        """The bounds of a stack do not move."""

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        stored = total = 0
        for part in self._grid.parts(self._grid.bounded(transform)):
            view = await self._layer(part.layer)
            inner = view.transform[part.transform]
            more, count = await view.driver.stored_chunks(inner, enough)
            stored, total = stored + more, total + count
        return stored, total

    async def explain(self, transform: IndexTransform) -> Explanation:
        found = []
        for part in self._grid.parts(self._grid.bounded(transform)):
            view = await self._layer(part.layer)
            told = await view.driver.explain(view.transform[part.transform])
            found.append(replace(told, shape=tuple(part.transform.input_shape)))
        return combined(self.driver, found)

    async def stored_entries(self, transform: IndexTransform) -> AsyncIterator[ListEntry]:
        seen = set()
        for part in self._grid.parts(self._grid.bounded(transform)):
            view = await self._layer(part.layer)
            store = view.driver.kvstore()
            async for entry in view.driver.stored_entries(view.transform[part.transform]):
                # One chunk may serve several parts; keys of different stores are different.
                which = None if store is None else store[0].identity, entry.key
                if which not in seen:
                    seen.add(which)
                    yield entry

    def schema(self) -> Schema:
        return self._schema

    def spec_json(self) -> dict[str, Json]:
        schema = self._schema.to_json()
        schema.pop("rank", None)
        schema.pop("dtype", None)
        return {
            "driver": self.driver,
            "dtype": self.data_type.name,
            "layers": [layer.spec_json() for layer in self.layers],
            "schema": schema,
        }

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return None

    def bound(self, transaction: Transaction | None) -> StackDriver:
        layers = [layer.bound(transaction) for layer in self.layers]
        return StackDriver(layers, self._schema, transaction, self._workers)

    def statistics(self) -> Any:
        """Those of the opened layers, None for the others."""
        return tuple(
            layer.array.driver.statistics() if isinstance(layer.array, View) else None
            for layer in self.layers
        )


def _check_readable(view: View) -> None:
    if "r" not in view.mode:
        raise PermissionDenied("Source does not support reading; open the layer with read=True")


def _check_writable(view: View) -> None:
    if "w" not in view.mode:
        raise PermissionDenied("Destination does not support writing.")


def stacked(
    layers: Sequence[View | SpecBelow],
    schema: Schema,
    open_view: OpenView,
    transaction: Transaction | None,
    workers: WorkerPool,
) -> StackDriver:
    """Layers put together; see `asynctensor.overlay`.

    Raises:
        InvalidArgument: They do not fit together, or belong to different transactions.
    """
    views = [array for array in layers if isinstance(array, View)]
    common = transaction
    if transaction is None and views:
        common = views[0].driver.transaction
    found = []
    for number, array in enumerate(layers):
        layer = Layer(array, open_view)
        if isinstance(array, View) and array.driver.transaction is not common:
            if array.driver.transaction is not None or transaction is None:
                raise InvalidArgument(
                    f"Layer {number}: Transaction mismatch; use with_transaction on all layers "
                    "or on the stack"
                )
            layer = layer.bound(transaction)
        found.append(layer)
    return StackDriver(found, schema, common, workers)


async def open_driver(request: DriverRequest) -> StackDriver:
    """The layers of a spec, which are opened when they are used.

    Raises:
        InvalidArgument: A member is missing or wrong, or the layers do not fit together.
    """
    layers = [Layer(spec, request.open_view) for spec in request.options.get("layers", ())]
    workers = request.resource("data_copy_concurrency")
    return StackDriver(layers, request.schema, request.transaction, workers)

"""`CastDriver`: an array whose elements are converted as they are read and written."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, order_of, output
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.pieces import Piece, for_each, pieces_of, place_of
from asynctensor.chunked.source import shaped_source
from asynctensor.chunked.view import View
from asynctensor.drivers.cast.spec import base_schema, cast_schema
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.conversion import can_convert, convert
from asynctensor.schema.data_type import dtype
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json

#: Up to so many elements are converted on the caller's thread.
_INLINE_ELEMENTS = 4096
#: More bytes than these are read and written in pieces, so that no second copy of all is held.
_WHOLE_BYTES = 32 * 2**20


class CastDriver(AdapterDriver):
    """The array below, in its index space, with another data type.

    Which elements cannot be converted shows when they are touched: texts and JSON only.
    """

    driver = "cast"

    def __init__(self, below: ArrayDriver, target: dtype, workers: WorkerPool) -> None:
        """Puts a data type on an array.

        Raises:
            InvalidArgument: There is no conversion in either direction.
        """
        super().__init__(below)
        source = below.data_type
        ways = {"r": can_convert(source, target), "w": can_convert(target, source)}
        if not any(ways.values()):
            message = f"Cannot convert {source.name} <-> {target.name}"
            raise contradiction(message, "dtype", "base")
        self.access = "".join(each for each in below.access if ways[each])
        if not self.access:
            raise contradiction(
                f"Cannot convert {source.name} {'->' if 'r' in below.access else '<-'} "
                f"{target.name}, and the base does not allow the other direction",
                "dtype",
                "base",
            )
        self.data_type, self._workers = target, workers

    def over(self, below: ArrayDriver) -> CastDriver:
        return CastDriver(below, self.data_type, self._workers)

    # -- reading and writing ----------------------------------------------------------------

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        size = transform.domain.size
        if batch is None and progress is None and size * self._itemsize > _WHOLE_BYTES:
            return self._start(self._read_pieces, transform, into, limit=limit)
        source = self.below.read(transform, order_of(into), limit, progress, batch)
        if source.done() and size <= _INLINE_ELEMENTS and source.exception() is None:
            return Future.resolved(self._converted(source.result(), into))
        return start(self._read_whole, source, into)

    @property
    def _itemsize(self) -> int:
        return max(self.data_type.numpy_dtype.itemsize, self.below.data_type.numpy_dtype.itemsize)

    async def _read_whole(self, source: Future[Array], into: Into) -> Array:
        return await self._workers.run(self._converted, await source, into)

    async def _read_pieces(self, transform: IndexTransform, into: Into) -> Array:
        view = View(self.below, transform).resolved()
        found = output(tuple(view.transform.input_shape), self.data_type.numpy_dtype, into)

        async def read(piece: Piece) -> None:
            data = await self.below.read(view.transform[piece], order_of(into), NEVER, None, None)
            place = found[place_of(piece, view.transform.input_origin)]
            await self._workers.run(self._convert_into, place, data)

        domain = view.transform.domain
        await for_each(pieces_of(domain, view.schema().chunk_layout, self._itemsize), read)
        return found

    def _converted(self, data: Array, into: Into = "C") -> Array:
        found = output(data.shape, self.data_type.numpy_dtype, into)
        self._convert_into(found, data)
        return found

    def _convert_into(self, found: Array, data: Array) -> None:
        found[...] = convert(data, self.below.data_type, self.data_type)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        if source.size <= _INLINE_ELEMENTS:
            return self.below.write(transform, self._stored(source), limit, progress)
        if progress is not None or source.nbytes <= _WHOLE_BYTES:
            written = self._start(self._write_whole, transform, source, progress, limit=limit)
        else:
            data = shaped_source(source, View(self.below, transform).resolved().transform.domain)
            written = self._start(self._write_pieces, transform, data, limit=limit)
        return WriteFutures(written, written)

    def _stored(self, data: Array) -> Array:
        wanted = self.data_type.numpy_dtype
        if data.dtype != wanted:
            data = data.astype(wanted)
        return convert(data, self.data_type, self.below.data_type)

    async def _write_whole(
        self, transform: IndexTransform, source: Array, progress: ProgressFunction | None
    ) -> None:
        data = await self._workers.run(self._stored, source)
        await self.below.write(transform, data, NEVER, progress)

    async def _write_pieces(self, transform: IndexTransform, source: Array) -> None:
        view = View(self.below, transform).resolved()
        domain = view.transform.domain

        async def write(piece: Piece) -> None:
            part = source[place_of(piece, domain.origin)]
            data = await self._workers.run(self._stored, part)
            await self.below.write(view.transform[piece], data, NEVER, None)

        layout = view.schema().chunk_layout
        await for_each(pieces_of(domain, layout, self._itemsize, written=True), write)

    def _start(self, work: Any, *args: Any, limit: Deadline) -> Future[Any]:
        seconds = None if limit.never else limit.remaining()
        if self.transaction is not None and work != self._read_pieces:
            return self.transaction.run(work, *args, timeout=seconds)
        return start(work, *args, timeout=seconds)

    # -- what it is -------------------------------------------------------------------------

    def schema(self) -> Schema:
        return cast_schema(self.below.schema(), self.data_type)

    def spec_json(self) -> dict[str, Json]:
        return self._json(dict(self.below.spec_json()))

    def view_json(self, transform: IndexTransform) -> tuple[dict[str, Any], IndexTransform]:
        json, over = self.below.view_json(transform)
        return self._json(json), over

    def _json(self, base: dict[str, Any]) -> dict[str, Any]:
        return {"driver": self.driver, "base": base, "dtype": self.data_type.name}


async def open_driver(request: DriverRequest) -> View:
    """The base of a spec, with the spec's data type.

    Raises:
        InvalidArgument: A member is missing, or there is no conversion.
    """
    kept, below = base_schema(request.options, request.schema)
    if kept.dtype is None:
        raise InvalidArgument('dtype must be specified: to what "cast" converts')
    view = await request.open_view(request.base().with_schema(below))
    return cast_view(view, kept.dtype, request.resource("data_copy_concurrency"))


def cast_view(view: View, target: dtype, workers: WorkerPool) -> View:
    """`view` with another data type.

    Raises:
        InvalidArgument: There is no conversion.
    """
    driver = CastDriver(view.driver, target, workers)
    mode = "".join(each for each in view.mode if each in driver.access)
    if not mode:
        raise IncompatibleType(
            f"Cannot convert between {view.driver.data_type.name} and {target.name} in the "
            f'direction that mode "{view.mode}" allows'
        )
    return View(driver, view.transform, mode)

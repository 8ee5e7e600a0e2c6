"""`DownsampleDriver`: an array seen at a lower resolution, computed as it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.pieces import (
    PIECE_BYTES,
    Counter,
    Piece,
    PieceGrid,
    boxes,
    for_each,
    pieces_of,
    place_of,
)
from asynctensor.chunked.view import View
from asynctensor.drivers.downsample.cells import (
    Axis,
    downsampled_schema,
    point_groups,
    reduce_grid,
    strided,
)
from asynctensor.drivers.downsample.large_cells import HELD_BYTES, accumulator, check_cells
from asynctensor.drivers.downsample.methods import check_method, reduced
from asynctensor.drivers.downsample.spec import (
    base_schema,
    check_rank,
    checked_method,
    read_factors,
    read_method,
)
from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.points import point_indices
from asynctensor.index_space.propagate_bounds import (
    check_index_arrays,
    propagate_bounds,
    resolve_over,
)
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where cells are, for as long as the bounds below do not move.

    Attributes:
        stored: What the array below said.
        below: The view of it, with no bound left open.
        to_base: From cells to the first positions of cells in that.
        shown: The identity over the cells.
    """

    stored: IndexTransform
    below: View
    to_base: IndexTransform
    shown: IndexTransform


class DownsampleDriver(AdapterDriver):
    """A view whose elements stand for cells of the view below; can only be read.

    Reads of much data go piece by piece along the chunks below; so do large cells, but for those of
    ``"median"`` and ``"mode"``, which are held whole up to a limit.
    """

    driver = "downsample"

    def __init__(
        self, below: View, factors: tuple[int, ...], method: str, workers: WorkerPool
    ) -> None:
        """Puts cells over a view.

        Raises:
            InvalidArgument: The factors do not fit its rank, or the method not its data type.
        """
        super().__init__(below.driver)
        check_rank(factors, below.transform.input_rank)
        check_method(method, self.data_type)
        self.view, self.factors, self.method = below, factors, method
        self.access, self._workers = "r", workers
        self._bounds: Bounds | None = None

    def over(self, below: ArrayDriver) -> DownsampleDriver:
        view = View(below, self.view.transform, self.view.mode)
        return DownsampleDriver(view, self.factors, self.method, self._workers)

    def transform(self) -> IndexTransform:
        return self.bounds().shown

    def bounds(self) -> Bounds:
        """Where the view and its cells are now."""
        stored = self.below.transform()
        known = self._bounds
        if known is None or (known.stored is not stored and known.stored != stored):
            below = View(self.below, resolve_over(self.view.transform, stored), self.view.mode)
            to_base = strided(below.transform.domain, self.factors, self.method)
            shown = IndexTransform(to_base.domain)
            known = self._bounds = Bounds(stored, below, to_base, shown)
        return known

    # -- reading ----------------------------------------------------------------------------

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        if self.method == "stride":
            now = self.bounds()
            below = now.below
            composed = below.transform[now.to_base][transform]
            return below.driver.read(composed, into, limit, progress, batch)
        seconds = None if limit.never else limit.remaining()
        reading = _Reading(self, transform)
        if batch is not None:
            data = reading.grid_future(batch)
            if data is not None:
                return start(reading.from_grid, data, into, timeout=seconds)
        return start(reading.all, into, progress, timeout=seconds)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        raise PermissionDenied("Destination does not support writing.")

    # -- what it is -------------------------------------------------------------------------

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        raise FailedPrecondition("a downsampled view cannot be resized; resize its base")

    def inner(self, transform: IndexTransform) -> IndexTransform:
        return self._shown(transform).transform

    async def explain(self, transform: IndexTransform) -> Explanation:
        if self.method != "stride":
            return await super().explain(transform)
        # Only the first elements of cells are read.
        now = self.bounds()
        below = now.below
        composed = below.transform[now.to_base][self.bounded(transform, now)]
        return await below.driver.explain(composed)

    def _shown(self, transform: IndexTransform) -> View:
        """The box of the view below that holds all cells of a view."""
        now = self.bounds()
        below, view = now.below, self.bounded(transform, now)
        domain = below.transform.domain
        box = []
        for dim, (item, factor) in enumerate(zip(view.maps, self.factors, strict=True)):
            low, high = domain.inclusive_min[dim], domain.exclusive_max[dim]
            cells = _span(item, view)
            if cells is None:
                box.append(slice(low, low))
                continue
            first = max(low, cells[0] * factor)
            last = cells[1] if self.method == "stride" else cells[1] + 1
            end = last * factor + (self.method == "stride")
            box.append(slice(first, max(first, min(high, end))))
        return View(below.driver, below.transform[tuple(box)], below.mode)

    def bounded(self, transform: IndexTransform, now: Bounds) -> IndexTransform:
        """`transform` over the cells, with explicit, checked bounds.

        Raises:
            OutOfRange: It leaves them.
        """
        domain = now.to_base.domain
        found = propagate_bounds(transform, domain.inclusive_min, domain.exclusive_max)
        if 0 not in found.input_shape:
            check_index_arrays(found)
        return found

    def schema(self) -> Schema:
        return downsampled_schema(self.view.schema(), self.bounds().to_base)

    def spec_json(self) -> dict[str, Json]:
        return {
            "driver": self.driver,
            "base": self.view.spec_json(),
            "downsample_factors": list(self.factors),
            "downsample_method": self.method,
        }

    def base(self, transform: IndexTransform) -> View:
        if transform == self.transform():
            return self.view
        return self._shown(transform)

    @property
    def workers(self) -> WorkerPool:
        """Where cells are computed."""
        return self._workers


def _span(item: OutputIndexMap, view: IndexTransform) -> tuple[int, int] | None:
    """The least and the greatest index of one map; None if there is none."""
    if 0 in view.input_shape:
        return None
    stride, dim = item.stride or 0, item.input_dimension
    ends = [item.offset]
    if dim is not None:
        low, high = view.input_inclusive_min[dim], view.input_exclusive_max[dim]
        ends = [item.offset + stride * low, item.offset + stride * (high - 1)]
    elif item.index_array is not None:
        values = item.offset + stride * item.index_array
        ends = [int(values.min()), int(values.max())]
    return min(ends), max(ends)


class _Reading:
    """One read of a view: with the bounds that the array below had when it began."""

    def __init__(self, driver: DownsampleDriver, transform: IndexTransform) -> None:
        self._driver = driver
        now = driver.bounds()
        self._below = now.below
        self._view = driver.bounded(transform, now)
        self._domain = self._below.transform.domain
        itemsize = driver.data_type.numpy_dtype.itemsize
        check_cells(tuple(self._cell_shape()), itemsize, driver.method)

    def grid_future(self, batch: Batch) -> Future[Array] | None:
        """Begins to read all elements below with a batch; None if they form no grid."""
        axes = self._axes(self._view)
        if axes is None or 0 in self._view.input_shape:
            return None
        if math.prod(self._cell_shape()) * self._driver.data_type.numpy_dtype.itemsize > HELD_BYTES:
            return None
        return self._read_below(axes, batch)

    async def from_grid(self, data: Future[Array], into: Into) -> Array:
        """The cells of what `grid_future` reads."""
        found = self._output(into)
        axes = self._axes(self._view)
        assert axes is not None
        await self._driver.workers.run(self._fill, found, await data, axes, self._view)
        return found

    async def all(self, into: Into, progress: ProgressFunction | None) -> Array:
        """The cells, read piece by piece."""
        found = self._output(into)
        view = self._view
        if 0 in view.input_shape:
            return found
        origin, pieces = view.input_origin, self._pieces()
        counter = Counter(progress, "read", pieces.count, self._driver.workers)

        async def piece(where: Piece) -> None:
            place = found[place_of(where, origin)]
            # A view even of rank 0, into which the piece is put.
            await self._piece(view[where], place if view.input_rank else found)
            await counter.count()

        await for_each(pieces, piece)
        return found

    def _output(self, into: Into) -> Array:
        shape = tuple(self._view.input_shape)
        return output(shape, self._driver.data_type.numpy_dtype, into)

    def _pieces(self) -> PieceGrid:
        itemsize = self._driver.data_type.numpy_dtype.itemsize * math.prod(self._driver.factors)
        domain = self._view.domain
        if domain.size * itemsize <= PIECE_BYTES:
            return boxes(
                domain.inclusive_min, domain.exclusive_max, domain.origin, domain.shape, domain.size
            )
        layout = View(self._driver, self._view).schema().chunk_layout
        return pieces_of(domain, layout, itemsize)

    async def _piece(self, view: IndexTransform, place: Array) -> None:
        driver = self._driver
        cell = math.prod(self._cell_shape()) * place.dtype.itemsize
        if cell > HELD_BYTES and accumulator(driver.method, place.dtype) is not None:
            await self._large(view, place)
            return
        axes = self._axes(view)
        if axes is None:
            await self._points(view, place)
            return
        data = await self._read_below(axes, None)
        await self._driver.workers.run(self._fill, place, data, axes, view)

    def _axes(self, view: IndexTransform) -> list[Axis] | None:
        """The cells per dimension, if they form a grid: no input dimension counts twice."""
        used: list[int] = []
        found = []
        for out, item in enumerate(view.maps):
            cells = np.array([item.offset], np.int64)
            dim = _input_of(item)
            if dim is not None and dim < 0:
                return None
            if dim is not None:
                used.append(dim)
                low = view.input_inclusive_min[dim]
                span: Any = np.arange(low, low + view.input_shape[dim])
                if item.index_array is not None:
                    span = item.index_array.ravel()
                cells = item.offset + (item.stride or 0) * span
            elif item.index_array is not None:
                cells = cells + (item.stride or 0) * item.index_array.ravel()
            low, high = self._domain.inclusive_min[out], self._domain.exclusive_max[out]
            found.append(Axis(cells, low, high, self._driver.factors[out]))
        return found if len(set(used)) == len(used) else None

    def _read_below(self, axes: list[Axis], batch: Batch | None) -> Future[Array]:
        where = tuple(axis.positions() for axis in axes)
        below = self._below.transform
        inner = below.oindex[where] if where else below
        return self._below.driver.read(inner, "C", NEVER, None, batch)

    def _fill(self, place: Array, data: Array, axes: list[Axis], view: IndexTransform) -> None:
        cells = reduce_grid(data, axes, self._driver.method)
        dims = [_input_of(item) for item in view.maps]
        kept = [dim for dim in dims if dim is not None]
        cells = cells[(*(0 if dim is None else slice(None) for dim in dims), ...)]
        cells = cells.transpose(sorted(range(len(kept)), key=kept.__getitem__))
        shape = [cells.shape[sorted(kept).index(d)] if d in kept else 1 for d in range(place.ndim)]
        place[...] = cells.reshape(shape)

    def _cell_shape(self) -> list[int]:
        """The largest shape of a cell."""
        shape = zip(self._driver.factors, self._domain.shape, strict=True)
        return [min(factor, size) for factor, size in shape]

    async def _large(self, view: IndexTransform, place: Array) -> None:
        """Cells that are not held whole, one after the other."""
        driver, below = self._driver, self._below
        cells, back = await driver.workers.run(_distinct, view)
        found = np.empty(len(cells), place.dtype)
        layout, low, high = below.schema().chunk_layout, self._domain.origin, self._domain
        for number, cell in enumerate(cells.tolist()):
            spans = zip(cell, driver.factors, low, high.exclusive_max, strict=True)
            box = [(max(k * n, first), min((k + 1) * n, end)) for k, n, first, end in spans]
            inside = IndexDomain(
                inclusive_min=[first for first, _ in box], exclusive_max=[end for _, end in box]
            )
            total = accumulator(driver.method, place.dtype)
            assert total is not None
            for piece in pieces_of(inside, layout, place.dtype.itemsize):
                inner = below.transform[piece]
                data = await below.driver.read(inner, "C", NEVER, None, None)
                await driver.workers.run(total.add, data)
            found[number] = total.result()
        place[...] = found[back].reshape(place.shape)

    async def _points(self, view: IndexTransform, place: Array) -> None:
        """Cells that form no grid: each distinct one is read once."""
        driver, rank = self._driver, len(view.maps)
        cells, back = await driver.workers.run(_distinct, view)
        found = np.empty(len(cells), place.dtype)
        limit = PIECE_BYTES // max(1, place.dtype.itemsize)
        low, high = np.array(self._domain.inclusive_min), np.array(self._domain.exclusive_max)
        for some, starts, shape in point_groups(cells, low, high, np.array(driver.factors), limit):
            index = []
            for dim in range(rank):
                sizes = [1] * (rank + 1)
                sizes[dim + 1] = shape[dim]
                steps = np.arange(shape[dim]).reshape(sizes)
                index.append(starts[:, dim].reshape(-1, *(1,) * rank) + steps)
            inner = self._below.transform.vindex[tuple(index)]
            data = await self._below.driver.read(inner, "C", NEVER, None, None)
            block = partial(_reduced_points, data, shape, driver.method)
            found[some] = await driver.workers.run(block)
        place[...] = found[back].reshape(place.shape)


def _input_of(item: OutputIndexMap) -> int | None:
    """The one input dimension that a map follows; None if none, -1 if several."""
    if item.index_array is None:
        return item.input_dimension
    varying = [dim for dim, size in enumerate(item.index_array.shape) if size != 1]
    if len(varying) > 1:
        return -1
    return varying[0] if varying else None


def _distinct(view: IndexTransform) -> tuple[Array, Array]:
    """The cells of a view, each once, of shape ``(cells, rank)``; and which is at each place."""
    points = np.broadcast_arrays(*point_indices(view), np.empty(view.input_shape, np.bool_))[:-1]
    rows = np.stack([each.ravel() for each in points], axis=-1)
    cells, back = np.unique(rows, axis=0, return_inverse=True)
    return cells, back.ravel()


def _reduced_points(data: Array, shape: tuple[int, ...], method: str) -> Array:
    block = [data.shape[0], 1]
    for size in shape:
        block += [1, size]
    return reduced(data.reshape(block), method).reshape(-1)


async def open_driver(request: DriverRequest) -> DownsampleDriver:
    """The base of a spec, at a lower resolution.

    Raises:
        InvalidArgument: A member is missing or wrong.
    """
    factors, method = read_factors(request.options), read_method(request.options)
    _, below = base_schema(request.options, request.schema)
    view = await request.open_view(request.base().with_schema(below))
    return DownsampleDriver(view, factors, method, request.resource("data_copy_concurrency"))


def downsampled(
    below: View, factors: tuple[int, ...], method: object, workers: WorkerPool
) -> DownsampleDriver:
    """`below` at a lower resolution; see `asynctensor.downsample`.

    Raises:
        InvalidArgument: There is no such method, or it or the factors do not fit.
        PermissionDenied: It cannot be read.
    """
    if "r" not in below.mode:
        raise PermissionDenied("Source does not support reading; open it with read=True")
    return DownsampleDriver(below, factors, checked_method(method), workers)

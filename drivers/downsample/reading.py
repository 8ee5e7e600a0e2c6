"""Reading cells: in pieces along the chunks below, all of a grid at once or one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from asynctensor.chunked.array_driver import ProgressFunction
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into, output
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
from asynctensor.drivers.downsample.cells import Axis, point_groups, reduce_grid
from asynctensor.drivers.downsample.large_cells import HELD_BYTES, accumulator, check_cells
from asynctensor.drivers.downsample.methods import reduced
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.points import point_indices
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import NEVER
from asynctensor.runtime.future import Future
from asynctensor.runtime.workers import WorkerPool
from asynctensor.schema.chunk_layout import ChunkLayout


@dataclass(frozen=True, slots=True)
class Reduction:
    """How the elements below become those of a downsampled array.

    Attributes:
        factors: The size of a cell along each dimension.
        method: How the elements of a cell become one.
        dtype: Of the elements.
        workers: Where that is done.
    """

    factors: tuple[int, ...]
    method: str
    dtype: np.dtype[Any]
    workers: WorkerPool


class Reading:
    """One read of a view, with the bounds that the array below had when it began.

    Args:
        how: How the elements are made of those below.
        below: The view below, with no bound left open.
        view: From the indices of what is read to the cells; within them.
        layout: Gives the chunks of the view, in its own indices.

    Raises:
        ResourceExhausted: One cell is too large to be held, and cannot be worked out in pieces.
    """

    def __init__(
        self,
        how: Reduction,
        below: View,
        view: IndexTransform,
        layout: Callable[[], ChunkLayout],
    ) -> None:
        self._how, self._below, self._view, self._layout = how, below, view, layout
        self._domain = below.transform.domain
        check_cells(tuple(self._cell_shape()), how.dtype.itemsize, how.method)

    def grid_future(self, batch: Batch) -> Future[Array] | None:
        """Begins to read all elements below with a batch; None if they form no grid."""
        axes = self._axes(self._view)
        if axes is None or 0 in self._view.input_shape:
            return None
        if math.prod(self._cell_shape()) * self._how.dtype.itemsize > HELD_BYTES:
            return None
        return self._read_below(axes, batch)

    async def from_grid(self, data: Future[Array], into: Into) -> Array:
        """The cells of what `grid_future` reads."""
        found = self._output(into)
        axes = self._axes(self._view)
        assert axes is not None
        await self._how.workers.run(self._fill, found, await data, axes, self._view)
        return found

    async def all(self, into: Into, progress: ProgressFunction | None) -> Array:
        """The cells, read piece by piece."""
        found = self._output(into)
        view = self._view
        if 0 in view.input_shape:
            return found
        origin, pieces = view.input_origin, self._pieces()
        counter = Counter(progress, "read", pieces.count, self._how.workers)

        async def piece(where: Piece) -> None:
            place = found[place_of(where, origin)]
            # A view even of rank 0, into which the piece is put.
            await self._piece(view[where], place if view.input_rank else found)
            await counter.count()

        await for_each(pieces, piece)
        return found

    def _output(self, into: Into) -> Array:
        shape = tuple(self._view.input_shape)
        return output(shape, self._how.dtype, into)

    def _pieces(self) -> PieceGrid:
        itemsize = self._how.dtype.itemsize * math.prod(self._how.factors)
        domain = self._view.domain
        if domain.size * itemsize <= PIECE_BYTES:
            return boxes(
                domain.inclusive_min, domain.exclusive_max, domain.origin, domain.shape, domain.size
            )
        return pieces_of(domain, self._layout(), itemsize)

    async def _piece(self, view: IndexTransform, place: Array) -> None:
        cell = math.prod(self._cell_shape()) * place.dtype.itemsize
        if cell > HELD_BYTES and accumulator(self._how.method, place.dtype) is not None:
            await self._large(view, place)
            return
        axes = self._axes(view)
        if axes is None:
            await self._points(view, place)
            return
        data = await self._read_below(axes, None)
        await self._how.workers.run(self._fill, place, data, axes, view)

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
            found.append(Axis(cells, low, high, self._how.factors[out]))
        return found if len(set(used)) == len(used) else None

    def _read_below(self, axes: list[Axis], batch: Batch | None) -> Future[Array]:
        where = tuple(axis.positions() for axis in axes)
        below = self._below.transform
        inner = below.oindex[where] if where else below
        return self._below.driver.read(inner, "C", NEVER, None, batch)

    def _fill(self, place: Array, data: Array, axes: list[Axis], view: IndexTransform) -> None:
        cells = reduce_grid(data, axes, self._how.method)
        dims = [_input_of(item) for item in view.maps]
        kept = [dim for dim in dims if dim is not None]
        cells = cells[(*(0 if dim is None else slice(None) for dim in dims), ...)]
        cells = cells.transpose(sorted(range(len(kept)), key=kept.__getitem__))
        shape = [cells.shape[sorted(kept).index(d)] if d in kept else 1 for d in range(place.ndim)]
        place[...] = cells.reshape(shape)

    def _cell_shape(self) -> list[int]:
        """The largest shape of a cell."""
        shape = zip(self._how.factors, self._domain.shape, strict=True)
        return [min(factor, size) for factor, size in shape]

    async def _large(self, view: IndexTransform, place: Array) -> None:
        """Reduction that are not held whole, one after the other."""
        how, below = self._how, self._below
        cells, back = await how.workers.run(_distinct, view)
        found = np.empty(len(cells), place.dtype)
        layout, low, high = below.schema().chunk_layout, self._domain.origin, self._domain
        for number, cell in enumerate(cells.tolist()):
            spans = zip(cell, how.factors, low, high.exclusive_max, strict=True)
            box = [(max(k * n, first), min((k + 1) * n, end)) for k, n, first, end in spans]
            inside = IndexDomain(
                inclusive_min=[first for first, _ in box], exclusive_max=[end for _, end in box]
            )
            total = accumulator(how.method, place.dtype)
            assert total is not None
            for piece in pieces_of(inside, layout, place.dtype.itemsize):
                inner = below.transform[piece]
                data = await below.driver.read(inner, "C", NEVER, None, None)
                await how.workers.run(total.add, data)
            found[number] = total.result()
        place[...] = found[back].reshape(place.shape)

    async def _points(self, view: IndexTransform, place: Array) -> None:
        """Reduction that form no grid: each distinct one is read once."""
        how, rank = self._how, len(view.maps)
        cells, back = await how.workers.run(_distinct, view)
        found = np.empty(len(cells), place.dtype)
        limit = PIECE_BYTES // max(1, place.dtype.itemsize)
        low, high = np.array(self._domain.inclusive_min), np.array(self._domain.exclusive_max)
        for some, starts, shape in point_groups(cells, low, high, np.array(how.factors), limit):
            index = []
            for dim in range(rank):
                sizes = [1] * (rank + 1)
                sizes[dim + 1] = shape[dim]
                steps = np.arange(shape[dim]).reshape(sizes)
                index.append(starts[:, dim].reshape(-1, *(1,) * rank) + steps)
            inner = self._below.transform.vindex[tuple(index)]
            data = await self._below.driver.read(inner, "C", NEVER, None, None)
            block = partial(_reduced_points, data, shape, how.method)
            found[some] = await how.workers.run(block)
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

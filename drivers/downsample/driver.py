"""`DownsampleDriver`: an array seen at a lower resolution, computed as it is read."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.chunked.adapter import AdapterDriver
from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into
from asynctensor.chunked.driver_request import DriverRequest
from asynctensor.chunked.explanation import Explanation
from asynctensor.chunked.view import View
from asynctensor.drivers.downsample.cells import downsampled_schema, strided
from asynctensor.drivers.downsample.methods import check_method
from asynctensor.drivers.downsample.reading import Reading, Reduction
from asynctensor.drivers.downsample.spec import (
    base_schema,
    check_rank,
    checked_method,
    read_factors,
    read_method,
)
from asynctensor.errors import FailedPrecondition, PermissionDenied
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.propagate_bounds import (
    check_index_arrays,
    propagate_bounds,
    resolve_over,
)
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
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
        reading = self._reading(transform)
        if batch is not None:
            data = reading.grid_future(batch)
            if data is not None:
                return start(reading.from_grid, data, into, timeout=seconds)
        return start(reading.all, into, progress, timeout=seconds)

    def _reading(self, transform: IndexTransform) -> Reading:
        now = self.bounds()
        view = self.bounded(transform, now)
        how = Reduction(self.factors, self.method, self.data_type.numpy_dtype, self._workers)
        return Reading(how, now.below, view, lambda: View(self, view).schema().chunk_layout)

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

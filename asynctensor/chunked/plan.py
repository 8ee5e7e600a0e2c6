"""Which chunks to work on next: requests become groups of tasks, on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.request import Request
from asynctensor.chunked.tiles import Tile, ragged, tiles
from asynctensor.runtime.workers import WorkerPool, yield_gil

#: Decoded bytes that one worker takes at a time: about a millisecond of work.
GROUP_BYTES = 4 * 2**20
#: Chunks at most in one group, whatever their size.
GROUP_CELLS = 256
#: Requests of at most so many chunks are merged with others of the same turn.
SMALL_CELLS = 64
#: So many requests are planned without a pause, and that on the I/O loop, too.
_FEW = 8


class ViewRequest(Request[Any]):
    """One read or write of a view.

    Attributes:
        partition: The chunks of the view.
        data: Output or input, of the view's shape.
        bound: Cached chunks must have been current at this time (Unix seconds) or later.
    """

    __slots__ = ("bound", "data", "partition")

    def __init__(
        self,
        partition: Partition,
        data: Array,
        bound: float = 0.0,
        result: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(result)
        self.partition, self.data, self.bound = partition, data, bound

    def _outcome(self) -> object:
        return self.data


def plan_later(
    workers: WorkerPool,
    request: ViewRequest,
    plan: Callable[[], None],
    submit: Callable[[ViewRequest], None],
) -> None:
    """Has a worker plan and submit `request`: sorting many points takes a while.

    What either raises fails the request.
    """

    def planned() -> None:
        try:
            plan()
            submit(request)
        except Exception as error:  # noqa: BLE001 -- told by the request
            request.fail(error)
            request.planned()

    workers.post(planned)


#: Somebody's part of one chunk.
Target: TypeAlias = tuple[ViewRequest, Partition, Cell]
#: A chunk, and who wants, or changes, what of it, in the order of their requests.
Task: TypeAlias = tuple[tuple[int, ...], list[Target]]


@dataclass(frozen=True, slots=True)
class TileTask:
    """Whole neighbouring chunks that one request wants."""

    request: ViewRequest
    tile: Tile

    def target(self, k: int) -> Target:
        """The request's part of the `k`-th chunk, which is all of it."""
        return self.request, self.request.partition, self.tile.cell(k)


W = TypeVar("W")


class Stream(Generic[W]):
    """Groups of pieces of work, taken one by one by whichever worker is free."""

    def __init__(
        self,
        requests: Sequence[ViewRequest],
        groups: Iterator[list[W]],
        *,
        is_small: bool = False,
    ) -> None:
        #: Whether it is of small requests.
        self.is_small = is_small
        #: Who wants something of it.
        self.requests = requests
        self._groups = groups
        self._lock = threading.Lock()
        self._following: list[W] | None = None
        self._begun = False
        #: Whether `take` has given the last group. Who sees that wakes no further worker.
        self.exhausted = False

    def take(self) -> list[W] | None:
        """The next group; None when there is none any more."""
        with self._lock:
            if not self._begun:
                self._begun = True
                self._following = self._planned()
            group = self._following
            if group is not None:
                self._following = self._planned()
            self.exhausted = self._following is None
            return group

    def _planned(self) -> list[W] | None:
        try:
            return next(self._groups, None)
        except Exception as error:  # noqa: BLE001
            # Nobody may wait for chunks that were never planned.
            for request in self.requests:
                request.fail(error)
                request.planned()
            return None


def streams(requests: Sequence[ViewRequest], group_cells: int) -> list[Stream[Task]]:
    """Plans what was asked for in one turn: the small requests together, each large by itself.

    Args:
        requests: What was asked for.
        group_cells: Chunks of one group at most.
    """
    small, large = _by_size(requests, group_cells)
    return _merged_streams(small, group_cells) + [
        Stream([r], _grouped(r, _tasks(r), group_cells)) for r in large
    ]


def tiled_streams(
    requests: Sequence[ViewRequest], group_cells: int, tile_cells: int
) -> list[Stream[Task | TileTask]]:
    """`streams`, with the whole chunks of large requests in tiles of at most `tile_cells`."""
    small, large = _by_size(requests, group_cells)
    found: list[Stream[Task | TileTask]] = [*_merged_streams(small, group_cells)]
    for r in large:
        work = _tasks(r) if tile_cells < 2 else _tiled(r, tile_cells)
        found.append(Stream([r], _grouped(r, work, group_cells)))
    return found


def _by_size(
    requests: Sequence[ViewRequest], group_cells: int
) -> tuple[list[ViewRequest], list[ViewRequest]]:
    # Of large chunks fewer are work for more than one worker.
    limit = max(8, min(SMALL_CELLS, 2 * group_cells))
    small = [r for r in requests if r.partition.count <= limit]
    return small, [r for r in requests if r.partition.count > limit]


def _merged_streams(small: Sequence[ViewRequest], group_cells: int) -> list[Stream[Any]]:
    return [Stream(small, _merged(small, group_cells), is_small=True)] if small else []


def _tasks(request: ViewRequest) -> Iterator[tuple[Task, int]]:
    partition = request.partition
    for cell in partition.cells():
        yield (partition.index(cell), [(request, partition, cell)]), 1


def _tiled(request: ViewRequest, tile_cells: int) -> Iterator[tuple[Task | TileTask, int]]:
    partition = request.partition
    for tile in tiles(partition, tile_cells):
        yield TileTask(request, tile), tile.count
    for cell in ragged(partition):
        yield (partition.index(cell), [(request, partition, cell)]), 1


def _grouped(
    request: ViewRequest, work: Iterator[tuple[W, int]], group_cells: int
) -> Iterator[list[W]]:
    """The work of one large request, planned while the first of it is being done already."""
    # Several groups per worker, where there are enough chunks, so that all end at about one time.
    group_cells = max(1, min(group_cells, request.partition.count // 16))
    group: list[W] = []
    planned = 0
    for item, cells in work:
        group.append(item)
        planned += cells
        if planned >= group_cells:
            if not request.begin(planned):
                group = []
                break
            yield group
            group, planned = [], 0
    if group and request.begin(planned):
        yield group
    request.planned()


def _merged(requests: Sequence[ViewRequest], group_cells: int) -> Iterator[list[Task]]:
    """The chunks of many small requests, each chunk once."""
    tasks: dict[tuple[int, ...], list[Target]] = {}
    for request in requests:
        partition = request.partition
        # Planned before it is begun: should planning fail, nothing of it is waited for.
        cells = list(partition.cells())
        if request.begin(len(cells)):
            for cell in cells:
                tasks.setdefault(partition.index(cell), []).append((request, partition, cell))
        request.planned()
        if len(requests) > _FEW:
            yield_gil()
    items = list(tasks.items())
    # Not fewer groups than a few per worker, so that all have something to do.
    size = max(1, min(group_cells, len(items) // 8))
    for i in range(0, len(items), size):
        yield items[i : i + size]

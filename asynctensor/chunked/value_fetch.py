"""`ValueFetch`: a piece of work of a stream, and what has come of the values that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asynctensor.chunked.array import ChunkStatistics
from asynctensor.chunked.plan import Task, TileTask, ViewRequest
from asynctensor.chunked.values import HeldValue


class ValueFetch:
    """The piece of work, and its values.

    Attributes:
        item: The work.
        held: The values that have come, in the order of its chunks.
        missing: How many have not.
        begun: What gives up each value that is under way without a task.
        tasks: Tasks that fetch the others.
        counts: What was read.
        since: When it began (monotonic).
        has_left_the_way: Whether others may be under way in its place already.
    """

    __slots__ = (
        "begun", "counts", "has_left_the_way", "held", "item", "missing", "since", "tasks"
    )  # fmt: skip

    def __init__(self, item: Task | TileTask) -> None:
        self.item = item
        self.missing = item.tile.count if isinstance(item, TileTask) else 1
        self.held: list[HeldValue | None] = [None] * self.missing
        self.begun: dict[int, Callable[[], object]] = {}
        self.tasks: set[asyncio.Task[HeldValue]] = set()
        self.counts = ChunkStatistics()
        self.since = 0.0
        self.has_left_the_way = False

    def requests(self) -> list[ViewRequest]:
        """Who wants it."""
        item = self.item
        return [item.request] if isinstance(item, TileTask) else [t[0] for t in item[1]]

    def is_stopped(self) -> bool:
        """Whether nobody wants it any more."""
        return all([request.stopped for request in self.requests()])

    def task(self, k: int) -> Task:
        """Its `k`-th chunk, and who wants what of it."""
        item = self.item
        if isinstance(item, TileTask):
            target = item.target(k)
            return item.request.partition.index(target[2]), [target]
        return item

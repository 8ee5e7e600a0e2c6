"""Writes of one array that are committed together: which chunks, and who still wants it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from asynctensor.chunked.plan import Target, Task, ViewRequest


class Batch:
    """Some write requests, by chunk; of one thread at a time.

    Attributes:
        tasks: What is written to each chunk, in the order of the requests.
    """

    def __init__(self, request: ViewRequest) -> None:
        partition = request.partition
        self._requests = [request]
        #: Cells of each request that was begun that are not finished.
        self._left: dict[ViewRequest, int] = {}
        self.tasks: dict[tuple[int, ...], list[Target]] = {
            partition.index(cell): [(request, partition, cell)] for cell in partition.cells()
        }

    def touches(self, other: Batch) -> bool:
        """Whether both have a chunk."""
        few, many = sorted((self.tasks, other.tasks), key=len)
        return any(index in many for index in few)

    def take(self, other: Batch) -> None:
        """Takes over the requests of a batch that was asked for later, and has not begun."""
        self._requests += other._requests
        for index, targets in other.tasks.items():
            self.tasks.setdefault(index, []).extend(targets)

    def begin(self) -> None:
        """Says to the requests that they are under way."""
        for each in self._requests:
            if each.begin(each.partition.count):
                self._left[each] = each.partition.count
            each.planned()

    def live(self) -> list[ViewRequest]:
        """The requests that have not given up, or failed; lets go of the others."""
        for each in [each for each in self._left if each.stopped]:
            each.finish(self._left.pop(each))
        return list(self._left)

    def groups(self, size: int) -> Iterator[list[Task]]:
        """The tasks, at most so many at a time; several may take from it in turns."""
        tasks = iter(self.tasks.items())
        while group := list(islice(tasks, size)):
            yield group

    def done(self, group: Sequence[Task]) -> None:
        """Counts chunks as done; of each request the last waits for the commit."""
        for _, targets in group:
            for request, _, _ in targets:
                left = self._left.get(request, 0)
                if left > 1:
                    self._left[request] = left - 1
                    request.finish()

    def finish(self) -> None:
        """Counts all as done."""
        for request, left in self._left.items():
            request.finish(left)
        self._left = {}

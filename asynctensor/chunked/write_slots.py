"""The chunks of an array that are being written in this process, and what came for each since.

Whoever comes while a chunk is being written leaves its data in the chunk's *slot*, and whoever
holds the slot writes all of it at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import Target, Task
from asynctensor.chunked.shard_read import inner_parts
from asynctensor.chunked.update import Patch
from asynctensor.errors import Error
from asynctensor.storage.kvstore import Buffer, size_of


class WriteSlots:
    """The slots of one array. Thread-safe."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        self._lock = threading.Lock()
        #: Chunks being written, and what came for each since.
        self._slots: dict[tuple[int, ...], list[Target]] = {}

    def claim(self, task: Task) -> bool:
        """Takes the chunk's slot, or leaves the task to whoever has it."""
        index, targets = task
        with self._lock:
            waiting = self._slots.get(index)
            if waiting is not None:
                waiting.extend(targets)
                return False
            self._slots[index] = []
            return True

    def _release(self, index: tuple[int, ...]) -> Task | None:
        """Gives the slot up, unless something came meanwhile: that is to be written now."""
        with self._lock:
            waiting = self._slots[index]
            if not waiting:
                del self._slots[index]
                return None
            self._slots[index] = []
            return index, waiting

    def stored(
        self, task: Task, value: Buffer | tuple[Buffer, ...] | None, done: ChunkStatistics
    ) -> None:
        """Counts what was written, and forgets what was cached of the chunk."""
        array, (index, targets) = self._array, task
        done.store_writes += 1
        done.bytes_written += size_of(value)
        shard = array.layout.shard
        cached = bool(array.cache.limit_bytes)
        array.forget(index, inner_parts(shard, targets) if cached and shard is not None else None)

    def failed(self, task: Task, error: Exception, following: list[Task]) -> None:
        """Fails those who wanted it; adds to `following` what is to be written next."""
        index, targets = task
        if isinstance(error, Error):
            error.located(array=self._array.url, key=self._array.key(index), operation="write")
        for request, _, _ in targets:
            request.fail(error)
        self.finished(task, following)

    def finished(self, task: Task, following: list[Task]) -> None:
        """Gives the chunk up; adds to `following` what is to be written next."""
        index, targets = task
        for request, _, _ in targets:
            request.finish()
        waiting = self._release(index)
        if waiting is not None:
            following.append(waiting)


def patches_of(targets: Sequence[Target]) -> list[Patch]:
    """The data of those who have not given up."""
    return [(r.data, partition, cell) for r, partition, cell in targets if not r.stopped]

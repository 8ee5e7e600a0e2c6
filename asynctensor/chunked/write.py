"""Writing: chunks are put together, encoded and replaced by worker threads, in groups.

A write that covers a chunk replaces it unconditionally; any other reads it, changes it, and
replaces it on condition that nobody else did meanwhile, again and again until that holds: so no
update is lost between processes. Within the process, chunks that are being written have slots
(`write_slots`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import GROUP_CELLS, Stream, Task, ViewRequest, streams
from asynctensor.chunked.remote_write import SENT_BYTES, RemoteWriter
from asynctensor.chunked.request import hand_over
from asynctensor.chunked.update import covers, updated_value
from asynctensor.chunked.values import check_size, stored_bytes
from asynctensor.chunked.write_slots import WriteSlots, patches_of
from asynctensor.runtime.event_loop import io_loop_if_any
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Replacement, whole

#: Decoded bytes of one group: the larger, the fewer times a directory is made durable.
_GROUP_BYTES = 16 * 2**20
#: Groups of one array that are encoded and wait to be stored; with the above, the memory for it.
_MAX_STORING = 6
#: Values handed to the store in one call; what `file` makes durable at once.
_PIECE = 64


class Writer:
    """Serves the write requests of one array."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        face = array.store.blocking
        self._face = face if face is not None and face.replaces else None
        self._collector = TurnCollector[ViewRequest](self._deliver)
        group_bytes = SENT_BYTES if self._face is None else _GROUP_BYTES
        self._group_cells = max(1, min(GROUP_CELLS, group_bytes // max(1, array.chunk_bytes)))
        self._lock = threading.Lock()
        #: Groups that are encoded, or being encoded, and not stored yet.
        self._storing = 0
        #: Streams that wait for that number to fall.
        self._parked: deque[Stream[Task]] = deque()
        self._slots = WriteSlots(array)
        self._remote = RemoteWriter(array, self._slots)

    @classmethod
    def of(cls, array: ChunkedArray) -> Writer:
        """The writer of `array`; all who write to it in this process share it."""
        face = array.store.blocking
        is_local = face is not None and face.replaces
        works_on = PROCESS.pools_ended if is_local else io_loop_if_any()
        return array.shared_writer(lambda: cls(array), works_on)

    def submit(self, request: ViewRequest) -> None:
        """Writes `request`, together with what else is to be written in this turn."""
        self._collector.add(request)

    def _deliver(self, requests: list[ViewRequest]) -> None:
        array = self._array
        for stream in streams(requests, self._group_cells):
            if self._face is None:
                hand_over(stream.requests, self._remote.begin, stream)
            elif stream.is_small:
                array.io_workers.post(self._pull_small, stream)
            else:
                array.workers.post(self._pull, stream)

    # -- on worker threads ------------------------------------------------------------------

    def _pull_small(self, stream: Stream[Task]) -> None:
        """Encodes and stores a group on one thread, which may wait for the disk."""
        tasks = stream.take()
        if tasks is None:
            return
        if not stream.exhausted:
            self._array.io_workers.post(self._pull_small, stream)
        done = ChunkStatistics()
        self._write([task for task in tasks if self._slots.claim(task)], done)

    def _pull(self, stream: Stream[Task]) -> None:
        """Encodes a group, and leaves storing it to a thread that may wait for the disk.

        Encoding goes on meanwhile: as many threads as there are processors do it best. What is
        encoded and not stored yet is bounded.
        """
        with self._lock:
            if self._storing >= _MAX_STORING:
                self._parked.append(stream)
                return
            self._storing += 1
        tasks = stream.take()
        if tasks is None:
            self._stored_group()
            return
        if not stream.exhausted:
            self._array.workers.post(self._pull, stream)
        done = ChunkStatistics()
        following: list[Task] = []
        group = self._encoded([task for task in tasks if self._slots.claim(task)], following, done)
        self._array.io_workers.post(self._store_group, group, following, done)

    def _store_group(
        self,
        group: list[tuple[Task, Replacement]],
        following: list[Task],
        done: ChunkStatistics,
    ) -> None:
        try:
            self._store(group, following, done)
            self._write(following, done)
        finally:
            self._stored_group()

    def _stored_group(self) -> None:
        with self._lock:
            self._storing -= 1
            stream = self._parked.popleft() if self._parked else None
        if stream is not None:
            self._array.workers.post(self._pull, stream)

    def _write(self, tasks: list[Task], done: ChunkStatistics) -> None:
        """Writes chunks whose slots are held, and what comes for them meanwhile."""
        while tasks:
            following: list[Task] = []
            self._store(self._encoded(tasks, following, done), following, done)
            tasks = following

    def _encoded(
        self, tasks: Sequence[Task], following: list[Task], done: ChunkStatistics
    ) -> list[tuple[Task, Replacement]]:
        """Works out the new values; adds to `following` what is to be written next."""
        group: list[tuple[Task, Replacement]] = []
        for task in tasks:
            try:
                replacement = self._prepared(task, done)
            except Exception as error:  # noqa: BLE001
                self._slots.failed(task, error, following)
                continue
            if replacement is None:
                self._slots.finished(task, following)
            else:
                group.append((task, replacement))
            yield_gil()
        return group

    def _store(
        self,
        group: Sequence[tuple[Task, Replacement]],
        following: list[Task],
        done: ChunkStatistics,
    ) -> None:
        """Stores new values; adds to `following` what is to be written next.

        In pieces, so that who gives up waits for one of them at most.
        """
        assert self._face is not None
        for start in range(0, len(group), _PIECE):
            wanted = []
            for task, replacement in group[start : start + _PIECE]:
                if patches_of(task[1]):
                    wanted.append((task, replacement))
                else:
                    self._slots.finished(task, following)
            if wanted:
                self._store_piece(wanted, following, done)

    def _store_piece(
        self,
        group: Sequence[tuple[Task, Replacement]],
        following: list[Task],
        done: ChunkStatistics,
    ) -> None:
        assert self._face is not None
        results: Sequence[TimestampedStorageGeneration | Exception]
        try:
            results = self._face.replace([replacement for _, replacement in group])
        except Exception as error:  # noqa: BLE001
            results = [error] * len(group)
        for (task, replacement), result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                self._slots.failed(task, result, following)
            elif result.generation == UNKNOWN:
                done.conflicts += 1
                following.append(task)
            else:
                self._slots.stored(task, replacement.value, done)
                self._array.count(done)
                self._slots.finished(task, following)

    def _prepared(self, task: Task, done: ChunkStatistics) -> Replacement | None:
        """The replacement that a task comes to; None if all who wanted it have given up."""
        array, (index, targets) = self._array, task
        assert self._face is not None
        patches = patches_of(targets)
        if not patches:
            return None
        key = array.key(index)
        if covers(patches):
            return Replacement(key, updated_value(array, index, patches, None, done))
        value = self._face.open(key)
        if value is None:
            new = updated_value(array, index, patches, None, done)
            return Replacement(key, new, NO_VALUE)
        try:
            check_size(value.size, array.form_bytes)
            current = stored_bytes(value, array.scratch, 0, value.size)
            done.store_reads += 1
            done.bytes_read += value.size
            new = updated_value(array, index, patches, current, done)
            # Its pieces may lie in this thread's buffer, which the next chunk will use.
            new = None if new is None else whole(new)
        finally:
            value.close()
        return Replacement(key, new, value.generation)

"""Writing: chunks are put together, encoded and replaced by worker threads, in groups.

A write that covers a chunk replaces it unconditionally; any other reads it, changes it, and
replaces it on condition that nobody else did meanwhile, again and again until that holds: so no
update is lost between processes. Within the process, whoever comes while a chunk is being written
leaves its data in the chunk's *slot*, and whoever holds the slot writes all of it at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import (
    GROUP_CELLS,
    Stream,
    Target,
    Task,
    ViewRequest,
    streams,
)
from asynctensor.chunked.request import Stopped, unless_stopped
from asynctensor.chunked.shard_read import inner_parts
from asynctensor.chunked.update import Patch, covers, updated_value
from asynctensor.chunked.values import check_size, stored_bytes
from asynctensor.errors import Aborted, Error
from asynctensor.runtime.event_loop import io_loop
from asynctensor.runtime.turn import TurnCollector
from asynctensor.runtime.workers import yield_gil
from asynctensor.scheduler.flow import FLOW
from asynctensor.storage.generation import (
    NO_VALUE,
    UNKNOWN,
    TimestampedStorageGeneration,
)
from asynctensor.storage.kvstore import Buffer, Replacement, whole

#: Decoded bytes of one group: the larger, the fewer times a directory is made durable.
_GROUP_BYTES = 16 * 2**20
#: Groups of one array that are encoded and wait to be stored; with the above, the memory for it.
_MAX_STORING = 6
#: Values handed to the store in one call; what `file` makes durable at once.
_PIECE = 64
#: Decoded bytes that one stream has under way to a store without a blocking face, and the same in
#: values: enough to keep a store with a long way busy, and at least a few. How many requests are
#: really sent at once is for the store to decide.
_WINDOW_BYTES = 64 * 2**20
#: Decoded bytes that are encoded at a time for such a store: the first requests leave soon, and a
#: worker is woken for a few chunks rather than for each.
_SENT_BYTES = 2**20
_WINDOW_VALUES = (8, 256)


#: A chunk whose slot is held, and its new value; None: that is to be read and changed.
_Ready: TypeAlias = "tuple[Task, Replacement | None]"


class Writer:
    """Serves the write requests of one array."""

    def __init__(self, array: ChunkedArray) -> None:
        self._array = array
        face = array.store.blocking
        self._face = face if face is not None and face.replaces else None
        self._collector = TurnCollector[ViewRequest](self._deliver)
        self._group_cells = max(1, min(GROUP_CELLS, _GROUP_BYTES // max(1, array.chunk_bytes)))
        if self._face is None:
            group = _SENT_BYTES // max(1, array.chunk_bytes)
            self._group_cells = max(1, min(GROUP_CELLS, group))
        self._lock = threading.Lock()
        #: Groups that are encoded, or being encoded, and not stored yet.
        self._storing = 0
        #: Streams that wait for that number to fall.
        self._parked: deque[Stream[Task]] = deque()
        #: Chunks being written, and what came for each since.
        self._slots: dict[tuple[int, ...], list[Target]] = {}

    @classmethod
    def of(cls, array: ChunkedArray) -> Writer:
        """The writer of `array`; all who write to it in this process share it."""
        return array.shared_writer(lambda: cls(array))

    def submit(self, request: ViewRequest) -> None:
        """Writes `request`, together with what else is to be written in this turn."""
        self._collector.add(request)

    def _deliver(self, requests: list[ViewRequest]) -> None:
        array = self._array
        for stream in streams(requests, self._group_cells):
            if self._face is None:
                io_loop().call_soon_threadsafe(self._start_async, stream)
            elif stream.is_small:
                array.io_workers.post(self._pull_small, stream)
            else:
                array.workers.post(self._pull, stream)

    # -- slots ------------------------------------------------------------------------------

    def _claim(self, task: Task) -> bool:
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

    # -- on worker threads ------------------------------------------------------------------

    def _pull_small(self, stream: Stream[Task]) -> None:
        """Encodes and stores a group on one thread, which may wait for the disk."""
        tasks = stream.take()
        if tasks is None:
            return
        if not stream.exhausted:
            self._array.io_workers.post(self._pull_small, stream)
        done = ChunkStatistics()
        self._write([task for task in tasks if self._claim(task)], done)

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
        group = self._encoded([task for task in tasks if self._claim(task)], following, done)
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
                self._failed(task, error, following)
                continue
            if replacement is None:
                self._finished(task, following)
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
                if _patches(task[1]):
                    wanted.append((task, replacement))
                else:
                    self._finished(task, following)
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
                self._failed(task, result, following)
            elif result.generation == UNKNOWN:
                done.conflicts += 1
                following.append(task)
            else:
                self._stored(task, replacement.value, done)
                self._array.count(done)
                self._finished(task, following)

    def _prepared(self, task: Task, done: ChunkStatistics) -> Replacement | None:
        """The replacement that a task comes to; None if all who wanted it have given up."""
        array, (index, targets) = self._array, task
        assert self._face is not None
        patches = _patches(targets)
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

    def _stored(
        self, task: Task, value: Buffer | tuple[Buffer, ...] | None, done: ChunkStatistics
    ) -> None:
        array, (index, targets) = self._array, task
        done.store_writes += 1
        if value is not None:
            pieces = value if isinstance(value, tuple) else (value,)
            done.bytes_written += sum([memoryview(piece).nbytes for piece in pieces])
        shard = array.layout.shard
        cached = bool(array.cache.limit_bytes)
        array.forget(index, inner_parts(shard, targets) if cached and shard is not None else None)

    def _failed(self, task: Task, error: Exception, following: list[Task]) -> None:
        index, targets = task
        if isinstance(error, Error):
            error.located(array=self._array.url, key=self._array.key(index), operation="write")
        for request, _, _ in targets:
            request.fail(error)
        self._finished(task, following)

    def _finished(self, task: Task, following: list[Task]) -> None:
        index, targets = task
        for request, _, _ in targets:
            request.finish()
        waiting = self._release(index)
        if waiting is not None:
            following.append(waiting)

    # -- on the I/O loop, for stores without a blocking face --------------------------------

    def _start_async(self, stream: Stream[Task]) -> None:
        least, most = _WINDOW_VALUES
        size = _WINDOW_BYTES // max(1, self._array.chunk_bytes)
        room = asyncio.Semaphore(max(least, min(most, size)))
        # Two of them, so that one encodes while the other hands out what it has encoded.
        for _ in range(2):
            self._array.keep_task(asyncio.ensure_future(self._send(stream, room)))

    async def _send(self, stream: Stream[Task], room: asyncio.Semaphore) -> None:
        """Has group after group encoded, and its values written, as many at once as there is room.

        What would be held by a value that waits for room is bounded by that, too.
        """
        # The requests of one write take turns with those of others.
        FLOW.set(stream)
        ready: list[_Ready] = []
        try:
            while (group := await self._array.workers.run(self._ready, stream)) is not None:
                ready = group[::-1]
                while ready:
                    await room.acquire()
                    writing = asyncio.ensure_future(self._write_to_end(*ready.pop()))
                    writing.add_done_callback(lambda _: room.release())
                    self._array.keep_task(writing)
        except asyncio.CancelledError:
            for task, _ in ready:
                self._failed(task, Aborted("the I/O loop ended during the write"), [])
            raise

    def _ready(self, stream: Stream[Task]) -> list[_Ready] | None:
        """On a worker: the next group, and the new values for which nothing has to be read."""
        tasks = stream.take()
        if tasks is None:
            return None
        ready: list[_Ready] = []
        done = ChunkStatistics()
        for claimed in tasks:
            following = [claimed] if self._claim(claimed) else []
            while following:
                task = following.pop()
                try:
                    patches = _patches(task[1])
                    if patches and covers(patches):
                        value = updated_value(self._array, task[0], patches, None, done)
                        ready.append((task, Replacement(self._array.key(task[0]), value)))
                    elif patches:
                        ready.append((task, None))
                    else:
                        self._finished(task, following)
                except Exception as error:  # noqa: BLE001
                    self._failed(task, error, following)
            yield_gil()
        self._array.count(done)
        return ready

    async def _write_to_end(self, task: Task, replacement: Replacement | None) -> None:
        """Writes a value whose slot is held, and what comes for it meanwhile."""
        following: list[Task] = []
        await self._write_async(task, replacement, following)
        while following:
            await self._write_async(following.pop(), None, following)

    async def _write_async(
        self, task: Task, replacement: Replacement | None, following: list[Task]
    ) -> None:
        targets = task[1]
        if not _patches(targets):
            # They have given up while it waited for room.
            self._finished(task, following)
            return
        try:
            if replacement is None:
                work = self._updated(task)
            else:
                work = self._replaced(task, replacement, ChunkStatistics())
            if await unless_stopped([request for request, _, _ in targets], work):
                self._finished(task, following)
            else:
                following.append(task)
        except Stopped:
            self._finished(task, following)
        except Exception as error:  # noqa: BLE001
            self._failed(task, error, following)
        except asyncio.CancelledError:
            self._failed(task, Aborted("the I/O loop ended during the write"), following)
            raise

    async def _updated(self, task: Task) -> bool:
        """Replaces one value by what becomes of it; False if somebody else changed it meanwhile."""
        array, (index, targets) = self._array, task
        patches = _patches(targets)
        if not patches:
            return True
        done = ChunkStatistics()
        key = array.key(index)
        current, condition = None, UNKNOWN
        if not covers(patches):
            found = await array.store.read(key)
            done.store_reads += 1
            done.bytes_read += len(found.value)
            current = found.value if found.state == "value" else None
            if array.store.capabilities.can_compare_and_swap:
                condition = found.stamp.generation
        value = await array.workers.run(updated_value, array, index, patches, current, done)
        return await self._replaced(task, Replacement(key, value, condition), done)

    async def _replaced(self, task: Task, replacement: Replacement, done: ChunkStatistics) -> bool:
        """Replaces one value; False if somebody else changed it meanwhile."""
        array, value = self._array, replacement.value
        stamp = await array.store.write(
            replacement.key, None if value is None else whole(value), replacement.if_equal
        )
        if stamp.generation == UNKNOWN:
            done.conflicts += 1
        else:
            self._stored(task, value, done)
        array.count(done)
        return stamp.generation != UNKNOWN


def _patches(targets: Sequence[Target]) -> list[Patch]:
    """The data of those who have not given up."""
    return [(r.data, partition, cell) for r, partition, cell in targets if not r.stopped]

"""Writing to a store that is not local: values are encoded by workers, and sent by the I/O loop.

How many requests are really under way is for the store below to decide; here only memory is
bounded.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.plan import Stream, Task
from asynctensor.chunked.request import Stopped, unless_stopped
from asynctensor.chunked.update import covers, updated_value
from asynctensor.chunked.write_slots import WriteSlots, patches_of
from asynctensor.errors import Aborted
from asynctensor.runtime.last_trouble import LastTrouble, watched
from asynctensor.runtime.workers import yield_gil
from asynctensor.scheduler.flow import FLOW
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import Replacement, whole

#: Decoded bytes that one stream has under way, and the same in values: enough to keep a store with
#: a long way busy, and at least a few.
_WINDOW_BYTES = 64 * 2**20
_WINDOW_VALUES = (8, 256)
#: Decoded bytes that are encoded at a time: the first requests leave soon, and a worker is woken
#: for a few chunks rather than for each.
SENT_BYTES = 2**20

#: A chunk whose slot is held, and its new value; None: that is to be read and changed.
_Ready: TypeAlias = "tuple[Task, Replacement | None]"


class RemoteWriter:
    """Writes streams of chunks of one array; for the I/O loop alone, but where a worker is named.

    Args:
        array: The array.
        slots: Its slots.
    """

    def __init__(self, array: ChunkedArray, slots: WriteSlots) -> None:
        self._array, self._slots = array, slots

    def begin(self, stream: Stream[Task]) -> None:
        """Begins to write a stream."""
        least, most = _WINDOW_VALUES
        size = _WINDOW_BYTES // max(1, self._array.chunk_bytes)
        room = asyncio.Semaphore(max(least, min(most, size)))
        trouble = LastTrouble()
        # Two of them, so that one encodes while the other hands out what it has encoded.
        for _ in range(2):
            self._array.keep_task(asyncio.ensure_future(self._send(stream, room, trouble)))

    async def _send(
        self, stream: Stream[Task], room: asyncio.Semaphore, trouble: LastTrouble
    ) -> None:
        """Has group after group encoded, and its values written, as many at once as there is room.

        What would be held by a value that waits for room is bounded by that, too.
        """
        # The requests of one write take turns with those of others.
        FLOW.set(stream)
        watched(trouble)
        ready: list[_Ready] = []
        try:
            while (group := await self._array.workers.run(self._ready, stream)) is not None:
                ready = group[::-1]
                for task, _ in ready:
                    for request, _, _ in task[1]:
                        request.trouble = trouble
                while ready:
                    await room.acquire()
                    writing = asyncio.ensure_future(self._write_to_end(*ready.pop()))
                    writing.add_done_callback(lambda _: room.release())
                    self._array.keep_task(writing)
        except asyncio.CancelledError:
            for task, _ in ready:
                self._slots.failed(task, Aborted("the I/O loop ended during the write"), [])
            raise

    def _ready(self, stream: Stream[Task]) -> list[_Ready] | None:
        """On a worker: the next group, and the new values for which nothing has to be read."""
        tasks = stream.take()
        if tasks is None:
            return None
        ready: list[_Ready] = []
        done = ChunkStatistics()
        for claimed in tasks:
            following = [claimed] if self._slots.claim(claimed) else []
            while following:
                task = following.pop()
                try:
                    patches = patches_of(task[1])
                    if patches and covers(patches):
                        value = updated_value(self._array, task[0], patches, None, done)
                        ready.append((task, Replacement(self._array.key(task[0]), value)))
                    elif patches:
                        ready.append((task, None))
                    else:
                        self._slots.finished(task, following)
                except Exception as error:  # noqa: BLE001
                    self._slots.failed(task, error, following)
            yield_gil()
        self._array.count(done)
        return ready

    async def _write_to_end(self, task: Task, replacement: Replacement | None) -> None:
        """Writes a value whose slot is held, and what comes for it meanwhile."""
        following: list[Task] = []
        await self._write_value(task, replacement, following)
        while following:
            await self._write_value(following.pop(), None, following)

    async def _write_value(
        self, task: Task, replacement: Replacement | None, following: list[Task]
    ) -> None:
        targets = task[1]
        if not patches_of(targets):
            # They have given up while it waited for room.
            self._slots.finished(task, following)
            return
        try:
            if replacement is None:
                work = self._updated(task)
            else:
                work = self._replaced(task, replacement, ChunkStatistics())
            if await unless_stopped([request for request, _, _ in targets], work):
                self._slots.finished(task, following)
            else:
                following.append(task)
        except Stopped:
            self._slots.finished(task, following)
        except Exception as error:  # noqa: BLE001
            self._slots.failed(task, error, following)
        except asyncio.CancelledError:
            self._slots.failed(task, Aborted("the I/O loop ended during the write"), following)
            raise

    async def _updated(self, task: Task) -> bool:
        """Replaces one value by what becomes of it; False if somebody else changed it meanwhile."""
        array, (index, targets) = self._array, task
        patches = patches_of(targets)
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
            self._slots.stored(task, value, done)
        array.count(done)
        return stamp.generation != UNKNOWN

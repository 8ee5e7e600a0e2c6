"""Writing a virtual array: whole chunks, read and changed where a write does not cover them.

Of one chunk one write is under way at a time; what comes meanwhile waits in the chunk's *slot*, and
all of it is written at once. So a process never disturbs itself, and writers elsewhere are met by
the condition that the write function is told, if the functions know generations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from asynctensor.chunked.array import ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.plan import Stream, Task, ViewRequest, streams
from asynctensor.chunked.request import Request, Stopped, hand_over, unless_stopped
from asynctensor.chunked.virtual_functions import VirtualChunkedWriteParameters
from asynctensor.drivers.virtual_chunked.array import (
    INLINE_BYTES,
    VirtualArray,
    copy_of,
    now,
)
from asynctensor.errors import Aborted
from asynctensor.runtime.event_loop import io_loop_if_any
from asynctensor.runtime.turn import TurnCollector
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration

#: Calls that one stream has under way.
_CALLS = 32
#: How often one chunk is begun again because the write function says that it has changed.
_ATTEMPTS = 100


class Part(Protocol):
    """What somebody writes to one chunk."""

    @property
    def covers(self) -> bool:
        """Whether it replaces every element."""
        ...

    def apply(self, chunk: Array) -> None:
        """Writes it into a chunk."""
        ...


class ViewPart:
    """The part of a view's data that lies in one chunk."""

    __slots__ = ("_cell", "_data", "_partition")

    def __init__(self, data: Array, partition: Partition, cell: Cell) -> None:
        self._data, self._partition, self._cell = data, partition, cell

    @property
    def covers(self) -> bool:
        """See `Part.covers`."""
        return self._partition.is_full(self._cell)

    def apply(self, chunk: Array) -> None:
        """See `Part.apply`."""
        self._partition.scatter(self._data, chunk, self._cell)


#: Somebody's request, and what it writes to one chunk.
Change = tuple[Request[None], Part]


class VirtualWriter:
    """Serves the write requests of one array. Its slots belong to the I/O loop."""

    def __init__(self, array: VirtualArray) -> None:
        self._array = array
        self._collector = TurnCollector[ViewRequest](self._deliver)
        self._slots: dict[tuple[int, ...], list[Change]] = {}

    @classmethod
    def of(cls, array: VirtualArray) -> VirtualWriter:
        """The writer of `array`; all who write to it in this process share it."""
        return array.shared_writer(lambda: cls(array), io_loop_if_any())

    def submit(self, request: ViewRequest) -> None:
        """Writes `request`, together with what else is to be written in this turn."""
        self._collector.add(request)

    def _deliver(self, requests: list[ViewRequest]) -> None:
        calls = min(_CALLS, sum(request.partition.count for request in requests))
        for stream in streams(requests, 1):
            hand_over(stream.requests, self._start, stream, calls)

    def _start(self, stream: Stream[Task], calls: int) -> None:
        for _ in range(calls):
            self._array.keep_task(asyncio.ensure_future(self._drain(stream)))

    async def _drain(self, stream: Stream[Task]) -> None:
        run = self._array.workers.run
        while not stream.exhausted:
            tasks = stream.take() if stream.is_small else await run(stream.take)
            for index, targets in tasks or ():
                await self.write(index, [(r, ViewPart(r.data, p, c)) for r, p, c in targets])

    async def write(self, index: tuple[int, ...], changes: list[Change]) -> None:
        """Writes changes of one chunk, whose requests count them; tells those how it went.

        Called on the I/O loop. If another write of the chunk is under way, it does this one too.
        """
        waiting = self._slots.get(index)
        if waiting is not None:
            waiting += changes
            return
        self._slots[index] = []
        try:
            while changes:
                await self._serve(index, changes)
                changes, self._slots[index] = self._slots[index], []
        finally:
            left = self._slots.pop(index)
            _fail([request for request, _ in left], Aborted("the I/O loop ended before the write"))

    async def _serve(self, index: tuple[int, ...], changes: list[Change]) -> None:
        requests = [request for request, _ in changes]
        try:
            await unless_stopped(requests, self._replace(index, changes))
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 -- told by the requests
            _stop(requests, error)
        except asyncio.CancelledError:
            _stop(requests, Aborted("the I/O loop ended during the write"))
            raise
        finally:
            for request in requests:
                request.finish()

    async def _replace(self, index: tuple[int, ...], changes: list[Change]) -> None:
        """Changes a chunk, again and again until nobody else changed it meanwhile."""
        array = self._array
        function = array.functions.write
        assert function is not None
        for _ in range(_ATTEMPTS):
            parts = [part for request, part in changes if not request.stopped]
            if not parts:
                return
            chunk, condition = await self._changed(index, parts)
            stamp = await array.functions.call(
                function,
                array.layout.cell_domain(index),
                chunk,
                VirtualChunkedWriteParameters(condition),
            )
            if stamp is None:
                stamp = TimestampedStorageGeneration(UNKNOWN, float("inf"))
            elif stamp.generation == UNKNOWN:
                array.statistics.conflicts += 1
                array.written(index, None)
                continue
            array.written(index, CachedChunk(chunk, stamp.generation, stamp.time))
            array.statistics.add(ChunkStatistics(chunks_encoded=1, store_writes=1))
            return
        raise Aborted(
            f"the write function said {_ATTEMPTS} times that the chunk at "
            f"{array.layout.cell_domain(index)} has another generation than it was told"
        )

    async def _changed(self, index: tuple[int, ...], parts: list[Part]) -> tuple[Array, bytes]:
        """The new chunk, read-only, and the generation of what it rests on."""
        array = self._array
        condition = UNKNOWN
        if any(part.covers for part in parts):
            chunk = array.layout.new_chunk(index)
        else:
            base = await array.read(index, now())
            assert base.array is not None
            chunk, condition = copy_of(array, index, base.array), base.generation
        if chunk.nbytes <= INLINE_BYTES:
            _apply(parts, chunk)
        else:
            await array.workers.run(_apply, parts, chunk)
        return chunk, condition


def _apply(parts: Iterable[Part], chunk: Array) -> None:
    for part in parts:
        part.apply(chunk)
    chunk.flags.writeable = False


def _stop(requests: Iterable[Request[None]], error: Exception) -> None:
    for request in requests:
        request.fail(error)


def _fail(requests: Iterable[Request[None]], error: Exception) -> None:
    for request in requests:
        request.fail(error)
        request.finish()

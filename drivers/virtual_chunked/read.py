"""Reading a virtual array: each chunk is asked for once, whoever wants a part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from asynctensor.chunked.array import ChunkStatistics
from asynctensor.chunked.cache import CachedChunk
from asynctensor.chunked.codec import Array
from asynctensor.chunked.plan import Stream, Target, Task, ViewRequest, streams
from asynctensor.chunked.request import Stopped, hand_over, soon, unless_stopped
from asynctensor.drivers.virtual_chunked.array import INLINE_BYTES, VirtualArray
from asynctensor.errors import Aborted
from asynctensor.runtime.event_loop import io_loop_if_any
from asynctensor.runtime.turn import TurnCollector

#: Calls that one stream has under way.
_CALLS = 32
#: Gives what a transaction has staged for a chunk, on top of what is there; None for nothing.
Overlay = Callable[[tuple[int, ...], Array | None], Array | None]


class VirtualReader:
    """Serves read requests; see `chunked.read`, whose plan and life of a request it shares.

    Args:
        array: The array.
        needs: Whether a transaction leaves something of a chunk to be read.
        overlay: What it makes of it.
    """

    def __init__(
        self,
        array: VirtualArray,
        needs: Callable[[tuple[int, ...]], bool] = lambda index: True,
        overlay: Overlay = lambda index, chunk: None,
    ) -> None:
        self._array, self._needs, self._overlay = array, needs, overlay
        self._collector = TurnCollector[ViewRequest](self.deliver)

    def submit(self, request: ViewRequest) -> None:
        """Serves `request`, together with what else is asked for in this turn."""
        self._collector.add(request)

    def deliver(self, requests: list[ViewRequest]) -> None:
        """Serves requests that came together."""
        loop = io_loop_if_any()
        calls = min(_CALLS, sum(request.partition.count for request in requests))
        if loop is not None:
            soon(loop, partial(self._count, len(requests)))
        for stream in streams(requests, 1):
            hand_over(stream.requests, self._start, stream, calls)

    def _count(self, requests: int) -> None:
        self._array.statistics.add(ChunkStatistics(reads=requests))

    def _start(self, stream: Stream[Task], calls: int) -> None:
        for _ in range(calls):
            self._array.keep_task(asyncio.ensure_future(self._drain(stream)))

    async def _drain(self, stream: Stream[Task]) -> None:
        while not stream.exhausted:
            # Few chunks are planned in less time than a hop takes.
            tasks = stream.take() if stream.is_small else await self._planned(stream)
            for index, targets in tasks or ():
                await self._serve(index, targets)

    async def _planned(self, stream: Stream[Task]) -> list[Task] | None:
        return await self._array.workers.run(stream.take)

    async def _serve(self, index: tuple[int, ...], targets: list[Target]) -> None:
        requests = [request for request, _, _ in targets]
        try:
            live = [target for target in targets if not target[0].stopped]
            if live:
                bound = max(request.bound for request, _, _ in live)
                chunk = await unless_stopped(requests, self._chunk(index, bound))
                size = sum(partition.size(cell) for _, partition, cell in live) * chunk.itemsize
                if size <= INLINE_BYTES:
                    _copy_out(chunk, live)
                else:
                    await self._array.workers.run(_copy_out, chunk, live)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 -- told by the requests
            for request in requests:
                request.fail(error)
        except asyncio.CancelledError:
            for request in requests:
                request.fail(Aborted("the I/O loop ended during the read"))
            raise
        finally:
            for request in requests:
                request.finish()

    async def _chunk(self, index: tuple[int, ...], bound: float) -> Array:
        base: CachedChunk | None = None
        if self._needs(index):
            base = await self._array.read(index, bound)
        chunk = None if base is None else base.array
        staged = self._overlay(index, chunk)
        found = chunk if staged is None else staged
        assert found is not None
        return found


def _copy_out(chunk: Array, targets: list[Target]) -> None:
    for request, partition, cell in targets:
        partition.gather(chunk, request.data, cell)

"""Writing to a store that keeps a history: all chunks of one write are one commit.

Each write claims its chunks before it begins, so that two of one process are never in each other's
way: a write waits for those before it that have one of its chunks. What waits for the same chunks
is committed together, and each chunk is put together once. Writes that share no chunk are commits
of their own, side by side. Everything but the encoding runs on the I/O loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.joint_batch import Batch
from asynctensor.chunked.joint_commit import JointCommit
from asynctensor.chunked.plan import ViewRequest
from asynctensor.chunked.request import Stopped, hand_over, unless_stopped
from asynctensor.chunked.shard_read import inner_parts
from asynctensor.chunked.write import Writer
from asynctensor.errors import Aborted, CommitUnknown, Error
from asynctensor.runtime.event_loop import io_loop_if_any
from asynctensor.runtime.last_trouble import watched
from asynctensor.runtime.turn import TurnCollector
from asynctensor.scheduler.flow import FLOW
from asynctensor.storage.commit_domain import Commit, CommitDomain
from asynctensor.storage.stash import StoredValue

#: Chunks of one turn that are planned on the loop itself.
_FEW = 64


def writer_of(array: ChunkedArray) -> Writer | JointWriter:
    """The writer of `array`; all who write to it in this process share it."""
    if array.store.history is None or (domain := array.store.commit_domain) is None:
        return Writer.of(array)
    return array.shared_writer(lambda: JointWriter(array, domain), io_loop_if_any())


class JointWriter:
    """Serves the write requests of one array.

    Args:
        array: The array.
        domain: What commits them.
    """

    def __init__(self, array: ChunkedArray, domain: CommitDomain) -> None:
        self._array, self._domain = array, domain
        self._collector = TurnCollector[ViewRequest](self._deliver)
        #: Keeps requests in their order while some are planned.
        self._planning = asyncio.Lock()
        self._waiting: list[Batch] = []
        #: Chunks of the writes that have begun.
        self._claimed: set[tuple[int, ...]] = set()

    def submit(self, request: ViewRequest) -> None:
        """Writes `request`, whose partition is known."""
        self._collector.add(request)

    def _deliver(self, requests: list[ViewRequest]) -> None:
        hand_over(requests, self._keep, requests)

    def _keep(self, requests: list[ViewRequest]) -> None:
        self._array.keep_task(asyncio.ensure_future(self._enter(requests)))

    async def _enter(self, requests: list[ViewRequest]) -> None:
        few = sum([each.partition.count for each in requests]) <= _FEW
        async with self._planning:
            for each in requests:
                try:
                    batch = Batch(each) if few else await self._array.workers.run(Batch, each)
                except Exception as error:  # noqa: BLE001
                    each.fail(error)
                    each.planned()
                else:
                    self._waiting.append(batch)
        self._begin()

    def _begin(self) -> None:
        """Begins what can be: what shares no chunk with what has begun, or was there before it."""
        held = set(self._claimed)
        beginning: list[Batch] = []
        waiting: list[Batch] = []
        for batch in self._waiting:
            if not held.isdisjoint(batch.tasks):
                held.update(batch.tasks)
                waiting.append(batch)
                continue
            same = [each for each in beginning if each.touches(batch)]
            for other in (*same[1:], batch) if same else ():
                same[0].take(other)
            beginning = [each for each in beginning if each not in same[1:]]
            beginning += [] if same else [batch]
        self._waiting = waiting
        for batch in beginning:
            self._claimed.update(batch.tasks)
            batch.begin()
            self._array.keep_task(asyncio.ensure_future(self._serve(batch)))

    async def _serve(self, batch: Batch) -> None:
        # The requests of one write take turns with those of others.
        FLOW.set(batch)
        trouble = watched()
        for request in batch.live():
            request.trouble = trouble
        first = True
        try:
            while (live := batch.live()) and not await self._attempt(batch, live, first=first):
                first = False
        except Exception as error:  # noqa: BLE001
            self._fail(batch.live(), error)
        except asyncio.CancelledError:
            self._fail(batch.live(), Aborted("the I/O loop ended during the write"))
            raise
        finally:
            self._claimed.difference_update(batch.tasks)
            batch.finish()
            self._begin()

    def _fail(self, requests: Iterable[ViewRequest], error: Exception) -> None:
        if isinstance(error, Error):
            error.located(array=self._array.url, operation="write")
        for request in requests:
            request.fail(error)

    async def _attempt(self, batch: Batch, live: list[ViewRequest], *, first: bool) -> bool:
        """One try; False if it is to be done again, or for fewer.

        Whoever gives up, or fails, has the others begin anew: nothing of it may be committed.
        """
        commit = await self._prepared(batch, live, first=first)
        if commit is None or not await self._committed(commit):
            return False
        self._stored(batch, commit.values.values())
        return True

    async def _prepared(
        self, batch: Batch, live: list[ViewRequest], *, first: bool
    ) -> Commit | None:
        """What is to be committed; None if one of `live` gave up or failed meanwhile."""
        stash = self._domain.stash()
        work = JointCommit(self._array, batch, stash, first=first)
        commit = None
        try:
            commit = await unless_stopped(live, work.prepared(), first=True)
            if any([each.stopped for each in live]):
                commit = None
        except Stopped:
            pass
        finally:
            self._array.count(work.done)
            if commit is None and stash is not None:
                await stash.discard()
        return commit

    async def _committed(self, commit: Commit) -> bool:
        """Hands a commit over; False if what it rests on has changed meanwhile."""
        try:
            await self._domain.commit(commit)
        except CommitUnknown:
            # What was stored for it may be in the log.
            raise
        except Error as error:
            if commit.stash is not None:
                await commit.stash.discard()
            if not isinstance(error, Aborted) or error.final or error.key not in commit.expected:
                raise
            self._array.count(ChunkStatistics(conflicts=1))
            return False
        return True

    def _stored(self, batch: Batch, values: Iterable[bytes | StoredValue | None]) -> None:
        array, done = self._array, ChunkStatistics()
        shard = array.layout.shard
        by_part = shard is not None and bool(array.cache.limit_bytes)
        for index, targets in batch.tasks.items():
            array.forget(index, inner_parts(shard, targets) if by_part and shard else None)
        for each in values:
            done.store_writes += 1
            done.bytes_written += each.size if isinstance(each, StoredValue) else len(each or b"")
        array.count(done)

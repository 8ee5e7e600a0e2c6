"""Working out what a batch of writes changes, for one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.joint_batch import Batch
from asynctensor.chunked.plan import Task, ViewRequest
from asynctensor.chunked.update import Patch, covers, updated_value
from asynctensor.errors import Error
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.commit_domain import Commit
from asynctensor.storage.kvstore import Buffer, ReadResult, whole
from asynctensor.storage.stash import Stash, StoredValue
from asynctensor.transaction.ahead import Ahead

#: Decoded bytes, and chunks, that a worker encodes in one go.
_GROUP_BYTES = 4 * 2**20
_GROUP = 512
#: Groups that are worked out side by side: enough for all workers, and for a long way to the store.
_AT_ONCE = 4
#: Values that are read side by side.
_SIDE_BY_SIDE = 64

#: Where a chunk is, its key, who writes to it, and what.
_Chunk: TypeAlias = "tuple[tuple[int, ...], str, list[ViewRequest], list[Patch]]"


class JointCommit:
    """One try to work a batch out.

    Args:
        array: The array.
        batch: The writes.
        stash: Stores large values ahead of the commit.
        first: Whether the requests are told what is done: the first time only.
    """

    def __init__(
        self, array: ChunkedArray, batch: Batch, stash: Stash | None, *, first: bool
    ) -> None:
        self._array, self._batch, self._stash, self._first = array, batch, stash, first
        self._values: dict[str, bytes | StoredValue | None] = {}
        self._expected: dict[str, bytes] = {}
        self.done = ChunkStatistics()

    async def prepared(self) -> Commit:
        """What is to be committed; large values are in the store by then.

        A chunk that cannot be worked out fails the requests that change it.

        Raises:
            Error: The store failed.
        """
        size = max(1, min(_GROUP, _GROUP_BYTES // max(1, self._array.chunk_bytes)))
        groups = self._batch.groups(size)
        async with Ahead(self._stash, self._values) as ahead:
            if len(self._batch.tasks) <= size:
                await self._drain(groups, ahead)
            else:
                await self._side_by_side(groups, ahead)
        return Commit(self._expected, self._values, stash=self._stash)

    async def _side_by_side(self, groups: Iterator[list[Task]], ahead: Ahead) -> None:
        try:
            async with asyncio.TaskGroup() as drains:
                for _ in range(_AT_ONCE):
                    drains.create_task(self._drain(groups, ahead))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _drain(self, groups: Iterator[list[Task]], ahead: Ahead) -> None:
        for group in groups:
            chunks = [
                (index, self._array.key(index), [request for request, _, _ in targets], patches)
                for index, targets in group
                if (patches := [(r.data, part, cell) for r, part, cell in targets if not r.stopped])
            ]
            currents = await self._currents(chunks)
            done = ChunkStatistics()
            found = await self._array.workers.run(_encoded, self._array, chunks, currents, done)
            self.done.add(done)
            new: dict[str, Buffer | None] = {}
            for (_, key, requests, _), value in zip(chunks, found, strict=True):
                if isinstance(value, Exception):
                    self._fail(key, requests, value)
                else:
                    new[key] = value
            await ahead.take(new)
            if self._first:
                self._batch.done(group)

    async def _currents(self, chunks: Sequence[_Chunk]) -> dict[str, bytes | Exception]:
        """What is stored where that matters, or why that is not known."""
        keys = [key for _, key, _, patches in chunks if not covers(patches)]
        currents: dict[str, bytes | Exception] = {}
        for start in range(0, len(keys), _SIDE_BY_SIDE):
            some = keys[start : start + _SIDE_BY_SIDE]
            found = await asyncio.gather(*map(self._array.store.read, some), return_exceptions=True)
            for key, each in zip(some, found, strict=True):
                if isinstance(each, ReadResult):
                    self._expected[key] = each.stamp.generation
                    self.done.store_reads += 1
                    self.done.bytes_read += len(each.value)
                    if each.state == "value":
                        currents[key] = each.value
                elif isinstance(each, Exception):
                    currents[key] = each
                else:
                    raise each
        return currents

    def _fail(self, key: str, requests: Sequence[ViewRequest], error: Exception) -> None:
        if isinstance(error, Error):
            error.located(array=self._array.url, key=key, operation="write")
        for request in requests:
            request.fail(error)


def _encoded(
    array: ChunkedArray,
    chunks: Sequence[_Chunk],
    currents: dict[str, bytes | Exception],
    done: ChunkStatistics,
) -> list[Buffer | None | Exception]:
    """The new values, or why there is none."""
    found: list[Buffer | None | Exception] = []
    for index, key, _, patches in chunks:
        current = currents.get(key)
        if isinstance(current, Exception):
            found.append(current)
            continue
        try:
            new = updated_value(array, index, patches, current, done)
            found.append(whole(new) if isinstance(new, tuple) else new)
        except Exception as error:  # noqa: BLE001
            found.append(error)
        yield_gil()
    return found

"""`ZipWriter`: writes to one zip file, as many in one rewriting as have come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from asynctensor.errors import Aborted
from asynctensor.kvstores.zip.changes import Change, Round, planned
from asynctensor.kvstores.zip.directory import Directory
from asynctensor.kvstores.zip.held_directory import read_directory
from asynctensor.kvstores.zip.rewriting import rewritten
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import BlockingFace, KeyValueStore, Replacement

#: How often a rewriting is begun again because somebody else was faster.
_ATTEMPTS = 1000


@dataclass(slots=True, eq=False)
class _Waiting:
    change: Change
    done: asyncio.Future[TimestampedStorageGeneration]


class ZipWriter:
    """The writes to one zip file, from this process.

    Args:
        base: Where the file is.
        key: Its key there.
        pool: Threads that put files together.
    """

    def __init__(self, base: KeyValueStore, key: str, pool: WorkerPool) -> None:
        self._base, self._key, self._pool = base, key, pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, change: Change) -> TimestampedStorageGeneration:
        """Does one write, together with others that have come; see `KeyValueStore.write`.

        Raises:
            Aborted: Others changed the file again and again.
            Error: It cannot be read or written.

        When a cancellation is delivered, the write has happened or never will.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What an I/O loop that has ended, or is the parent's, left behind never goes on.
            self._loop, self._waiting, self._task = loop, [], None
        mine = _Waiting(change, loop.create_future())
        self._waiting.append(mine)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        cancelled: asyncio.CancelledError | None = None
        while not mine.done.done():
            try:
                await asyncio.wait([mine.done])
            except asyncio.CancelledError as error:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    raise
                cancelled = error
        if cancelled is not None:
            if not mine.done.cancelled():
                # Whatever came of it, nobody waits for it any more.
                mine.done.exception()
            raise cancelled
        return mine.done.result()

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                left = await self._round(group)
            except Exception as error:  # noqa: BLE001 -- told by each of the writes
                for each in group:
                    if not each.done.done():
                        each.done.set_exception(error)
            except GeneratorExit:
                # The loop has ended before this: nobody waits any more.
                raise
            except BaseException:
                # The loop ends: nobody does what waits here.
                for each in (*group, *self._waiting):
                    each.done.cancel()
                raise
            else:
                self._waiting[:0] = left

    async def _round(self, group: list[_Waiting]) -> list[_Waiting]:
        """Does what can be done at once; returns the rest."""
        changes = [each.change for each in group]
        for _ in range(_ATTEMPTS):
            found = await self._base.read(self._key)
            stamp, file = found.stamp, found.value
            plan, new = await self._pool.run(_planned, changes, file, stamp.generation)
            if new is not None:
                condition = UNKNOWN
                if self._base.capabilities.can_compare_and_swap:
                    condition = stamp.generation
                stamp = await self._base.write(self._key, new, condition)
                if stamp.generation == UNKNOWN:
                    continue
            for number, answer in _answers(plan, stamp):
                group[number].done.set_result(answer)
            return [group[number] for number in plan.left]
        raise _beaten(self._key)


def replace(
    face: BlockingFace, key: str, group: Sequence[Change]
) -> list[TimestampedStorageGeneration | Exception]:
    """Does a group of writes on the calling thread; see `BlockingFace.replace`.

    Args:
        face: That of the store where the file is.
        key: Its key there.
        group: The writes.
    """
    outcome: dict[int, TimestampedStorageGeneration | Exception] = {}
    numbers = list(range(len(group)))
    try:
        for _ in range(_ATTEMPTS):
            if not numbers:
                break
            file, generation = _whole(face, key)
            changes = [group[number] for number in numbers]
            plan, new = _planned(changes, file, generation)
            stamp = TimestampedStorageGeneration.now(generation)
            if new is not None:
                (found,) = face.replace([Replacement(key, new, generation)])
                if isinstance(found, Exception):
                    raise found
                if found.generation == UNKNOWN:
                    continue
                stamp = found
            for number, answer in _answers(plan, stamp):
                outcome[numbers[number]] = answer
            numbers = [numbers[number] for number in plan.left]
        if numbers:
            raise _beaten(key)
    except Exception as error:  # noqa: BLE001 -- told by each of the writes
        outcome.update((number, error) for number in numbers)
    return [outcome[number] for number in range(len(group))]


def _whole(face: BlockingFace, key: str) -> tuple[bytes, bytes]:
    opened = face.open(key)
    if opened is None:
        return b"", NO_VALUE
    try:
        file = bytearray(opened.size)
        opened.read_into(memoryview(file), 0)
        return bytes(file), opened.generation
    finally:
        opened.close()


def _planned(
    changes: Sequence[Change], file: bytes, generation: bytes
) -> tuple[Round, bytes | None]:
    """What is done, and the new file; None if it stays as it is."""
    directory: Directory | None = None
    if generation != NO_VALUE:
        directory = read_directory(file)
    plan = planned(changes, directory, generation)
    if not plan.changes:
        return plan, None
    return plan, rewritten(memoryview(file), directory, plan.changes)


def _answers(
    plan: Round, stamp: TimestampedStorageGeneration
) -> list[tuple[int, TimestampedStorageGeneration]]:
    gone = TimestampedStorageGeneration(NO_VALUE, stamp.time)
    unmet = TimestampedStorageGeneration(UNKNOWN, stamp.time)
    return [
        *((number, stamp) for number in plan.written),
        *((number, gone) for number in plan.deleted),
        *((number, unmet) for number in plan.refused),
    ]


def _beaten(key: str) -> Aborted:
    return Aborted("the zip file was changed by others each time it was being rewritten", key=key)

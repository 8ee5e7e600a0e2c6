"""One JSON document in a store, as all arrays of this process that are parts of it share it."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from asynctensor.drivers.json.edit import Edit, edited
from asynctensor.drivers.json.text import parse
from asynctensor.errors import Aborted, Error
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions

T = TypeVar("T")
#: How often an edit is begun again because somebody else changed the document meanwhile.
_ATTEMPTS = 1000
#: Larger documents are parsed and written by a worker, not on the I/O loop: about 100 us.
_SMALL = 2**13


@dataclass(eq=False, slots=True)
class _Waiting:
    """An edit that nobody has begun with, and how its caller hears of it."""

    edit: Edit
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the document was at a time; `value` is not to be changed."""

    value: Any
    exists: bool
    generation: bytes
    time: float


class JsonDocument:
    """Reads and edits one document; lives on the I/O loop.

    Edits that come while another is being stored are stored together, and so never contend within
    one process; other processes are kept off by the condition of each write, where the store can
    check it.

    Args:
        store: Where it is.
        key: Its key.
        pool: Threads that parse and write large documents.
    """

    def __init__(self, store: KeyValueStore, key: str, pool: WorkerPool) -> None:
        self._store, self._key, self._pool = store, key, pool
        self._known: _Known | None = None
        self._epoch = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def value(self, since: float) -> tuple[bool, Any]:
        """Whether there is a document, and its value as it was at `since` or later.

        The value is shared, and must not be changed.

        Raises:
            DataLoss: It is no JSON.
            Error: The store failed.
        """
        known = self._known
        if known is not None and known.time >= since:
            return known.exists, known.value
        epoch = self._epoch
        unless = UNKNOWN if known is None else known.generation
        found = await self._store.read(self._key, ReadOptions(if_not_equal=unless))
        stamp = found.stamp
        if found.state == "value":
            value = await self._run(len(found.value), parse, found.value)
            known = _Known(value, True, stamp.generation, stamp.time)
        elif found.state == "missing" or known is None:
            known = _Known(None, False, stamp.generation, stamp.time)
        else:
            known = _Known(known.value, known.exists, known.generation, stamp.time)
        # Not what was read before an edit of ours: whoever wrote shall see it.
        if self._epoch == epoch:
            self._known = known
        return known.exists, known.value

    async def edit(self, edit: Edit) -> None:
        """Stores an edit.

        Raises:
            FailedPrecondition: The pointer leads nowhere in the document that there is.
            DataLoss: That is no JSON.
            Error: The store failed.

        When a cancellation is delivered, the edit has been stored or never will be.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What an I/O loop that has ended, or is the parent's, left behind never goes on.
            self._loop, self._waiting, self._task = loop, [], None
        mine = _Waiting(edit)
        self._waiting.append(mine)
        # A task that is cancelled before its first step never says that it has ended.
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._store_all())
        try:
            await asyncio.shield(mine.done)
        except CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise
            while not mine.done.done():
                with suppress(CancelledError, Exception):
                    await asyncio.shield(mine.done)
            raise

    async def _store_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                errors = await self._store_batch([each.edit for each in batch])
            except GeneratorExit:
                raise  # The loop has ended, and with it whoever waited.
            except BaseException as error:  # noqa: BLE001 -- whoever waits gets it
                _settle(batch, [error] * len(batch))
            else:
                _settle(batch, errors)

    async def _store_batch(self, edits: list[Edit]) -> list[Error | None]:
        whole = any(not edit.tokens for edit in edits)
        conditional = self._store.capabilities.can_compare_and_swap
        for _ in range(_ATTEMPTS):
            current, condition = None, UNKNOWN
            if not whole:
                found = await self._store.read(self._key)
                current = found.value if found.state == "value" else None
                condition = found.stamp.generation if conditional else UNKNOWN
            size = 0 if current is None else len(current)
            new, errors = await self._run(size, edited, current, edits)
            if new is None:
                return errors
            stamp = await self._store.write(self._key, new, condition)
            if stamp.generation != UNKNOWN:
                self._known = None
                self._epoch += 1
                return errors
        raise Aborted("others changed the document each time it was about to be replaced")

    async def call(self, function: Callable[..., object], *args: Any) -> None:
        """Calls a user's function, on a worker."""
        await self._pool.run(function, *args)

    async def _run(self, size: int, function: Callable[..., T], *args: Any) -> T:
        if size <= _SMALL:
            return function(*args)
        return await self._pool.run(function, *args)


def _settle(batch: list[_Waiting], errors: list[Any]) -> None:
    for each, error in zip(batch, errors, strict=True):
        if each.done.done():
            continue
        if error is None:
            each.done.set_result(None)
        else:
            each.done.set_exception(error)
            # Whoever was cancelled does not look.
            each.done.exception()

"""Values of a commit on their way into the store while others are still worked out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from asynctensor.storage.kvstore import Buffer
from asynctensor.storage.stash import Stash, StoredValue

#: From so many bytes on, values do not wait for the commit.
_WORTH = 1 * 2**20
#: Groups of values that are on their way at the same time; with their size, the memory for it.
_AT_ONCE = 4


class Ahead:
    """Collects the values of a commit, and stores them as they come if they are many.

    To be entered; leaving it waits until all that was begun has ended.

    Args:
        stash: Stores them; None: they stay as they are.
        values: Filled.
    """

    def __init__(self, stash: Stash | None, values: dict[str, bytes | StoredValue | None]) -> None:
        self._stash = stash
        self._values = values
        self._tasks = asyncio.TaskGroup()
        self._free = asyncio.Semaphore(_AT_ONCE)
        #: What is too little to be stored, and how much came since something was.
        self._kept: dict[str, bytes] = {}
        self._size = 0

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self._values.update(self._kept)

    async def take(self, new: Mapping[str, Buffer | None]) -> None:
        """Adds values, each under its key; waits while too many are on their way.

        Raises:
            Error: The store failed, perhaps with earlier ones.
        """
        if self._stash is None:
            self._values.update({key: _bytes_of(value) for key, value in new.items()})
            return
        # Keys keep their order, whatever is stored first.
        self._values.update(dict.fromkeys(new))
        large = {key: value for key, value in new.items() if value is not None}
        self._size += sum(map(len, large.values()))
        if self._size < _WORTH:
            # Not more of them may be kept, nor the memory that they are views of.
            self._kept.update({key: bytes(value) for key, value in large.items()})
            return
        large = {**self._kept, **large}
        self._kept, self._size = {}, 0
        await self._free.acquire()
        self._tasks.create_task(self._store(self._stash, large))

    async def _store(self, stash: Stash, values: Mapping[str, Buffer]) -> None:
        try:
            stored = await stash.store(values)
        finally:
            self._free.release()
        self._values.update(stored)
        if len(stored) < len(values):
            rest = values.keys() - stored.keys()
            self._values.update({key: _bytes_of(values[key]) for key in rest})


def _bytes_of(value: Buffer | None) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else bytes(value)

"""`ScheduledStore`: any store over a network, its reads batched, merged and shared.

Writes, deletes and listings go straight to the store below, which repeats what may be repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from asynctensor.runtime.process import PROCESS
from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.plan import RangePlan, Span
from asynctensor.scheduler.read_queue import ReadQueue
from asynctensor.scheduler.statistics import QueueStatistics
from asynctensor.storage.commit_domain import CommitDomain
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    BlockingFace,
    Buffer,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)
from asynctensor.storage.value_history import ValueHistory


class ScheduledStore(KeyValueStore):
    """A store whose reads go through a `ReadQueue`, shared by all who use the same store.

    Args:
        base: The store.
        hedging: Second requests for late reads per request, at most; 0: none.
        manner: How its requests are made (retries, limits): reads that are made in another manner
            are made for themselves.
    """

    def __init__(
        self, base: KeyValueStore, *, hedging: float = 0.0, manner: Hashable = None
    ) -> None:
        self.base = base
        self.driver = base.driver
        self.capabilities = base.capabilities
        self._hedging = hedging
        self._manner = manner
        #: The queue, and those of which it is one: a forked child has others.
        self._held: tuple[object, ReadQueue] | None = None

    def __repr__(self) -> str:
        return f"ScheduledStore({self.base!r})"

    @property
    def _queue(self) -> ReadQueue:
        queues = _queues()
        held = self._held
        if held is not None and held[0] is queues:
            return held[1]
        # By identity, which holds the credentials: others share nothing.
        name = (self.base.identity, self._hedging, self._manner)
        queue = queues.get(name)
        if queue is None:
            base = self.base
            hedging = Hedging(self._hedging) if self._hedging else None
            begins = type(base).begin_read is not KeyValueStore.begin_read
            begin = base.begin_read if begins else None
            queue = queues.setdefault(name, ReadQueue(base.read, hedging, begin))
        self._held = queues, queue
        return queue

    def __getstate__(self) -> dict[str, Any]:
        # What is under way is this process's own.
        return {**self.__dict__, "_held": None}

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        return await self._queue.read(key, options)

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`."""
        return self._queue.begin(key, options, told)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        return await self.base.write(key, value, if_equal)

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        await self.base.delete_range(key_range)

    async def precious(self, prefix: str) -> str | None:
        """See `KeyValueStore.precious`."""
        return await self.base.precious(prefix)

    def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        return self.base.list(key_range)

    def list_directory(self, prefix: str) -> AsyncIterator[ListEntry] | None:
        """See `KeyValueStore.list_directory`."""
        return self.base.list_directory(prefix)

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        return self.base.spec_json(path)

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return self.base.url(path)

    def at(self, path: str) -> tuple[KeyValueStore, str]:
        """See `KeyValueStore.at`."""
        store, key = self.base.at(path)
        if store is self.base:
            return self, key
        return ScheduledStore(store, hedging=self._hedging, manner=self._manner), key

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self.base.identity

    @property
    def below(self) -> tuple[KeyValueStore, str] | None:
        """See `KeyValueStore.below`: it is no adapter of its own to whoever looks."""
        return self.base.below

    @property
    def blocking(self) -> BlockingFace | None:
        """See `KeyValueStore.blocking`."""
        return self.base.blocking

    @property
    def commit_domain(self) -> CommitDomain | None:
        """See `KeyValueStore.commit_domain`."""
        return self.base.commit_domain

    @property
    def history(self) -> ValueHistory | None:
        """See `KeyValueStore.history`."""
        return self.base.history

    def statistics(self) -> QueueStatistics:
        """What its reads came to so far, by all who read it in the same manner."""
        return self._queue.statistics()

    def plan(self, wanted: Sequence[Span]) -> RangePlan:
        """The requests that these reads of one key would become, if made in one turn."""
        return self._queue.plan(wanted)


def _queues() -> WeakValueDictionary[Hashable, ReadQueue]:
    found: Any = PROCESS.shared.get("read_queues")
    if found is None:
        with PROCESS.lock:
            found = PROCESS.shared.setdefault("read_queues", WeakValueDictionary())
    queues: WeakValueDictionary[Hashable, ReadQueue] = found
    return queues

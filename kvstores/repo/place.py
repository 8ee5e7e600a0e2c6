"""Where a repository is: a base store, a path in it, and the few requests that are made there."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum

from asynctensor.errors import Aborted, DataLoss, DeadlineExceeded, OutOfRange, Unavailable
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, KeyValueStore, ListEntry, ReadOptions


class Created(Enum):
    """How an attempt to create an object ended.

    `CREATED`: it is ours. `TAKEN`: there is one of that name already, perhaps by an earlier attempt
    of ours. `UNKNOWN`: the store did not say; it may still appear.
    """

    CREATED = "created"
    TAKEN = "taken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a base store.

    Attributes:
        store: The base store.
        path: Prefix of every object's key; empty, or it ends in ``/``.
        single_writer: Whether nobody else writes, so that looking before creating will do.
        requests: How many were made here so far, by kind.
    """

    store: KeyValueStore
    path: str
    single_writer: bool = False
    requests: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    @property
    def identity(self) -> object:
        """Hashable; equal for two places exactly when they share objects and credentials."""
        return (self.store.identity, self.path, self.single_writer)

    def key(self, name: str) -> str:
        """The key in the base store of the object `name`."""
        return self.path + name

    async def get(self, name: str) -> bytes | None:
        """The newest bytes of an object, or None if there is none.

        Raises:
            Error: The store failed.
        """
        self.requests["read"] += 1
        found = await self.store.read(self.key(name))
        return found.value if found.state == "value" else None

    async def get_part(self, name: str, offset: int, size: int) -> bytes | None:
        """Bytes of an object that never changes, or None if there is none.

        Raises:
            DataLoss: It is shorter than that.
            Error: The store failed.
        """
        self.requests["read"] += 1
        options = ReadOptions(ByteRange(offset, offset + size))
        try:
            found = await self.store.read(self.key(name), options)
        except OutOfRange as error:
            raise DataLoss(
                f"the object ends before byte {offset + size}", key=self.key(name)
            ) from error
        return found.value if found.state == "value" else None

    async def create(self, name: str, body: Buffer) -> Created:
        """Creates an object if there is none of that name.

        Raises:
            Error: The store failed, and surely nothing was created.
        """
        if self.single_writer:
            if await self.get(name) is not None:
                return Created.TAKEN
            await self.put(name, body)
            return Created.CREATED
        self.requests["create"] += 1
        try:
            stamp = await self.store.write(self.key(name), body, NO_VALUE)
        except (Unavailable, DeadlineExceeded, Aborted):
            # Aborted: a request beside this one was in the way (409), and nothing is decided.
            return Created.UNKNOWN
        return Created.TAKEN if stamp.generation == UNKNOWN else Created.CREATED

    @property
    def may_forget(self) -> bool:
        """Whether what can be read may still be lost in a crash: on local files (R36)."""
        capabilities = self.store.capabilities
        return capabilities.durable and not capabilities.remote

    async def confirm(self, name: str, body: Buffer) -> None:
        """Returns when an object that was read survives a crash.

        On local files it is seen before the directory is flushed that it was linked into. Whoever
        is told that a name is taken has flushed it.

        Raises:
            Unavailable: It may not survive.
            Error: The store failed.
        """
        if self.may_forget and await self.create(name, body) is Created.UNKNOWN:
            raise Unavailable("an object may not survive a crash", key=self.key(name))

    async def put(self, name: str, body: Buffer) -> None:
        """Writes an object, whatever was there.

        Raises:
            Error: The store failed.
        """
        self.requests["write"] += 1
        await self.store.write(self.key(name), body)

    async def delete(self, name: str) -> None:
        """Deletes an object, if there is one.

        Raises:
            Error: The store failed.
        """
        self.requests["delete"] += 1
        await self.store.write(self.key(name), None)

    async def names(self, prefix: str) -> AsyncIterator[ListEntry]:
        """The objects whose names begin with `prefix`, in the base store's order."""
        self.requests["list"] += 1
        skipped = len(self.path)
        async for entry in self.store.list(KeyRange.prefix(self.key(prefix))):
            yield ListEntry(entry.key[skipped:], entry.size, entry.time)

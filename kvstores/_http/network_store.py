"""`NetworkStore` and `ObjectStore`: what stores behind a network have in common.

They count and log what they are asked for, and complete errors with key, store and operation. What
a service makes of it, each store says for itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

from asynctensor.errors import Error, os_errors_mapped
from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.object_reader import ObjectReader
from asynctensor.kvstores._http.object_writer import ObjectWriter
from asynctensor.runtime.counters import StoreCounters
from asynctensor.runtime.verbose_flag import VerboseFlag
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Arrival,
    Buffer,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)

A = TypeVar("A", bound=Asker)
R = TypeVar("R", bound=ObjectReader[Any])
W = TypeVar("W", bound=ObjectWriter[Any])


class NetworkStore(KeyValueStore):
    """A store whose values are read and listed over a network."""

    #: What its stores have done.
    counters: ClassVar[StoreCounters]
    #: Switches on messages about its reads.
    verbose: ClassVar[VerboseFlag]

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            DataLoss: The bytes that came are not those of the checksum.
            FailedPrecondition: The server answered something other than what was asked.
            PermissionDenied: There is nothing to say who asks with, or the server refuses it.
        """
        self.counters.read.value += 1
        if self.verbose.level:
            self.verbose.log("read %s %s", key, options.byte_range)
        with self._located(key, "read"):
            found = await self._read(key, options)
        self.counters.bytes_read.value += len(found.value)
        return found

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`."""
        if self.verbose.level:
            return None
        return self._begin(key, options, told)

    def count_read(self, key: str, found: Arrival | Error) -> None:
        """See `CountsReads`."""
        self.counters.read.value += 1
        if isinstance(found, Error):
            found.located(key=key, store=self._place, operation="read")
        else:
            self.counters.bytes_read.value += len(found.value)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`.

        Raises:
            DataLoss: What the server sends is no listing.
            Unimplemented: The server lists nothing.
        """
        self.counters.list.value += 1
        if key_range.empty:
            return
        key = key_range.inclusive_min
        if key and key_range == KeyRange.singleton(key):
            with self._located(key, "list"):
                entry = await self._stat(key)
            if entry is not None:
                yield entry
            return
        with self._located(key_range.common_prefix, "list"):
            async for entry in self._list_range(key_range):
                yield entry

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        self.counters.list.value += 1
        with self._located(prefix, "list"):
            async for entry in self._list_folder(prefix):
                yield entry

    def _located(self, key: str | None, operation: str) -> AbstractContextManager[None]:
        return os_errors_mapped(key=key, store=self._place, operation=operation)

    # -- What a store says for itself ---------------------------------------------------------

    @property
    @abstractmethod
    def _place(self) -> str:
        """Where it is, as errors say it."""

    @abstractmethod
    async def _read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `read`."""

    @abstractmethod
    def _begin(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `begin_read`."""

    @abstractmethod
    async def _stat(self, key: str) -> ListEntry | None:
        """Size and time of a value; None if there is none."""

    @abstractmethod
    def _list_range(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """The keys of a range that is not empty."""

    @abstractmethod
    def _list_folder(self, prefix: str) -> AsyncIterator[ListEntry]:
        """What is directly below a prefix, which is empty or ends in ``/``."""


class ObjectStore(NetworkStore, Generic[A, R, W]):
    """A store of the objects of one place at a service.

    Args:
        asker: Sends its requests.
        reader: Reads its objects.
        writer: Writes them.
    """

    def __init__(self, asker: A, reader: R, writer: W) -> None:
        self._asker, self._reader, self._writer = asker, reader, writer

    @property
    def _place(self) -> str:
        return self._asker.place

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`.

        Raises:
            OutcomeUnknown: (an `Unavailable`) The answer to a conditional write was lost, and what
                is stored does not show whether it was done.
        """
        self.counters.write.value += 1
        with self._located(key, "write" if value is not None else "delete"):
            if value is None:
                return await self._writer.delete(key, if_equal)
            stamp = await self._writer.write(key, value, if_equal)
        self.counters.bytes_written.value += memoryview(value).nbytes
        return stamp

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        self.counters.delete_range.value += 1
        if not key_range.empty:
            with self._located(key_range.common_prefix, "delete"):
                await self._delete_range(key_range)

    @abstractmethod
    async def _delete_range(self, key_range: KeyRange) -> None:
        """Deletes the objects of a range that is not empty."""

    async def _read(self, key: str, options: ReadOptions) -> ReadResult:
        return await self._reader.read(key, options)

    def _begin(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        return self._reader.begin(self, key, options, told)

    async def _stat(self, key: str) -> ListEntry | None:
        return await self._reader.stat(key)

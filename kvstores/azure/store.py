"""``azure``: the blobs of a container of Azure Blob Storage.

A value is a block blob, its generation the ETag (`etags`), which no other version of it has.
Conditions are checked by the service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from asynctensor.errors import os_errors_mapped
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.azure.address import Address, write_url
from asynctensor.kvstores.azure.asking import Asker
from asynctensor.kvstores.azure.blocks import Uploads
from asynctensor.kvstores.azure.listing import delete_range, list_folder, list_range
from asynctensor.kvstores.azure.reading import read_object, stat
from asynctensor.kvstores.azure.writing import delete_object, write_object
from asynctensor.runtime.azure_credentials import AzureCredentials
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)

_COUNTERS = store_counters("azure")
_VERBOSE = verbose_flag("azure")
_ANYBODY = AzureCredentials()
_UPLOADS = Uploads()


class AzureStore(KeyValueStore):
    """A store of the blobs of one container.

    Args:
        address: Where the container is.
        exchange: How requests are sent.
        credentials: Who asks.
        uploads: How large blobs are sent.
    """

    driver = "azure"
    #: A suffix costs one request more: its length is asked for first. Blobs are not promised to be
    #: listed in order (`listing`).
    capabilities = Capabilities(
        can_create_if_absent=True,
        can_compare_and_swap=True,
        suffix_ranges=True,
        durable=True,
        remote=True,
    )

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        credentials: AzureCredentials = _ANYBODY,
        *,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        self._address = address
        self._uploads = uploads
        self._asker = Asker(exchange or Exchange(), address, credentials)

    def __repr__(self) -> str:
        return f"AzureStore({str(self._address)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        asker = self._asker
        return _restored, (self._address, asker.given_exchange, asker.credentials, self._uploads)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self.driver, self._address, self._asker.credentials

    # -- Reading and writing ------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            DataLoss: The bytes that came are not those of the checksum.
            PermissionDenied: There is nothing to say who asks with, or the service refuses it.
        """
        _COUNTERS.read.value += 1
        if _VERBOSE.level:
            _VERBOSE.log("read %s %s", key, options.byte_range)
        with self._located(key, "read"):
            found = await read_object(self._asker, key, options)
        _COUNTERS.bytes_read.value += len(found.value)
        return found

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`.

        Raises:
            OutcomeUnknown: (an `Unavailable`) The answer to a conditional write was lost, and what
                is stored does not show whether it was done.
        """
        with self._located(key, "write" if value is not None else "delete"):
            _COUNTERS.write.value += 1
            if value is None:
                return await delete_object(self._asker, key, if_equal)
            stamp = await write_object(self._asker, self._uploads, key, value, if_equal)
        _COUNTERS.bytes_written.value += memoryview(value).nbytes
        return stamp

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        _COUNTERS.delete_range.value += 1
        if not key_range.empty:
            with self._located(key_range.common_prefix, "delete"):
                await delete_range(self._asker, key_range)

    # -- Listing ------------------------------------------------------------------------------

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        _COUNTERS.list.value += 1
        if key_range.empty:
            return
        key = key_range.inclusive_min
        if key and key_range == KeyRange.singleton(key):
            with self._located(key, "list"):
                entry = await stat(self._asker, key)
            if entry is not None:
                yield entry
            return
        with self._located(key_range.common_prefix, "list"):
            async for entry in list_range(self._asker, key_range):
                yield entry

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        _COUNTERS.list.value += 1
        with self._located(prefix, "list"):
            async for entry in list_folder(self._asker, prefix):
                yield entry

    def _located(self, key: str, operation: str) -> AbstractContextManager[None]:
        return os_errors_mapped(key=key, store=str(self._address), operation=operation)

    # -- What it says of itself ---------------------------------------------------------------

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        address = self._address
        spec: dict[str, Json] = {
            "driver": self.driver,
            "account": address.account,
            "container": address.container,
        }
        if address.endpoint is not None:
            spec["endpoint"] = address.endpoint
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        address = self._address
        members = {"account": address.account, "container": address.container}
        return write_url({**members, "endpoint": address.endpoint}, path)


def _restored(
    address: Address, exchange: Exchange, credentials: AzureCredentials, uploads: Uploads
) -> AzureStore:
    return AzureStore(address, exchange, credentials, uploads=uploads)

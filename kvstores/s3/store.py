"""``s3``: the objects of a bucket, of AWS or of any service that speaks its protocol.

A value is an object, its generation the ETag (`etags`): of an object that was put in one piece that
is mostly the MD5 of its bytes, so equal bytes may be one generation, before and after others.
Conditions are checked by the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any

from asynctensor.errors import os_errors_mapped
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores.s3.address import Address, write_url
from asynctensor.kvstores.s3.asking import Asker
from asynctensor.kvstores.s3.listing import delete_range, list_folder, list_range
from asynctensor.kvstores.s3.multipart import Uploads
from asynctensor.kvstores.s3.reading import read_object, stat
from asynctensor.kvstores.s3.writing import Conditions, delete_object, write_object
from asynctensor.runtime.aws_credentials import AwsCredentials
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

_COUNTERS = store_counters("s3")
_VERBOSE = verbose_flag("s3")
_ANYBODY = AwsCredentials()
_CHECKED = Conditions()
_UPLOADS = Uploads()


class S3Store(KeyValueStore):
    """A store of the objects of one bucket.

    Args:
        address: Where the bucket is.
        exchange: How requests are sent.
        credentials: Who asks.
        region: In which region it is; empty: found out.
        requester_pays: Whether whoever asks agrees to pay.
        conditions: Which conditions the server checks.
        uploads: How large objects are sent.
    """

    driver = "s3"

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        credentials: AwsCredentials = _ANYBODY,
        region: str = "",
        *,
        requester_pays: bool = False,
        conditions: Conditions = _CHECKED,
        uploads: Uploads = _UPLOADS,
    ) -> None:
        self._address = address
        self._conditions = conditions
        self._uploads = uploads
        self._asker = Asker(
            exchange or Exchange(), address, region, credentials, requester_pays=requester_pays
        )
        self.capabilities = Capabilities(
            can_create_if_absent=conditions.writes,
            can_compare_and_swap=conditions.writes,
            lists_in_order=True,
            suffix_ranges=True,
            durable=True,
            remote=True,
        )

    def __repr__(self) -> str:
        return f"S3Store({str(self._address)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        asker = self._asker
        return _restored, (
            self._address, asker.given_exchange, asker.credentials, asker.region,
            asker.requester_pays, self._conditions, self._uploads,
        )  # fmt: skip

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        asker = self._asker
        who = (asker.credentials, asker.region, asker.requester_pays)
        return self.driver, self._address, who, self._conditions

    # -- Reading and writing ------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            DataLoss: The bytes that came are not those of the checksum.
            PermissionDenied: There are no keys to sign with, or the server refuses them.
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
                return await delete_object(self._asker, self._conditions, key, if_equal)
            stamp = await write_object(
                self._asker, self._conditions, self._uploads, key, value, if_equal
            )
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
        address, asker, conditions = self._address, self._asker, self._conditions
        members: dict[str, Any] = {
            "aws_region": asker.region,
            "bucket": address.bucket,
            "endpoint": address.endpoint or "",
            "host_header": address.host_header or "",
            "path": path,
        }
        spec: dict[str, Json] = {name: value for name, value in members.items() if value}
        spec["driver"] = self.driver
        if asker.requester_pays:
            spec["requester_pays"] = True
        if not conditions.writes:
            spec["use_conditional_write"] = False
        if not conditions.deletes:
            spec["conditional_delete"] = False
        if conditions.unquoted:
            spec["unquoted_etags"] = True
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        address = self._address
        return write_url({"bucket": address.bucket, "endpoint": address.endpoint}, path)


def _restored(
    address: Address,
    exchange: Exchange,
    credentials: AwsCredentials,
    region: str,
    requester_pays: bool,
    conditions: Conditions,
    uploads: Uploads,
) -> S3Store:
    return S3Store(
        address,
        exchange,
        credentials,
        region,
        requester_pays=requester_pays,
        conditions=conditions,
        uploads=uploads,
    )

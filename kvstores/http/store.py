"""``http``: values as HTTP servers have them, read only.

A value is what a GET of its URL answers. Its parts are asked for as ranges, its version is its ETag
or, where that is missing, the time when it was last modified (`generation`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager

from asynctensor.errors import FailedPrecondition, InvalidArgument, Unimplemented, os_errors_mapped
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.ranges import range_header
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.asking import Asker, Fields
from asynctensor.kvstores.http.credentials import Authorization
from asynctensor.kvstores.http.listing import IndexEntry, read_index
from asynctensor.kvstores.http.reading import begin_value, begun_fields, read_value, stat
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Arrival,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)

#: Folders within folders: more is a link that leads in a circle.
_DEEPEST = 64
_COUNTERS = store_counters("http")
_VERBOSE = verbose_flag("http")


class HttpStore(KeyValueStore):
    """A store of what is below a URL.

    Args:
        address: Which URL each key has.
        exchange: How requests are sent.
        headers: Fields of every request that stays on the same host.
        authorization: Who asks.
    """

    driver = "http"
    capabilities = Capabilities(
        writable=False, lists_in_order=True, suffix_ranges=True, remote=True
    )

    def __init__(
        self,
        address: Address,
        exchange: Exchange | None = None,
        headers: Fields = (),
        authorization: Authorization | None = None,
    ) -> None:
        self._address = address
        self._asker = Asker(exchange or Exchange(), headers, authorization or Authorization())
        self._latest: tuple[tuple[bytes, bytes, float], Fields | None] | None = None

    def __repr__(self) -> str:
        return f"HttpStore({self._address!r})"

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return self.driver, self._address, self._asker.headers, self._asker.authorization

    # -- Reading ------------------------------------------------------------------------------

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            FailedPrecondition: The server answered something other than what was asked.
        """
        _COUNTERS.read.value += 1
        url = self._address.url(key)
        if _VERBOSE.level:
            _VERBOSE.log("read %s %s", key, options.byte_range)
        with self._located(key, "read"):
            found = await read_value(self._asker, url, options)
        _COUNTERS.bytes_read.value += len(found.value)
        return found

    def begin_read(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`."""
        if _VERBOSE.level:
            return None
        # Reads of many values have in common all but the range.
        common = options.if_equal, options.if_not_equal, options.staleness_bound
        latest = self._latest
        if latest is None or latest[0] != common:
            latest = self._latest = common, begun_fields(self._asker, options)
        part = range_header(options.byte_range)
        if latest[1] is None or (part is None and not options.byte_range.is_full):
            return None
        fields = latest[1] if part is None else (*latest[1], ("Range", part))
        try:
            url = self._address.url(key)
        except InvalidArgument:
            return None

        def counted(arrival: Arrival | None) -> None:
            if arrival is not None:
                _COUNTERS.read.value += 1
                _COUNTERS.bytes_read.value += len(arrival.value)
            told(arrival)

        return begin_value(self._asker, url, options, fields, counted)

    # -- Listing ------------------------------------------------------------------------------

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`.

        Raises:
            Unimplemented: The server gives no index of the folder as JSON.
        """
        _COUNTERS.list.value += 1
        if key_range.empty:
            return
        key = key_range.inclusive_min
        if key_range == KeyRange.singleton(key):
            with self._located(key, "list"):
                entry = await stat(self._asker, self._address.url(key), key)
            if entry is not None:
                yield entry
            return
        folder, slash, _ = key_range.common_prefix.rpartition("/")
        async for entry in self._below(folder + slash, key_range, _DEEPEST):
            yield entry

    async def _below(
        self, prefix: str, key_range: KeyRange, depth: int
    ) -> AsyncIterator[ListEntry]:
        if depth == 0:
            raise FailedPrecondition(f"folders at {prefix!r} lead in a circle", key=prefix)
        for line in await self._index(prefix):
            key = prefix + line.name
            if not line.name.endswith("/"):
                if key in key_range:
                    yield ListEntry(key, line.size, line.time)
            elif not KeyRange.prefix(key).intersection(key_range).empty:
                async for entry in self._below(key, key_range, depth - 1):
                    yield entry

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        _COUNTERS.list.value += 1
        for line in await self._index(prefix):
            yield ListEntry(prefix + line.name, line.size, line.time)

    async def _index(self, prefix: str) -> Sequence[IndexEntry]:
        with self._located(prefix, "list"):
            return await read_index(self._asker, self._address.url(prefix))

    def _located(self, key: str, operation: str) -> AbstractContextManager[None]:
        return os_errors_mapped(key=key, store=self._address.root, operation=operation)

    # -- What cannot be done ------------------------------------------------------------------

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        raise Unimplemented("KeyValueStore does not support writing", key=key, store=self.driver)

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        raise Unimplemented("KeyValueStore does not support deleting by range", store=self.driver)

    # -- What it says of itself ---------------------------------------------------------------

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`: without any ``Authorization``."""
        spec: dict[str, Json] = {"base_url": self._address.base_url, "driver": self.driver}
        if self._asker.headers:
            spec["headers"] = [f"{name}: {value}" for name, value in self._asker.headers]
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return self._address.url(path) if path else self._address.base_url

"""``http``: values as HTTP servers have them, read only.

A value is what a GET of its URL answers. Its parts are asked for as ranges, its version is its ETag
or, where that is missing, the time when it was last modified (`generation`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from asynctensor.errors import FailedPrecondition, InvalidArgument, Unimplemented
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.network_store import NetworkStore
from asynctensor.kvstores._http.ranges import range_header
from asynctensor.kvstores._http.stored import weight_of
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.asking import Asker, Fields
from asynctensor.kvstores.http.credentials import Authorization
from asynctensor.kvstores.http.listing import IndexEntry, read_index
from asynctensor.kvstores.http.reading import HttpRead, begun_fields, read_value, stat
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    Buffer,
    Capabilities,
    Json,
    ListEntry,
    ReadOptions,
    ReadResult,
    Told,
)

#: Folders within folders: more is a link that leads in a circle.
_DEEPEST = 64


class HttpStore(NetworkStore):
    """A store of what is below a URL.

    Args:
        address: Which URL each key has.
        exchange: How requests are sent.
        headers: Fields of every request that stays on the same host.
        authorization: Who asks.
    """

    driver = "http"
    counters = store_counters("http")
    verbose = verbose_flag("http")
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

    @property
    def _place(self) -> str:
        return self._address.root

    async def _read(self, key: str, options: ReadOptions) -> ReadResult:
        return await read_value(self._asker, self._address.url(key), options)

    def _begin(self, key: str, options: ReadOptions, told: Told) -> Callable[[], object] | None:
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
        read = HttpRead(self._asker, self, key, options, told)
        is_begun = self._asker.begin(read, url, fields, weight_of(options.byte_range))
        return read.give_up if is_begun else None

    # -- Listing ------------------------------------------------------------------------------

    async def _stat(self, key: str) -> ListEntry | None:
        return await stat(self._asker, self._address.url(key), key)

    async def _list_range(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        if key_range == KeyRange.singleton(""):
            # What the URL itself answers is a value, too.
            entry = await self._stat("")
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

    async def _list_folder(self, prefix: str) -> AsyncIterator[ListEntry]:
        for line in await self._index(prefix):
            yield ListEntry(prefix + line.name, line.size, line.time)

    async def _index(self, prefix: str) -> Sequence[IndexEntry]:
        with self._located(prefix, "list"):
            return await read_index(self._asker, self._address.url(prefix))

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

"""`GuestStore`: a store that a user wrote, as the library uses it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from asynctensor.errors import Unimplemented
from asynctensor.extension.store_functions import ContractCalls, FunctionCalls, StoreCalls
from asynctensor.registry import store_opener
from asynctensor.runtime.context import Context
from asynctensor.runtime.guest import Guest
from asynctensor.runtime.process import PROCESS
from asynctensor.schema.json_value import dump
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
from asynctensor.storage.store_request import StoreRequest

#: What may stand unescaped in the path of a URL (RFC 3986, section 3.3).
_URL_SAFE = "/!$&'()*+,;=:@~"


class GuestStore(KeyValueStore):
    """A user's store. Their object is made when it is first needed, where their code runs.

    Two specs with the same members name the same store: as long as one is open, they share one
    object.

    Args:
        driver: Name in specs.
        scheme: Scheme of its URLs.
        make: Makes the user's object.
        options: The members of the spec, from which it is made.
        capabilities: What it can do.
        guest: Where its code runs.
        registration: Tells it from stores that were registered under its name before or after.
        below: What it stands on, if it is an adapter: a store, and a path in it.
    """

    def __init__(
        self,
        driver: str,
        scheme: str | None,
        make: Callable[[], Any],
        options: Mapping[str, Any],
        capabilities: Capabilities,
        guest: Guest,
        registration: int,
        below: tuple[KeyValueStore, str] | None = None,
    ) -> None:
        self.driver, self.capabilities = driver, capabilities
        self._scheme, self._make, self._options = scheme, make, dict(options)
        self._guest, self._registration, self._below = guest, registration, below
        self._made: list[StoreCalls] = []

    async def _calls(self) -> StoreCalls:
        if not self._made:
            made = await self._guest.call(self._make)
            calls: StoreCalls
            if isinstance(made, KeyValueStore):
                calls = ContractCalls(made, self._guest)
            else:
                calls = FunctionCalls(made, self._guest)
            # Of two made at once, the first is used by all.
            self._made.append(calls)
        return self._made[0]

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        return await (await self._calls()).read(key, options)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        return await (await self._calls()).write(key, value, if_equal)

    async def delete_range(self, key_range: KeyRange) -> None:
        await (await self._calls()).delete_range(key_range)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        calls = await self._calls()
        async with aclosing(calls.list(key_range)) as entries:
            async for entry in entries:
                yield entry

    def spec_json(self, path: str) -> dict[str, Json]:
        spec: dict[str, Json] = {"driver": self.driver, **self._options}
        if self._below is not None:
            store, key = self._below
            spec["base"] = store.spec_json(key)
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        if self._scheme is None or self._options:
            raise Unimplemented(f'a store of driver "{self.driver}" with members has no URL')
        if self._below is not None:
            store, key = self._below
            return f"{store.url(key)}|{self._scheme}:{quote(path, safe=_URL_SAFE)}"
        return f"{self._scheme}://{quote(path, safe=_URL_SAFE)}"

    @property
    def below(self) -> tuple[KeyValueStore, str] | None:
        return self._below

    @property
    def identity(self) -> object:
        where = None if self._below is None else (self._below[0].identity, self._below[1])
        return (self.driver, self._registration, dump(self._options), where)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.driver, self._options, self._below)

    def __repr__(self) -> str:
        return f"GuestStore({self.spec_json('')})"


def _reopened(
    driver: str, options: Mapping[str, Any], below: tuple[KeyValueStore, str] | None
) -> KeyValueStore:
    def open_base(spec: Any) -> tuple[KeyValueStore, str]:
        found: tuple[KeyValueStore, str] = spec
        return found

    request = StoreRequest(driver, "", options, Context(), below, open_base)
    return store_opener(driver)(request)[0]


class OpenStores:
    """The stores that are open in this process, by what names them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: WeakValueDictionary[object, GuestStore] = WeakValueDictionary()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`."""
        self._lock = threading.Lock()

    def shared(self, key: object, make: Callable[[], GuestStore]) -> GuestStore:
        """The store known by `key`, as long as somebody holds it; else a new one."""
        with self._lock:
            found = self._stores.get(key)
            if found is None:
                found = self._stores[key] = make()
            return found

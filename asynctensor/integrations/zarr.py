"""`Store`: any kvstore as a store of zarr-python.

Existing code that uses zarr-python, or xarray through it, gets our stores, scheduler, transactions
and history without a change. The contract is that of ``zarr.abc.store.Store`` (zarr-python 3.1),
whose tests say what its text leaves open: byte ranges mean what Python's slices mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from asynctensor.errors import IncompatibleType, OutOfRange
from asynctensor.integrations.given_kvstore import given_kvstore, target_of
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_values import PublicReadResult
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing
from asynctensor.storage.directory import list_directory, stat
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.transaction.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable


class Store(ZarrStore):
    """A kvstore, a transaction in one, or a state of a repository, as a store of zarr-python.

    Its methods run in any event loop. A cancelled one has happened or never will (`KvStore`). What
    fails raises `asynctensor.errors`; a key that is missing is no failure to zarr-python.

    Args:
        kvstore: A `KvStore`, a `Repository`, a `KvStore.Spec` or its JSON, a URL, or a path. Its
            path is a folder; keys are below.
        read_only: Refuse writes. It is so where the kvstore cannot be written, as a tag cannot.
        transaction: What reads and writes belong to.
        context: Resources to use, where `kvstore` is not open yet.

    Raises:
        InvalidArgument: `kvstore` is none.
    """

    def __init__(
        self,
        kvstore: Any,
        *,
        read_only: bool = False,
        transaction: Transaction | None = None,
        context: Context | None = None,
    ) -> None:
        opened = given_kvstore(kvstore, context=context, transaction=transaction)
        can = opened.store.capabilities
        super().__init__(read_only=read_only or not can.writable)
        self._kvstore = opened
        if not can.remote:
            # zarr-python reads chunk after chunk where it finds these: no way to read from afar.
            self.get_sync: Callable[..., Buffer | None] = self._get_sync
            self.set_sync: Callable[[str, Buffer], None] = self._set_sync
            self.delete_sync: Callable[[str], None] = self._delete_sync

    @property
    def kvstore(self) -> KvStore:
        """What it stands on."""
        return self._kvstore

    @property
    def supports_writes(self) -> bool:
        return self._kvstore.store.capabilities.writable

    @property
    def supports_deletes(self) -> bool:
        return self.supports_writes

    @property
    def supports_listing(self) -> bool:
        return self._kvstore.store.capabilities.listable

    def with_read_only(self, read_only: bool = False) -> Self:
        return type(self)(self._kvstore, read_only=read_only)

    def with_transaction(self, transaction: Transaction | None) -> Self:
        """The same store, with reads and writes that belong to `transaction`."""
        bound = self._kvstore.with_transaction(transaction)
        return type(self)(bound, read_only=self.read_only)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Store):
            return NotImplemented
        return self._known_by() == other._known_by()

    __hash__ = None  # type: ignore[assignment]

    def _known_by(self) -> tuple[object, ...]:
        kvstore = self._kvstore
        transaction = kvstore.transaction
        return kvstore.store.identity, kvstore.key_prefix, self.read_only, id(transaction)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self._kvstore, self.read_only)

    def __str__(self) -> str:
        return self._kvstore.place.rstrip("/")

    def __repr__(self) -> str:
        return f"Store({str(self)!r}{', read_only=True' if self.read_only else ''})"

    # -- Reading ------------------------------------------------------------------------------

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        part = await self._slice_of(key, byte_range)
        try:
            found = await self._read(key, part)
        except OutOfRange:
            found = await self._read_rest(key, part)
        return _buffer(found, prototype)

    def _read(self, key: str, part: slice | None) -> Future[PublicReadResult]:
        return self._kvstore.read(key, byte_range=part)

    async def _slice_of(self, key: str, byte_range: ByteRequest | None) -> slice | None:
        part = _slice(byte_range)
        if part is None or part.start >= 0 or self._kvstore.store.capabilities.suffix_ranges:
            return part
        size = await self.getsize(key) if await self.exists(key) else 0
        return slice(max(size + part.start, 0), None)

    async def _read_rest(self, key: str, part: slice | None) -> PublicReadResult:
        """What there is of a value that is shorter than was asked for."""
        assert part is not None
        try:
            return await self._read(key, slice(max(part.start, 0), None))
        except OutOfRange:
            return await self._read(key, slice(0, 0))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        # Those that begin in one turn of the loop are planned together.
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        asked = list(requests)
        found = await asyncio.gather(*(self.get(*each) for each in asked))
        for (key, _, _), value in zip(asked, found, strict=True):
            yield key, value

    async def exists(self, key: str) -> bool:
        # 0:0 asks for no bytes, and so for the generation alone.
        return (await self._read(key, slice(0, 0))).state == "value"

    async def getsize(self, key: str) -> int:
        found = await start(stat, self._target, self._key(key))
        if found is None:
            raise FileNotFoundError(key)
        if found.size >= 0:
            return found.size
        value = await self.get(key, default_buffer_prototype())
        return 0 if value is None else len(value)

    async def getsize_prefix(self, prefix: str) -> int:
        total, unknown = 0, []
        async for entry in self._entries(_folder(prefix)):
            if entry.size < 0:
                unknown.append(self._relative(entry))
            total += max(entry.size, 0)
        return total + sum(await asyncio.gather(*map(self.getsize, unknown)))

    # -- Writing ------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await self._write(key, _bytes_of(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        self._check_writable()
        kvstore = self._kvstore
        if kvstore.transaction is None and not kvstore.store.capabilities.can_create_if_absent:
            await super().set_if_not_exists(key, value)
        else:
            await kvstore.write(key, _bytes_of(value), if_equal=NO_VALUE)

    async def delete(self, key: str) -> None:
        self._check_writable()
        await self._kvstore.write(key, None)

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        below = KeyRange.prefix(self._key(_folder(prefix)))
        await start(self._target.delete_range, below)

    def _write(self, key: str, value: memoryview) -> Future[Any]:
        kvstore = self._kvstore
        if kvstore.transaction is None and not kvstore.store.capabilities.never_waits:
            # Who waits for the write leaves the buffer alone: no copy of it is needed.
            return start(kvstore.store.write, self._key(key), value)
        return kvstore.write(key, value)

    # -- Listing ------------------------------------------------------------------------------

    def list(self) -> AsyncGenerator[str, None]:
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        async with aclosing(self._entries(prefix)) as entries:
            async for entry in entries:
                yield self._relative(entry)

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        folder = self._key(_folder(prefix))
        listing = Listing(lambda: list_directory(self._target, folder))
        async with aclosing(aiter(listing)) as entries:
            async for entry in entries:
                yield entry.key[len(folder) :].rstrip("/")

    async def _entries(self, prefix: str) -> AsyncGenerator[ListEntry, None]:
        below = KeyRange.prefix(self._key(prefix))
        async with aclosing(aiter(Listing(lambda: self._target.list(below)))) as entries:
            async for entry in entries:
                yield entry

    # -- On the calling thread ----------------------------------------------------------------

    def _get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        prototype = default_buffer_prototype() if prototype is None else prototype
        return start(self.get, key, prototype, byte_range).result()

    def _set_sync(self, key: str, value: Buffer) -> None:
        self._check_writable()
        self._write(key, _bytes_of(value)).result()

    def _delete_sync(self, key: str) -> None:
        self._check_writable()
        self._kvstore.write(key, None).result()

    # -- Inside -------------------------------------------------------------------------------

    @property
    def _target(self) -> KeyValueStore:
        return target_of(self._kvstore)

    def _key(self, key: str) -> str:
        return self._kvstore.key_prefix + key

    def _relative(self, entry: ListEntry) -> str:
        return entry.key[len(self._kvstore.key_prefix) :]


def _restored(kvstore: KvStore, read_only: bool) -> Store:
    return Store(kvstore, read_only=read_only)


def _folder(prefix: str) -> str:
    return prefix + "/" if prefix and not prefix.endswith("/") else prefix


def _slice(byte_range: ByteRequest | None) -> slice | None:
    """The bytes that a request means."""
    match byte_range:
        case None:
            return None
        case RangeByteRequest(first, end):
            return slice(first, max(first, end))
        case OffsetByteRequest(offset):
            return slice(offset, None)
        case SuffixByteRequest(suffix):
            return slice(-suffix, None) if suffix else slice(0, 0)
    raise IncompatibleType(
        f"Unexpected byte_range, got {byte_range!r}: expected RangeByteRequest, "
        "OffsetByteRequest or SuffixByteRequest"
    )


def _buffer(found: PublicReadResult, prototype: BufferPrototype) -> Buffer | None:
    return prototype.buffer.from_bytes(found.value) if found.state == "value" else None


def _bytes_of(value: Buffer) -> memoryview:
    if not isinstance(value, Buffer):
        raise IncompatibleType(
            f"a value must be a Buffer of zarr-python, but is a {type(value).__name__}"
        )
    return memoryview(value.as_buffer_like())

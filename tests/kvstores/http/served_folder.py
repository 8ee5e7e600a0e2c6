"""What a server serves, as a store that can be written: through the folder itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.workers import shared_pool
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
)


class ServedFolder(KeyValueStore):
    """Reads over HTTP; writes into the folder, and tells the generation that HTTP then says."""

    driver = "http"

    def __init__(self, http: HttpStore, folder: Path, *, lists: bool) -> None:
        self._http, self._folder, self._lists = http, folder, lists
        self._seconds: dict[str, int] = {}
        options = FileOptions(sync=False, locking="none")
        self._files = FileStore(f"{folder}/", options, shared_pool("file_io", 4))
        self.capabilities = replace(http.capabilities, lists_in_order=lists)

    @property
    def identity(self) -> object:
        return self._http.identity

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        return await self._http.read(key, options)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        if if_equal != UNKNOWN:
            return await self._http.write(key, value, if_equal)
        writing = asyncio.ensure_future(self._write(key, value))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    async def _write(self, key: str, value: Buffer | None) -> TimestampedStorageGeneration:
        written = await self._files.write(key, value)
        if written.generation == NO_VALUE:
            return written
        # Whole seconds, past, each later than the one before: servers tell versions apart.
        self._seconds[key] = self._seconds.get(key, int(time.time()) - 55) + 1
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._folder / key, (self._seconds[key], self._seconds[key]))
        found = await self._http.read(key, ReadOptions(ByteRange(0, 0)))
        return replace(found.stamp, time=written.time)

    async def delete_range(self, key_range: KeyRange) -> None:
        await self._files.delete_range(key_range)

    def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        return (self._http if self._lists else self._files).list(key_range)

    def list_directory(self, prefix: str) -> AsyncIterator[ListEntry] | None:
        return (self._http if self._lists else self._files).list_directory(prefix)

    def spec_json(self, path: str) -> dict[str, Json]:
        return self._http.spec_json(path)

    def url(self, path: str) -> str:
        return self._http.url(path)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self._http, self._folder, self._lists)


def _restored(http: HttpStore, folder: Path, lists: bool) -> ServedFolder:
    return ServedFolder(http, folder, lists=lists)

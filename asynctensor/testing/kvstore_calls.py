"""What tests do with stores: on the I/O loop, where stores live, from any other loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynctensor.runtime.event_loop import start
from asynctensor.storage.directory import list_directory
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer, KeyValueStore, ListEntry, ReadOptions, ReadResult


async def read(store: KeyValueStore, key: str, options: ReadOptions | None = None) -> ReadResult:
    """Reads on the I/O loop, where stores live."""
    return await start(store.read, key, ReadOptions() if options is None else options)


async def write(
    store: KeyValueStore, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
) -> TimestampedStorageGeneration:
    """Writes on the I/O loop."""
    return await start(store.write, key, value, if_equal)


async def entries(store: KeyValueStore, key_range: KeyRange | None = None) -> list[ListEntry]:
    """Lists on the I/O loop."""

    async def collect() -> list[ListEntry]:
        return [entry async for entry in store.list(key_range or KeyRange())]

    return await start(collect)


async def directory(store: KeyValueStore, prefix: str) -> list[ListEntry]:
    """Lists a directory on the I/O loop."""

    async def collect() -> list[ListEntry]:
        return [entry async for entry in list_directory(store, prefix)]

    return await start(collect)


async def keys(store: KeyValueStore, key_range: KeyRange | None = None) -> list[str]:
    """The keys alone, sorted."""
    return sorted(entry.key for entry in await entries(store, key_range))


async def fill(store: KeyValueStore, names: Sequence[str]) -> None:
    """Writes keys whose values are their names."""
    await asyncio.gather(*(write(store, name, name.encode()) for name in names))

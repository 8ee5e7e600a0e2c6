"""Looking at one directory or one key of any store, as cheaply as the store can."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry


async def list_directory(store: KeyValueStore, prefix: str) -> AsyncIterator[ListEntry]:
    """What is directly below `prefix`; see `KeyValueStore.list_directory`.

    A store that cannot list directories is asked for keys: one listing per directory below where
    it lists in order, else all keys below `prefix`.

    Args:
        store: The store.
        prefix: Empty, or ending in ``/``.
    """
    entries = store.list_directory(prefix)
    if entries is None:
        by_skipping = store.capabilities.lists_in_order
        entries = _skipping(store, prefix) if by_skipping else _from_keys(store, prefix)
    async for entry in entries:
        yield entry


async def stat(store: KeyValueStore, key: str) -> ListEntry | None:
    """Size and time of one value, without reading it; None if there is none."""
    async for entry in store.list(KeyRange.singleton(key)):
        return entry
    return None


async def _from_keys(store: KeyValueStore, prefix: str) -> AsyncIterator[ListEntry]:
    seen: set[str] = set()
    async for entry in store.list(KeyRange.prefix(prefix)):
        name, slash, _ = entry.key[len(prefix) :].partition("/")
        if not slash:
            yield entry
        elif name not in seen:
            seen.add(name)
            yield ListEntry(f"{prefix}{name}/")


async def _skipping(store: KeyValueStore, prefix: str) -> AsyncIterator[ListEntry]:
    whole = KeyRange.prefix(prefix)
    start: str | None = whole.inclusive_min
    while start is not None:
        listing, start = store.list(KeyRange(start, whole.exclusive_max)), None
        async for entry in listing:
            name, slash, _ = entry.key[len(prefix) :].partition("/")
            if slash:
                yield ListEntry(f"{prefix}{name}/")
                # The least string above all that start with it: "0" follows "/".
                start = f"{prefix}{name}0"
                break
            yield entry

"""`KeyValueStoreListSuite`: what a store promises of listings, and of ranges of keys."""

from __future__ import annotations

import asyncio
import time

import pytest

from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.testing.kvstore_calls import directory, entries, fill, keys, read, write


@pytest.mark.asyncio
class KeyValueStoreListSuite:
    """The part of `KeyValueStoreSuite` on listings; it is used through that."""

    async def test_list_with_sizes(self, store: KeyValueStore) -> None:
        await fill(store, ["b", "a/b", "a/bb", "c/d/e"])
        found = await entries(store)
        assert sorted(entry.key for entry in found) == ["a/b", "a/bb", "b", "c/d/e"]
        assert all(entry.size in (-1, len(entry.key)) for entry in found)
        if store.capabilities.lists_in_order:
            assert found == sorted(found, key=lambda entry: entry.key)

    async def test_list_ranges(self, store: KeyValueStore) -> None:
        names = ["a", "a-", "a0", "b/a", "b/b", "b/b0/c", "b0", "bb/x", "c/d/e", "é"]
        await fill(store, names)
        for key_range in _ranges():
            wanted = sorted(name for name in names if name in key_range)
            assert await keys(store, key_range) == wanted, key_range

    async def test_one_key_is_listed_by_itself(self, store: KeyValueStore) -> None:
        await fill(store, ["a/b", "a/bb", "a/b0"])
        for key in ("a/b", "a/bb", "a/missing", "missing/b", "a"):
            wanted = [ListEntry(key, len(key))] if key in ("a/b", "a/bb") else []
            found = await entries(store, KeyRange.singleton(key))
            assert [(e.key, e.size in (-1, len(key))) for e in found] == [
                (e.key, True) for e in wanted
            ]

    async def test_directories_are_listed(self, store: KeyValueStore) -> None:
        names = ["a", "b/a", "b/b", "b/b0/c", "b/b0/d/e", "b0", "bb/x/y", "é/f", "b-/x"]
        await fill(store, names)
        for prefix in ("", "b/", "b/b0/", "é/", "bb/", "no/", "b0/", "b/a/"):
            wanted = set()
            for name in names:
                if name.startswith(prefix):
                    first, slash, _ = name[len(prefix) :].partition("/")
                    wanted.add(prefix + first + slash)
            found = await directory(store, prefix)
            assert sorted(e.key for e in found) == sorted(wanted), prefix
            assert all(e.size == -1 for e in found if e.key.endswith("/"))
            assert all(e.size in (-1, len(e.key.encode())) for e in found if e.key in names)

    async def test_times_are_those_of_the_writes(self, store: KeyValueStore) -> None:
        before = time.time()
        await fill(store, ["a/k"])
        after = time.time()
        (listed,) = await entries(store)
        (found,) = await directory(store, "a/")
        assert listed.time == found.time
        # Clocks of file systems are coarse, those of servers are their own.
        assert listed.time is None or before - 60 < listed.time < after + 60

    async def test_list_of_an_empty_store(self, store: KeyValueStore) -> None:
        for key_range in _ranges():
            assert await entries(store, key_range) == []

    async def test_list_of_many_keys(self, store: KeyValueStore) -> None:
        names = [f"c/{i % 7}/{i}" for i in range(250)]
        await fill(store, names)
        assert await keys(store) == sorted(names)

    async def test_delete_range(self, store: KeyValueStore) -> None:
        names = ["a", "a-", "a0", "b/a", "b/b", "b/b0/c", "b0", "bb/x", "c/d/e"]
        for key_range in _ranges():
            await fill(store, names)
            await start(store.delete_range, key_range)
            assert await keys(store) == [n for n in sorted(names) if n not in key_range], key_range
            for name in names:
                state = "missing" if name in key_range else "value"
                assert (await read(store, name)).state == state

    async def test_writing_again_after_delete_range(self, store: KeyValueStore) -> None:
        await fill(store, ["a/b/c", "a/b/d"])
        await start(store.delete_range, KeyRange.prefix("a/"))
        await write(store, "a/b/c", b"again")
        assert (await read(store, "a/b/c")).value == b"again"
        assert await keys(store) == ["a/b/c"]

    async def test_delete_range_beside_writers(self, store: KeyValueStore) -> None:
        await fill(store, [f"d/{i}/k" for i in range(20)])
        writes = [write(store, f"d/{i}/new", b"new") for i in range(20)]
        await asyncio.gather(start(store.delete_range, KeyRange.prefix("d/")), *writes)
        left = await keys(store)
        assert not [key for key in left if key.endswith("/k")]
        for key in left:
            assert (await read(store, key)).value == b"new"


def _ranges() -> list[KeyRange]:
    return [
        KeyRange(),
        KeyRange.prefix("a"),
        KeyRange.prefix("b/"),
        KeyRange.prefix("b/b"),
        KeyRange.prefix("c/d/"),
        KeyRange.prefix("none/"),
        KeyRange.singleton("b/b"),
        KeyRange("", "b/b"),
        KeyRange("b/b", ""),
        KeyRange("a0", "b/b0"),
        KeyRange("b/", "b0"),
        KeyRange("b", "a"),
        KeyRange("b", "b"),
    ]

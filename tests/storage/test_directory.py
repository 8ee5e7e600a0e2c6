"""Directories are the same however a store lists them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.directory import stat
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.kvstore_calls import directory, fill
from asynctensor.transaction.staged_store import StagedStore

NAMES = st.sampled_from(["a", "b", "a0", "a-", "é", "\U0001f9e0", "zarr.json"])
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def expected(keys: set[str], prefix: str) -> list[str]:
    found = set()
    for key in keys:
        if key.startswith(prefix):
            name, slash, _ = key[len(prefix) :].partition("/")
            found.add(prefix + name + slash)
    return sorted(found)


def on_disk(keys: set[str]) -> set[str]:
    """Those that can be files at once: none is a directory of another."""
    return {k for k in keys if not any(other.startswith(k + "/") for other in keys)}


async def listed(store: KeyValueStore, prefix: str) -> list[str]:
    return sorted(entry.key for entry in await directory(store, prefix))


@settings(max_examples=60, deadline=None)
@given(st.sets(KEYS, max_size=12), st.lists(NAMES, max_size=2))
def test_every_way_finds_the_same(keys: set[str], path: list[str]) -> None:
    prefix = "".join(f"{name}/" for name in path)
    memory = MemoryStore()
    # Without directories of its own: in order, or not.
    ordered = FaultyStore(memory)
    unordered = FaultyStore(memory, lists_in_order=False)

    async def compare() -> None:
        await fill(memory, sorted(keys))
        wanted = expected(keys, prefix)
        assert await listed(memory, prefix) == wanted
        assert await listed(ordered, prefix) == wanted
        assert await listed(unordered, prefix) == wanted

    asyncio.run(compare())


@settings(max_examples=25, deadline=None)
@given(st.sets(KEYS, max_size=8), st.lists(NAMES, max_size=2))
def test_files_too(keys: set[str], path: list[str]) -> None:
    prefix = "".join(f"{name}/" for name in path)
    with tempfile.TemporaryDirectory() as root:
        store = FileStore(root, FileOptions(sync=False))

        async def compare() -> None:
            await fill(store, sorted(on_disk(keys)))
            assert await listed(store, prefix) == expected(on_disk(keys), prefix)

        asyncio.run(compare())


@settings(max_examples=60, deadline=None)
@given(
    st.sets(KEYS, max_size=8),
    st.lists(st.tuples(st.sampled_from(["write", "delete", "delete below"]), KEYS), max_size=6),
    st.lists(NAMES, max_size=1),
)
def test_transactions_see_what_they_staged(
    keys: set[str], steps: list[tuple[str, str]], path: list[str]
) -> None:
    prefix = "".join(f"{name}/" for name in path)
    base = MemoryStore()
    transaction = ts.Transaction()
    store = StagedStore(base, transaction)

    async def compare() -> None:
        await fill(base, sorted(keys))
        for step, key in steps:
            if step == "write":
                await start(store.write, key, b"new")
                keys.add(key)
            elif step == "delete":
                await start(store.write, key, None)
                keys.discard(key)
            else:
                await start(store.delete_range, KeyRange.prefix(key + "/"))
                keys.difference_update({k for k in keys if k.startswith(key + "/")})
        assert await listed(store, prefix) == expected(keys, prefix)
        await transaction.commit_async()
        assert await listed(base, prefix) == expected(keys, prefix)

    asyncio.run(compare())


async def test_chunks_are_not_listed_to_find_their_directory() -> None:
    memory = MemoryStore()
    await fill(memory, [f"a/c/{i}" for i in range(500)] + ["a/zarr.json", "b/zarr.json"])
    store = FaultyStore(memory)
    assert await listed(store, "a/") == ["a/c/", "a/zarr.json"]
    assert len(store.requests) <= 3


class Unscanned(FileSystem):
    def scandir(self, path: Any) -> Any:
        raise AssertionError(f"{path} was read")


async def test_stat_reads_no_directory(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path), file_system=Unscanned())
    await fill(store, ["a/k", "a/l"])
    entry = await start(stat, store, "a/k")
    assert entry is not None
    assert (entry.key, entry.size) == ("a/k", 3)
    assert entry.time == pytest.approx((tmp_path / "a/k").stat().st_mtime)
    assert await start(stat, store, "a/m") is None
    assert await start(stat, store, "a") is None

"""`memory` keeps the store contract."""

from __future__ import annotations

import pickle

import pytest

from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.kvstore_calls import keys, read, write
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite


class TestContract(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    async def test_every_string_is_a_key(self, store: MemoryStore) -> None:
        names = ["", "/", "a//b", "../x", "a/./b", "nul\0", "a/"]
        for name in names:
            await write(store, name, name.encode())
        assert await keys(store) == sorted(names)


async def test_stores_over_one_map_share_it() -> None:
    values = MemoryMap()
    one, two = MemoryStore(values), MemoryStore(values, atomic=False)
    await write(one, "k", b"1")
    assert (await read(two, "k")).value == b"1"
    assert one.identity == two.identity != MemoryStore().identity
    assert one.commit_domain is not None
    assert two.commit_domain is None


async def test_sharing_survives_within_one_pickle() -> None:
    values = MemoryMap()
    one, two = pickle.loads(pickle.dumps((MemoryStore(values), MemoryStore(values))))
    await write(one, "k", b"1")
    assert (await read(two, "k")).value == b"1"


async def test_an_open_value_is_not_copied() -> None:
    store = MemoryStore()
    value = b"x" * 100
    await write(store, "k", value)
    opened = store.blocking.open("k")
    assert opened is not None
    assert opened.value is value


async def test_keys_written_again_are_listed_once() -> None:
    store = MemoryStore()
    for _ in range(3):
        await write(store, "a", b"1")
        assert await keys(store, KeyRange.prefix("a")) == ["a"]
        await write(store, "a", None)
        await write(store, "a", b"1")
        await write(store, "b", b"1")
        assert await keys(store) == ["a", "b"]
        await write(store, "b", None)

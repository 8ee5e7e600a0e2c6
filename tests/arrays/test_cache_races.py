"""A chunk that was opened before a write, on a local store, is not cached after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asynctensor as ts
from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.kvstores.memory.store import MemoryFace, MemoryStore
from asynctensor.storage.kvstore import OpenValue
from asynctensor.testing.open_over import open_over


class HookedFace(MemoryFace):
    """The face of a memory store, with something to do once a value is open."""

    __slots__ = ("_hook",)

    def __init__(self, values: MemoryMap, hook: Callable[[], None]) -> None:
        super().__init__(values)
        self._hook = hook

    def open(self, key: str) -> OpenValue | None:
        value = super().open(key)
        self._hook()
        return value


class HookedStore(MemoryStore):
    """Calls what is put into `hooks`, once each, when a value is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[Callable[[], Any]] = []

    def _opened(self) -> None:
        if self.hooks:
            self.hooks.pop()()

    @property
    def blocking(self) -> HookedFace:
        return HookedFace(self.values, self._opened)


async def test_a_write_between_opening_and_caching() -> None:
    stored = HookedStore()
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    store = await open_over(
        stored, "a/", dtype="int32", shape=[40], context=context, recheck_data=False,
        chunk_layout=ts.ChunkLayout(chunk_shape=[4]),
    )  # fmt: skip
    await store.write(1)
    stored.hooks.append(lambda: store[:4].write(2).result())
    assert (await store[:4].read())[0] in (1, 2)
    assert not stored.hooks, "the chunk was not opened"
    assert (await store[:4].read() == 2).all()


async def test_a_conflict_between_opening_and_replacing() -> None:
    stored = HookedStore()
    layout = ts.ChunkLayout(chunk_shape=[4])
    store = await open_over(stored, "a/", dtype="int32", shape=[40], chunk_layout=layout)
    other = await open_over(MemoryStore(stored.values), "a/", dtype="int32", shape=[40])
    await store.write(1)
    stored.hooks.append(lambda: other[1].write(5).result())
    await store[0].write(4)
    assert (await store[:4].read()).tolist() == [4, 5, 1, 1]
    assert store.statistics().conflicts == 1

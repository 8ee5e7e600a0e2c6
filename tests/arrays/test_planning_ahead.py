"""Of large chunks in a store that is not local, several are asked for while workers are busy."""

from __future__ import annotations

import threading

import asynctensor as ts
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.kvstore import DEFAULT_READ, ReadOptions, ReadResult
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

CHUNK = 2 * 2**20
AT_ONCE = 8


class BusyStore(FaultyStore):
    """Keeps a worker busy from the first read until so many reads have begun."""

    workers: WorkerPool

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.begun = 0
        self.enough = threading.Event()
        self.in_time: list[bool] = []

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        if key.startswith("a/c/"):
            self.begun += 1
            if self.begun == 1:
                self.workers.post(lambda: self.in_time.append(self.enough.wait(60)))
            if self.begun == AT_ONCE:
                self.enough.set()
        return await super().read(key, options)


async def test_many_are_asked_for_while_the_only_worker_is_busy() -> None:
    stored = BusyStore()
    context = ts.Context({"data_copy_concurrency": {"limit": 1}})
    workers = context["data_copy_concurrency"].value
    assert isinstance(workers, WorkerPool)
    stored.workers = workers
    store = await open_over(
        stored, "a/", dtype="uint8", shape=[12 * CHUNK], fill_value=3, context=context,
        chunk_layout=ts.ChunkLayout(chunk_shape=[CHUNK]),
    )  # fmt: skip
    assert (await store.read() == 3).all()
    assert (stored.begun, stored.in_time) == (12, [True])

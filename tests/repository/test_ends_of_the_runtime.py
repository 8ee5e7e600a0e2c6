"""Transactions whose last steps are taken from them by the end of the runtime: all are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted, CommitUnknown
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.runtime.event_loop import io_loop, start
from asynctensor.runtime.job import abandon_all
from asynctensor.storage.generation import UNKNOWN
from asynctensor.testing.open_over import open_over


@pytest.fixture
def stillborn() -> Iterator[list[bool]]:
    """While it holds True, the tasks of the I/O loop are cancelled before their first step."""
    switch: list[bool] = []

    def made(loop, work, **named):
        task = asyncio.Task(work, loop=loop, **named)
        if switch:
            task.cancel()
        return task

    io_loop().set_task_factory(made)
    yield switch
    io_loop().set_task_factory(None)


def repository(tmp_path) -> at.Repository:
    return at.Repository.open(f"file://{tmp_path}/lab/", create=True).result()


def test_an_abort_that_the_store_was_never_told(tmp_path, stillborn) -> None:
    repo = repository(tmp_path)
    txn = repo.transaction()
    token = txn.share()
    stillborn.append(True)
    txn.abort()
    with pytest.raises(CommitUnknown, match="resume"):
        txn.future.result(timeout=60)
    stillborn.clear()
    # So it can be.
    again = at.Transaction.resume(token).result()
    again.abort()
    with pytest.raises(Aborted, match="transaction was aborted"):
        again.future.result(timeout=60)


def test_what_was_moved_out_of_memory_and_is_not_erased(tmp_path, stillborn) -> None:
    repo = repository(tmp_path)
    txn = repo.transaction(staged_bytes_limit=1 << 10)
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("image/")}
    image = at.open(spec, create=True, transaction=txn, dtype="uint8", shape=[256, 256]).result()
    image.write(np.ones((256, 256), np.uint8)).result()
    # Behind what moves.
    image[3, 3].write(2).result()
    stillborn.append(True)
    txn.abort()
    with pytest.raises(Aborted, match="transaction was aborted"):
        txn.future.result(timeout=60)


class SilentStore(MemoryStore):
    """Tells nobody that it has written, until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def write(self, key, value, if_equal=UNKNOWN):  # noqa: ANN201
        self.asked.set()
        await self.go_on.wait()
        return await super().write(key, value, if_equal)


def test_a_commit_that_is_stuck() -> None:
    store = SilentStore()
    txn = at.Transaction(atomic=False)
    schema = {"dtype": "uint8", "shape": [8]}
    open_over(store, transaction=txn, **schema).result()
    committed = txn.commit_async()

    async def end() -> None:
        await store.asked.wait()
        abandon_all(asyncio.get_running_loop())
        store.go_on.set()

    start(end).exception(timeout=60)
    with pytest.raises(CommitUnknown, match="ended during the commit"):
        committed.result(timeout=60)
    assert txn.aborted

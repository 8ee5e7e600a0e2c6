"""Tasks that are in each other's way commit one after the other, and not all of them in vain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import asynctensor as at
from asynctensor.chunked.compression.user_codec import CODECS
from asynctensor.errors import DeadlineExceeded
from asynctensor.extending import register_codec
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

TASKS = 24


@pytest.fixture
def encoded() -> Iterator[itertools.count[int]]:
    """Counts how often a chunk is encoded by the codec ``counted``."""
    counter = itertools.count()

    @register_codec("counted")
    class Counted:
        def encode(self, data: bytes) -> bytes:
            next(counter)
            return data

        def decode(self, data: bytes) -> bytes:
            return data

    yield counter
    del CODECS["counted"]


async def test_appends_are_worked_out_a_few_times_each(encoded: itertools.count[int]) -> None:
    repo = await at.Repository.open("memory://lab/", create=True, context=at.Context())
    log = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("log/"),
         "metadata": {"codecs": [{"name": "bytes"}, {"name": "counted"}]}},
        create=True, dtype="int32", shape=[0], chunk_layout=at.ChunkLayout(chunk_shape=[1]),
    )  # fmt: skip
    transactions = [repo.transaction() for _ in range(TASKS)]
    for number, txn in enumerate(transactions):
        await log.with_transaction(txn).append(np.array([number], "int32"))
    before = next(encoded)
    await asyncio.gather(*(txn.commit_async() for txn in transactions))
    # Each is tried at once, and once more in its turn, which may be lost to one that just came.
    assert next(encoded) - before - 1 <= 3 * TASKS
    assert sorted((await (await log.resolve()).read()).tolist()) == list(range(TASKS))


async def test_who_waits_for_a_turn_gives_up_in_time() -> None:
    base = FaultyStore(MemoryStore())
    state = RepositoryState(place_of(base, ""))
    await start(state.create)
    repo = at.Repository(state, KvStoreSpec.of("memory", "lab/"), at.Context())
    log = await open_over(repo.kvstore().store, "log/", dtype="int32", shape=[0])
    late, first = repo.transaction(), repo.transaction()
    for txn in (late, first):
        await log.with_transaction(txn).append(np.array([1], "int32"))
    branch = state.known("main")
    assert branch is not None
    gate = base.hold("write", when=lambda key: key.startswith("log/"))
    landing = first.commit_async()
    await gate.reached()
    await start(branch.again.__aenter__)
    waiting = late.commit_async(timeout=1)
    while not (branch._waiting or waiting.done()):
        await start(asyncio.sleep, 0)  # a turn of the I/O loop
    gate.open()
    await landing
    with pytest.raises(DeadlineExceeded):
        await waiting
    await start(branch.again.__aexit__)
    assert late.aborted
    assert (await log.resolve()).shape == (1,)

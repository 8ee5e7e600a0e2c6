"""A user's function, called by a worker, may itself wait for arrays and for loops."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

import asynctensor as ts

PATIENCE = 40


@pytest.fixture
async def store(tmp_path: Path) -> ts.TensorStore:
    store = await ts.open(
        tmp_path / "a",
        create=True,
        dtype="uint8",
        shape=[64, 64],
        chunk_layout=ts.ChunkLayout(chunk_shape=[8, 8]),
        # One waits, and another does what it waits for.
        context=ts.Context({"data_copy_concurrency": {"limit": 2}}),
    )
    await store.write(7)
    return store


async def test_a_done_callback_opens_and_reads(store: ts.TensorStore) -> None:
    found: list[np.ndarray] = []
    done = threading.Event()

    def read_again(future: ts.Future) -> None:
        again = ts.open(store.spec()).result(timeout=PATIENCE)
        found.append(again.read().result(timeout=PATIENCE))
        done.set()

    store.read().add_done_callback(read_again)
    assert await asyncio.to_thread(done.wait, PATIENCE)
    assert (found[0] == 7).all()


async def test_progress_waits_for_a_task_that_reads(store: ts.TensorStore) -> None:
    loop = asyncio.get_running_loop()
    told: list[int] = []

    async def look() -> int:
        return int((await store[3, 3].read()).item())

    def progress(_: ts.Progress) -> None:
        if not told:
            told.append(asyncio.run_coroutine_threadsafe(look(), loop).result(PATIENCE))

    async with asyncio.timeout(2 * PATIENCE):
        await store.read(progress=progress)
    assert told == [7]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, SystemExit])
async def test_a_progress_function_that_fails_fails_the_read(
    store: ts.TensorStore, error: type[BaseException]
) -> None:
    def progress(_: ts.Progress) -> None:
        raise error("of mine")

    with pytest.raises(error):
        store.read(progress=progress).result(timeout=PATIENCE)
    assert (await store.read() == 7).all()

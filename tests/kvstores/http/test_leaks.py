"""What ten thousand cancelled reads leave behind: nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.gate import shared_gate
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions

WIDTH = 50
ROUNDS = 10_000 // WIDTH
#: Blocks of memory that may differ for other reasons: caches that fill, a connection more or less.
_NOISE = 2000


async def cancelled_by_task(store: KeyValueStore, turns: int) -> None:
    tasks = [asyncio.ensure_future(store.read("k")) for _ in range(WIDTH)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def given_up(store: KeyValueStore, turns: int) -> None:
    told: list[Any] = []
    begun = [store.begin_read("k", ReadOptions(), told.append) for _ in range(WIDTH)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for give_up in begun:
        if give_up is not None:
            give_up()


def sockets_to(port: int) -> int:
    """The connections of this process to a port of the loopback."""
    table = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    ours = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in table]
    return sum(f"socket:[{row[9]}]" in ours for row in rows if row[2].endswith(f":{port:04X}"))


@pytest.mark.slow
@pytest.mark.parametrize("leave", [cancelled_by_task, given_up])
async def test_cancelled_reads_leave_nothing(caddy, leave) -> None:
    (caddy.folder / "k").write_bytes(b"value" * 2000)
    opened = await ts.KvStore.open(caddy.url)
    store = opened._store

    async def run() -> None:
        known = shared_gate().statistics()
        blocks = tasks = 0
        for round_ in range(ROUNDS):
            # Others come and go meanwhile.
            await leave(store, round_ % 16)
            if round_ == ROUNDS // 5:
                assert len((await store.read("k")).value) == 10_000
                blocks, tasks = sys.getallocatedblocks(), len(asyncio.all_tasks())
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len((await store.read("k")).value) == 10_000
        assert len(asyncio.all_tasks()) <= tasks
        assert sys.getallocatedblocks() - blocks < _NOISE
        assert shared_gate().statistics() == known
        # No more are kept than were in use at once.
        assert sockets_to(caddy.port) <= WIDTH

    await start(run)

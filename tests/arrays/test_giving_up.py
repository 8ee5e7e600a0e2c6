"""Giving up: what nobody waits for ends, and of a large write a few values are stored, not all."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import asynctensor as at
from asynctensor.errors import DeadlineExceeded
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.runtime.event_loop import start
from asynctensor.testing.open_over import open_over

CHUNKS = 3000


class Gated(FileSystem):
    """A disk that stands still after the metadata, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.still = False
        self.reached, self.gate = threading.Event(), threading.Event()

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        if self.still:
            self.reached.set()
            self.gate.wait()


async def test_a_cancelled_write_stores_little_more(tmp_path: Path) -> None:
    disk = Gated()
    store = await open_over(
        FileStore(str(tmp_path), FileOptions(), file_system=disk),
        "a/",
        metadata={
            "shape": [CHUNKS],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        },
    )
    disk.still = True
    writing = asyncio.ensure_future(store.write(1).commit)
    await asyncio.to_thread(disk.reached.wait)
    writing.cancel()
    await asyncio.sleep(0)
    disk.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    stored = sum(1 for p in (tmp_path / "a" / "c").iterdir() if not p.name.endswith("__lock"))
    # What the threads that wait for the disk, six at most, had in hand.
    assert 0 < stored <= 6 * 64
    assert int((await store.read()).sum()) == stored


@pytest.mark.parametrize("limit", [None, 3600.0])
@pytest.mark.parametrize("what", ["read", "write"])
async def test_what_nobody_waits_for_any_more_ends(what: str, limit: float | None) -> None:
    """Also where its time has not run out yet."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    array = at.virtual_chunked(endless, endless, dtype="uint8", shape=[10])
    working: asyncio.Future[Any]
    if what == "read":
        working = asyncio.ensure_future(array.read(timeout=limit))
    else:
        working = asyncio.ensure_future(array.write(1, timeout=limit).commit)
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await ended.wait()


async def test_an_error_of_time_names_the_array(tmp_path: Path) -> None:
    stored = await open_over(
        FileStore(str(tmp_path), FileOptions()),
        "a/",
        metadata={
            "shape": [4],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        },
    )
    for what, begin in (("read", lambda: stored.read(timeout=0)),
                        ("write", lambda: stored.write(1, timeout=0))):  # fmt: skip
        with pytest.raises(DeadlineExceeded) as caught:
            await begin()
        assert caught.value.operation == what
        assert (caught.value.array or "").startswith("file://")

    async def endless(*_: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded, match=r"array='the functions of virtual_chunked'"):
        await at.virtual_chunked(endless, dtype="uint8", shape=[10]).read(timeout=0.01)


async def test_a_limit_keeps_nothing_of_what_is_over() -> None:
    array = at.virtual_chunked(lambda *_: None, dtype="uint8", shape=[10])
    found = weakref.ref(await array.read(timeout=3600.0))
    # Sooner or later the I/O loop forgets the timer, and the worker what it was doing.
    async with asyncio.timeout(60):
        while found() is not None:
            await start(asyncio.sleep, 0)
            gc.collect()

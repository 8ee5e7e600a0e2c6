"""Who gives up a large write waits for a few values to be stored, not for all that are encoded."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
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

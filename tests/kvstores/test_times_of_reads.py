"""What a read brings was the newest when it began: it may have been replaced when it ended."""

from __future__ import annotations

import time
from pathlib import Path

from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.kvstore import OpenValue, ReadOptions


async def test_files(tmp_path: Path, monkeypatch) -> None:
    store = FileStore(str(tmp_path))
    await start(store.write, "a", b"old")
    face = store.blocking
    opened: list[float] = []
    original = type(face).open

    def slow(self: object, key: str) -> OpenValue | None:
        found = original(self, key)
        opened.append(time.time())
        return found

    monkeypatch.setattr(type(face), "open", slow)
    for key in ("a", "nothing"):
        found = face.read(key, ReadOptions())
        assert found.stamp.time <= opened.pop()


async def test_directories_of_zip_files(tmp_path: Path, monkeypatch) -> None:
    base = FileStore(str(tmp_path))
    store, other = ZipStore(base, "a.zip"), ZipStore(base, "a.zip")
    await start(store.write, "old", b"1")
    original = type(base.blocking).open
    replaced: list[float] = []

    def slow(self: object, key: str) -> OpenValue | None:
        found = original(self, key)
        if not replaced:
            replaced.append(0)
            start(store.write, "new", b"2").result()
            replaced[0] = time.time()
        return found

    face = other.blocking
    assert face is not None
    monkeypatch.setattr(type(base.blocking), "open", slow)
    assert face.open("new") is None
    monkeypatch.undo()
    # Who asks after the write sees it, whatever those found who had begun before.
    wanted = ReadOptions(staleness_bound=replaced[0])
    assert (await start(other.read, "new", wanted)).value == b"2"

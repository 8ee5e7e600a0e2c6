"""What a read brings was the newest when it began: it may have been replaced when it ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.kvstore import OpenValue, ReadOptions, ReadResult


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


async def test_repositories(tmp_path: Path, monkeypatch) -> None:
    state = state_of(place_of(FileStore(str(tmp_path)), "lab/"))
    await start(state.create)
    store = RepositoryStore(state, source_of(state, {}))
    await start(store.write, "a", b"old")
    original = RepositoryStore._read
    replaced: list[float] = []

    async def slow(self: RepositoryStore, *given: Any) -> ReadResult:
        if not replaced:
            replaced.append(0)
            await store.write("a", b"new")
            replaced[0] = time.time()
        return await original(self, *given)

    monkeypatch.setattr(RepositoryStore, "_read", slow)
    found = await start(store.read, "a")
    # What was taken from the state before is not told to be of later.
    assert found.value == b"old"
    assert found.stamp.time < replaced[0]

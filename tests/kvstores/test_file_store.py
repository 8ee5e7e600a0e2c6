"""`file` keeps the store contract, in each locking mode."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Replacement
from asynctensor.testing.kvstore_calls import keys
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite


class TestContract(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path / "root"))


class TestContractWithLockFiles(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path), FileOptions(sync=False, locking="lockfile"))


class TestContractWithoutLocks(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path), FileOptions(sync=False, locking="none"))


async def test_more_keys_than_are_listed_or_removed_in_one_go(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path), FileOptions(sync=False))
    names = [f"{i % 3}/{i:04}" for i in range(2100)]
    outcomes = store.blocking.replace([Replacement(name, b"") for name in names])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert await keys(store) == sorted(names)
    await start(store.delete_range, KeyRange("0/1", "2/1"))
    assert await keys(store) == sorted(n for n in names if not "0/1" <= n < "2/1")
    await start(store.delete_range, KeyRange())
    assert [path.name for path in await asyncio.to_thread(tmp_path.rglob, "*")] == []


def test_pieces_are_written_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [b"%d," % i * (i % 7) for i in range(3000)]
    real = os.writev

    def stutter(fd: int, buffers: list[memoryview]) -> int:
        # As a disk that is nearly full, or a signal, may have it.
        return real(fd, [memoryview(b"".join(buffers))[:7]])

    for writev in (real, stutter):
        monkeypatch.setattr(os, "writev", writev)
        with open(tmp_path / "file", "wb", buffering=0) as file:
            FileSystem().write(file.fileno(), *map(memoryview, pieces))
        assert (tmp_path / "file").read_bytes() == b"".join(pieces)

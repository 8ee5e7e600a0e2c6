"""`file` keeps the store contract, in each locking mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
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

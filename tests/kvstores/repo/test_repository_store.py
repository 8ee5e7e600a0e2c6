"""`repo` keeps the store contract, over memory, over files and in the clouds."""

from __future__ import annotations

import pickle
from typing import ClassVar

import pytest

from asynctensor.errors import NotFound
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.opening import open_store
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.kvstore_calls import read
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.servers.cloud_folders import new_folder


async def made(base: KeyValueStore, path: str) -> RepositoryStore:
    state = state_of(place_of(base, path))
    await start(state.create)
    return RepositoryStore(state, source_of(state, {}))


class TestOverMemory(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    async def store(self) -> RepositoryStore:
        return await made(MemoryStore(), "lab/")

    async def test_pickle(self, store: KeyValueStore) -> None:
        # Another process has a memory of its own, and no repository in it.
        copy = pickle.loads(pickle.dumps(store))
        with pytest.raises(NotFound, match="no repository here"):
            await read(copy, "k")


class TestOverFiles(KeyValueStoreSuite):
    @pytest.fixture
    async def store(self, tmp_path) -> RepositoryStore:
        base, path = open_store(KvStoreSpec(f"file://{tmp_path}/lab/"), Context())
        return await made(base, path)


class OverACloud(KeyValueStoreSuite):
    """Fewer rounds, and no larger values than there must be: every request is one to a server."""

    large_value_size: ClassVar[int] = 1_000_003
    rounds: ClassVar[int] = 2
    cloud: ClassVar[str]

    @pytest.fixture
    async def store(self, servers, monkeypatch) -> RepositoryStore:
        folder = new_folder(self.cloud, servers, monkeypatch)
        return await made(*open_store(KvStoreSpec(folder), Context()))


@pytest.mark.slow
class TestOverS3(OverACloud):
    cloud = "s3"


@pytest.mark.slow
class TestOverGcs(OverACloud):
    cloud = "gcs"


@pytest.mark.slow
class TestOverAzure(OverACloud):
    cloud = "azure"

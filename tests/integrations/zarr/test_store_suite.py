"""zarr-python's own store tests, over stores of ours."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from zarr.core.buffer import Buffer, cpu
from zarr.testing.stateful import ZarrHierarchyStateMachine, ZarrStoreStateMachine
from zarr.testing.store import StoreTests

import asynctensor as at
from asynctensor.errors import FailedPrecondition
from asynctensor.integrations.zarr import Store


class OfKvStore(StoreTests[Store, cpu.Buffer]):
    """The tests; what a store stands on, a subclass says."""

    store_cls = Store
    buffer_cls = cpu.Buffer

    async def set(self, store: Store, key: str, value: Buffer) -> None:
        await store.kvstore.write(key, value.to_bytes())

    async def get(self, store: Store, key: str) -> Buffer:
        return cpu.Buffer.from_bytes((await store.kvstore.read(key)).value)

    def test_store_repr(self, store: Store) -> None:
        assert repr(store) == f"Store({str(store)!r})"
        assert "\n" not in str(store)

    def test_store_supports_writes(self, store: Store) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: Store) -> None:
        assert store.supports_listing


class TestFile(OfKvStore):
    @pytest.fixture
    def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"kvstore": tmp_path / "zarr"}


class TestMemory(OfKvStore):
    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        return {"kvstore": {"driver": "memory", "path": "a/b"}, "context": at.Context()}

    async def test_serializable_store(self, store: Store) -> None:
        """What is in memory does not travel: a copy of the store is another one."""
        await store.kvstore.write("k", b"v")
        copied = pickle.loads(pickle.dumps(store))
        assert copied != store
        assert await copied.is_empty("")


class TestRepository(OfKvStore):
    @pytest.fixture
    async def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"kvstore": await at.Repository.open(tmp_path, create=True)}


class TestTransaction(OfKvStore):
    """Nothing is committed: all that the tests look at is staged."""

    @pytest.fixture
    async def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        repo = await at.Repository.open(tmp_path, create=True)
        return {"kvstore": repo.kvstore("a"), "transaction": repo.transaction()}

    async def test_serializable_store(self, store: Store) -> None:
        with pytest.raises(FailedPrecondition, match="bound to a transaction cannot be pickled"):
            pickle.dumps(store)


@pytest.mark.parametrize("machine", [ZarrStoreStateMachine, ZarrHierarchyStateMachine])
@pytest.mark.parametrize("kind", ["memory", "repo"])
def test_random_operations(machine: Any, kind: str) -> None:
    def made() -> Any:
        context = at.Context()
        if kind == "memory":
            return machine(Store("memory://zarr/", context=context))
        repo = at.Repository.open("memory://lab/", create=True, context=context).result()
        return machine(Store(repo, transaction=repo.transaction(isolation="blind")))

    run_state_machine_as_test(
        made, settings=settings(max_examples=6, stateful_step_count=25, deadline=None)
    )

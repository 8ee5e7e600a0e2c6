"""Arrays over stores that can be told to hold and to fail requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import asynctensor as ts
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

SHARDS = [
    {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [2],
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        },
    }
]


@pytest.fixture
def faulty() -> Iterator[FaultyStore]:
    store = FaultyStore(MemoryStore())
    yield store
    store.open_gates()


@pytest.fixture(params=["chunks", "shards"])
def over(faulty: FaultyStore, request: pytest.FixtureRequest) -> Callable[..., Awaitable[Any]]:
    """Makes an array of 40 int32 in chunks (or shards) of 4, over the faulty store."""

    async def make(**given: Any) -> ts.TensorStore:
        metadata = {
            "shape": [40],
            "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        }
        if request.param == "shards":
            metadata["codecs"] = SHARDS
        return await open_over(faulty, "a/", metadata=metadata, **given)

    return make

"""Arrays of 2**50 elements are used like small ones, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import ResourceExhausted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

SHAPE = [2**20, 2**20, 2**10]
CHUNK = [64, 64, 64]
MEMORY = 64 * 2**20


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY


@pytest.fixture(params=["memory", "file", "shards"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    kvstore: Any = "memory://big/"
    if request.param == "file":
        kvstore = {"driver": "file", "path": f"{tmp_path}/big/", "file_io_sync": False}
    layout = {"write_chunk": {"shape": CHUNK}}
    if request.param == "shards":
        layout = {"write_chunk": {"shape": [256] * 3}, "read_chunk": {"shape": CHUNK}}
    return {"driver": "zarr3", "kvstore": kvstore, "schema": {"chunk_layout": layout}}


async def test_the_whole_life(spec: dict[str, Any]) -> None:
    store = await ts.open(spec, create=True, dtype="uint8", shape=SHAPE, fill_value=9)
    assert store.size == 2**50
    places = [(0, 0, 0), (2**20 - 1, 2**20 - 1, 2**10 - 1), (123_456, 654_321, 777)]
    for number, place in enumerate(places):
        await store[place].write(number)
        assert await store[place].read() == number
    corner = store[2**20 - 10 :, 2**20 - 10 :, 2**10 - 10 :]
    expected = np.full((10, 10, 10), 9)
    expected[-1, -1, -1] = 1
    assert (await corner.read() == expected).all()
    thin = await store[:: 2**17, 654_321, 777].read()
    assert (thin == 9).all()
    points = await store.vindex[tuple(np.transpose(places))].read()
    assert points.tolist() == [0, 1, 2]
    assert len(await store.kvstore.list()) == 1 + len(places)

    again = await ts.open(store.spec(), context=store.context, open=True)
    assert await again[places[2]].read() == 2

    statistics = await store.storage_statistics(query_not_stored=True, query_fully_stored=True)
    assert (statistics.not_stored, statistics.fully_stored) == (False, False)
    part = store[: 2**19, : 2**19]
    assert (await part[256:].storage_statistics(query_not_stored=True)).not_stored

    larger = await store.resize(exclusive_max=[2**40, None, None])
    await larger[2**40 - 1, 0, 0].write(5)
    assert await larger[2**40 - 1, 0, 0].read() == 5
    smaller = await larger.resize(exclusive_max=[2**19, 2**20, 2**10])
    assert len(await smaller.kvstore.list()) == 3
    assert await smaller[places[2]].read() == 2

    await smaller.kvstore.delete_range(ts.KvStore.KeyRange())
    assert await smaller.kvstore.list() == []
    with pytest.raises(ValueError, match="NOT_FOUND"):
        await smaller.resolve()


async def test_what_does_not_fit_is_refused_before_it_is_allocated(spec: dict[str, Any]) -> None:
    store = await ts.open(spec, create=True, dtype="uint8", shape=[2**40, 2**20, 2**10])
    with pytest.raises(ResourceExhausted, match="smaller part"):
        await store.read()


async def test_views_without_end_cost_nothing(spec: dict[str, Any]) -> None:
    store = await ts.open(spec, create=True, dtype="uint8", shape=SHAPE)
    view = store[1::3, ::-1].translate_by[-(2**45), 0, 0].T
    assert view.shape == (2**10, 2**20, -(-(2**20 - 1) // 3))


async def test_a_huge_write_can_be_cancelled() -> None:
    """It is planned while it goes on: nothing of its size is ever made."""
    faulty = FaultyStore(MemoryStore())
    store = await open_over(
        faulty, "a/", dtype="uint8", shape=SHAPE, chunk_layout=ts.ChunkLayout(chunk_shape=CHUNK)
    )
    gate = faulty.hold("write")
    written = store.write(np.broadcast_to(np.uint8(1), SHAPE))
    await gate.reached()
    written.cancel()
    gate.open()
    error = await _ended(written)
    assert error == "CancelledError"
    assert faulty.in_flight == []
    assert 1 <= len([r for r in faulty.requests if r.operation == "write"]) < 2000


async def _ended(future: Any) -> str:
    try:
        await future
    except BaseException as error:
        return type(error).__name__
    return "no error"


async def test_a_transaction_is_as_sparse(spec: dict[str, Any]) -> None:
    store = await ts.open(spec, create=True, dtype="uint8", shape=SHAPE)
    async with ts.Transaction(atomic=False) as txn:
        staged = store.with_transaction(txn)
        await staged[2**20 - 1, 2**20 - 1].write(3)
        assert (await staged[2**20 - 1, 2**20 - 1].read() == 3).all()
    assert (await store[2**20 - 1, 2**20 - 1].read() == 3).all()

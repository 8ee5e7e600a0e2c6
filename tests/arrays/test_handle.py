"""What a handle offers around reading and writing: batches, progress, specs, pickles, copies."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import FailedPrecondition

MEMORY = {"driver": "zarr3", "kvstore": "memory://a/"}


async def made(spec: Any = None, shape: tuple[int, ...] = (10, 12), **given: Any) -> ts.TensorStore:
    layout = ts.ChunkLayout(chunk_shape=[4, 5])
    given = {"dtype": "uint16", "shape": shape, "chunk_layout": layout} | given
    return await ts.open(MEMORY if spec is None else spec, create=True, **given)


def data(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype="u2").reshape(shape)


# -- Batch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
async def test_a_batch_decodes_each_chunk_once(cached: bool) -> None:
    limit = {"cache_pool": {"total_bytes_limit": 10**6 if cached else 0}}
    store = await made(context=ts.Context(limit))
    await store.write(data(10, 12))
    before = store.statistics()
    with ts.Batch() as batch:
        futures = []
        for row in range(10):
            futures.append(store[row].read(batch=batch))
            await asyncio.sleep(0)
        assert not any(future.done() for future in futures)
    rows = await asyncio.gather(*futures)
    assert (np.stack(rows) == data(10, 12)).all()
    assert store.statistics().chunks_decoded - before.chunks_decoded == 9


async def test_a_batch_is_used_once() -> None:
    store = await made()
    batch = ts.Batch()
    future = store.read(batch=batch)
    batch.submit()
    await future
    with pytest.raises(ValueError, match="batch was already submitted"):
        store.read(batch=batch)
    with pytest.raises(ValueError, match="already submitted"):
        batch.submit()
    with pytest.raises(ValueError, match="source is a TensorStore"):
        store.write(1, batch=ts.Batch())


async def test_a_dropped_batch_is_submitted() -> None:
    store = await made()
    batch = ts.Batch()
    future = store.read(batch=batch)
    del batch
    assert (await future == 0).all()


async def test_reads_of_one_turn_share_their_chunks() -> None:
    store = await made()
    await store.write(1)
    before = store.statistics().chunks_decoded
    await asyncio.gather(*(store[row, column].read() for row in range(4) for column in range(5)))
    assert store.statistics().chunks_decoded - before == 1


async def test_hundreds_of_reads_at_once() -> None:
    store = await made(shape=(50, 60))
    source = data(50, 60)
    await store.write(source)
    places = [(row, column) for row in range(0, 50, 2) for column in range(0, 60, 3)]
    found = await asyncio.gather(*(store[r : r + 1, c : c + 3].read() for r, c in places))
    for (r, c), part in zip(places, found, strict=True):
        assert (part == source[r : r + 1, c : c + 3]).all()


# -- Order, progress, statistics -----------------------------------------------------------------


async def test_order() -> None:
    store = await made()
    await store.write(data(10, 12))
    for view, expected in ((store, data(10, 12)), (store.T, data(10, 12).T)):
        found = await view.read(order="F")
        assert found.flags.f_contiguous
        assert (found == expected).all()
        assert (await view.read("C")).flags.c_contiguous
    with pytest.raises(TypeError, match="order"):
        store.read(order="A")  # type: ignore[arg-type]


VIEWS: dict[str, Callable[[ts.TensorStore], ts.TensorStore]] = {
    "whole": lambda s: s,
    "slice": lambda s: s[2:7],
    "points": lambda s: s.vindex[np.arange(2000) % 10, np.arange(2000) % 12],
}


@pytest.mark.parametrize("view", list(VIEWS))
async def test_progress(view: str) -> None:
    store = await made()
    part = VIEWS[view](store)
    for operation, call in (
        ("write", lambda p: part.write(1, progress=p)),
        ("read", lambda p: part.read(progress=p)),
    ):
        seen: list[ts.Progress] = []
        await call(seen.append)
        assert seen, "nobody was told anything"
        assert {p.operation for p in seen} == {operation}
        assert [p.done for p in seen] == list(range(1, len(seen) + 1))
        assert seen[-1].done == seen[-1].total


async def test_progress_that_fails_stops_the_operation() -> None:
    store = await made()

    def stop(progress: ts.Progress) -> None:
        raise ZeroDivisionError

    for call in (store.read, lambda **p: store.write(1, **p)):
        with pytest.raises(ZeroDivisionError):
            await call(progress=stop)


async def test_storage_statistics() -> None:
    store = await made()
    query = {"query_not_stored": True, "query_fully_stored": True}
    nothing = await store.storage_statistics()
    assert (nothing.not_stored, nothing.fully_stored) == (None, None)
    found = await store.storage_statistics(**query)
    assert (found.not_stored, found.fully_stored) == (True, False)
    await store[:4].write(1)
    found = await store.storage_statistics(**query)
    assert (found.not_stored, found.fully_stored) == (False, False)
    found = await store[1:3, ::7].storage_statistics(**query)
    assert (found.not_stored, found.fully_stored) == (False, True)
    found = await store[4:].storage_statistics(query_not_stored=True)
    assert (found.not_stored, found.fully_stored) == (True, None)
    many = await made({**MEMORY, "kvstore": "memory://many/"}, shape=(100, 100))
    await many[:4, 50:].write(1)
    found = await many[::2].storage_statistics(**query)
    assert (found.not_stored, found.fully_stored) == (False, False)
    found = await many[4:].storage_statistics(**query)
    assert (found.not_stored, found.fully_stored) == (True, False)


async def test_chunks_of_fill_value_are_not_kept() -> None:
    store = await made(fill_value=3)
    await store.write(3)
    assert len(await store.kvstore.list()) == 1
    await store.write(4)
    assert len(await store.kvstore.list()) == 10
    await store[:4].write(3)
    assert len(await store.kvstore.list()) == 7
    keeper = await ts.open(
        {**store.spec().to_json(), "store_data_equal_to_fill_value": True}, context=store.context
    )
    await keeper[:4].write(3)
    assert len(await keeper.kvstore.list()) == 10
    assert keeper.spec().to_json()["store_data_equal_to_fill_value"] is True


# -- Caching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recheck", [True, False, "open"])
async def test_what_another_process_wrote_is_seen_as_asked(tmp_path: Path, recheck: Any) -> None:
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"}
    writer = await made(spec)
    await writer.write(1)
    cache = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    reader = await ts.open(spec, context=cache, recheck_cached_data=recheck)
    assert (await reader.read() == 1).all()
    hits = reader.statistics().cache_hits
    assert (await reader.read() == 1).all()
    assert reader.statistics().cache_hits == hits + 9
    await writer.write(2)
    assert (await reader.read() == (2 if recheck is True else 1)).all()
    # One's own writes are always seen.
    await reader[0, 0].write(9)
    assert await reader[0, 0].read() == 9
    assert await reader[0, 1].read() == 2


@pytest.mark.parametrize("library", [ts, tensorstore])
@pytest.mark.parametrize(("recheck", "seen"), [(-1.0, 1), (-2.0, 1), (2.0**40, 2), ("open", 2)])
async def test_what_is_as_new_as_a_time_is_not_asked_for_again(
    tmp_path: Path, library: Any, recheck: Any, seen: int
) -> None:
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"}
    writer = await made(spec)
    await writer.write(1)
    cache = library.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    first = await library.open(spec, context=cache)
    assert (await first.read() == 1).all()
    await writer.write(2)
    later = await library.open(spec, context=cache, recheck_cached_data=recheck)
    assert (await later.read() == seen).all()


async def test_the_cache_keeps_to_its_limit() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 4000}})
    store = await made(shape=(100, 100), context=context)
    await store.write(data(100, 100))
    assert (await store.read() == data(100, 100)).all()
    cache = context.resolve("cache_pool").value.slots["chunks"].statistics()
    assert 0 < cache.bytes <= 4000


# -- Specs and pickles ---------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["whole", "slice", "moved", "points", "turned"])
async def test_the_spec_of_a_view_opens_the_view(tmp_path: Path, view: str) -> None:
    store = await made({"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"})
    await store.write(data(10, 12))
    views = VIEWS | {
        "moved": lambda s: s[3:8, 2:9:3].translate_by[-50, 7],
        "turned": lambda s: s[::-1].T,
    }
    part = views[view](store)
    spec = part.spec()
    again = await ts.open(ts.Spec(spec.to_json()))
    assert again.domain == part.domain
    assert (await again.read() == await part.read()).all()
    assert again.spec().to_json() == spec.to_json()
    await again.write(1)
    assert (await part.read() == 1).all()


async def test_pickles(tmp_path: Path) -> None:
    store = await made({"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"})
    await store.write(data(10, 12))
    for part in (store, store[3:8, ::5].T):
        loaded = await asyncio.to_thread(pickle.loads, pickle.dumps(part))
        assert loaded.domain == part.domain
        assert (await loaded.read() == await part.read()).all()
    read_only = await ts.open(tmp_path / "a", read=True)
    loaded = await asyncio.to_thread(pickle.loads, pickle.dumps(read_only))
    assert loaded.mode == "r"
    with pytest.raises(FailedPrecondition, match="transaction"):
        pickle.dumps(store.with_transaction(ts.Transaction(atomic=False)))


async def test_modes_are_kept(tmp_path: Path) -> None:
    await made({"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"})
    reader = await ts.open(tmp_path / "a", read=True)
    writer = await ts.open(tmp_path / "a", write=True)
    assert (reader.mode, writer.mode) == ("r", "w")
    with pytest.raises(ValueError, match="does not support writing"):
        await reader.write(1)
    with pytest.raises(ValueError, match="does not support writing"):
        await reader.resize(exclusive_max=[1, 1])
    with pytest.raises(ValueError, match="does not support reading"):
        await writer.read()
    await writer.write(1)
    assert (await reader.read() == 1).all()


# -- Copies --------------------------------------------------------------------------------------


async def test_copy_between_arrays() -> None:
    source = await made()
    await source.write(data(10, 12))
    target = await ts.open(
        {"driver": "zarr", "kvstore": "memory://b/"}, create=True, dtype="uint32", shape=[10, 12],
        chunk_layout=ts.ChunkLayout(chunk_shape=[3, 7]),
    )  # fmt: skip
    seen: list[ts.Progress] = []
    threads: set[str] = set()

    def progress(told: ts.Progress) -> None:
        threads.add(threading.current_thread().name)
        seen.append(told)

    await target.write(source, progress=progress)
    assert (await target.read() == data(10, 12)).all()
    assert seen
    assert "asynctensor-io" not in threads
    assert {p.operation for p in seen} == {"copy"}
    await target[2:5].write(source[0])
    assert (await target[2:5].read() == data(10, 12)[0]).all()
    await target[:5].write(source[::-2])
    assert (await target[:5].read() == data(10, 12)[::-2]).all()
    for wrong, kind in ((source[:3], ValueError), (target, TypeError)):
        with pytest.raises(kind):
            await source.write(wrong)


async def test_copy_into_a_transaction() -> None:
    source = await made()
    await source.write(data(10, 12))
    target = await made({**MEMORY, "kvstore": "memory://b/"}, context=source.context)
    async with ts.Transaction() as txn:
        await target.with_transaction(txn).write(source)
        assert (await target.read() == 0).all()
    assert (await target.read() == data(10, 12)).all()


async def test_numpy_sees_an_array() -> None:
    store = await made()
    store[...] = data(10, 12)
    assert (np.asarray(store) == data(10, 12)).all()
    assert np.array(store[3:5, 2], dtype="f8").tolist() == [38.0, 50.0]


# -- Locations -----------------------------------------------------------------------------------


async def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made({"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"})
    monkeypatch.chdir(tmp_path)
    for location in (
        tmp_path / "a",
        Path("a"),
        f"file://{tmp_path}/a",
        f"file://{tmp_path}/a/|zarr3:",
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "a")}},
        {"driver": "auto", "kvstore": f"file://{tmp_path}/a/"},
    ):
        assert (await ts.open(location)).url == f"file://{tmp_path}/a/|zarr3:"
    assert os.listdir(tmp_path) == ["a"]

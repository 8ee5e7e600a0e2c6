"""Bounds change; what is kept stays, in every handle, and what falls outside is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition

SHAPES = {"zarr3": "c/", "zarr": ""}


async def made(spec: Any, shape: list[int], chunk: list[int], **given: Any) -> ts.TensorStore:
    return await ts.open(
        spec, create=True, dtype="int32", shape=shape, **given,
        chunk_layout=ts.ChunkLayout(chunk_shape=chunk),
    )  # fmt: skip


@pytest.mark.parametrize("inner", [[4], [2]])
async def test_stale_writer_keeps_what_a_grown_array_has(tmp_path: Path, inner: list[int]) -> None:
    layout = ts.ChunkLayout(write_chunk_shape=[4], read_chunk_shape=inner)
    grower = await ts.open(
        tmp_path / "a", create=True, dtype="int32", shape=[5], chunk_layout=layout
    )
    stale = await ts.open(tmp_path / "a")
    grower = await grower.resize(exclusive_max=[8])
    await grower[5:8].write([75, 76, 77])
    await stale[4:5].write([5])
    assert (await grower.read()).tolist() == [0, 0, 0, 0, 5, 75, 76, 77]


@pytest.mark.parametrize("driver", ["zarr3", "zarr"])
async def test_shrinking_deletes_the_chunks_outside_and_no_others(driver: str) -> None:
    store = await made({"driver": driver, "kvstore": "memory://a/"}, [10, 10], [4, 4])
    await store.write(1)
    seen: list[ts.Progress] = []
    smaller = await store.resize(exclusive_max=[5, 3], progress=seen.append)
    assert smaller.domain == ts.IndexDomain(
        inclusive_min=[0, 0], exclusive_max=[5, 3], implicit_upper_bounds=[True, True]
    )
    chunks = {k.decode() for k in await smaller.kvstore.list()} - {"zarr.json", ".zarray"}
    assert chunks == ({"c/0/0", "c/1/0"} if driver == "zarr3" else {"0.0", "1.0"})
    assert [p.done for p in seen] == list(range(1, 8))
    larger = await smaller.resize(exclusive_max=[12, 12])
    data = await larger.read()
    assert (data[:5, :3] == 1).all()
    assert (data[8:] == 0).all()
    assert (data[:, 4:] == 0).all()


async def test_metadata_only_leaves_the_chunks() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10], [4])
    await store.write(1)
    smaller = await store.resize(exclusive_max=[2], resize_metadata_only=True)
    assert len(await smaller.kvstore.list()) == 4
    assert (await (await smaller.resize(exclusive_max=[10])).read() == 1).all()


async def test_modes() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10, 10], [4, 4])
    store = await store.resize(exclusive_max=[None, 20], expand_only=True)
    assert store.shape == (10, 20)
    store = await store.resize(exclusive_max=[5, 20], shrink_only=True)
    assert store.shape == (5, 20)
    for request in (
        {"exclusive_max": [4, 30], "expand_only": True},
        {"exclusive_max": [4, 30], "shrink_only": True},
    ):
        (only,) = {"expand_only", "shrink_only"} & request.keys()
        with pytest.raises(FailedPrecondition, match=f"but `{only}` was specified"):
            await store.resize(**request)
    assert (await store.resolve()).shape == (5, 20)
    assert (await store.resize(exclusive_max=[None, None])).shape == (5, 20)
    assert (await store.resize(exclusive_max=[0, 20])).shape == (0, 20)


async def test_what_cannot_be_resized() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10, 10], [4, 4])
    for call in (
        lambda: store.resize(inclusive_min=[1, 0]),
        lambda: store.resize(exclusive_max=[5]),
        lambda: store[:5].resize(exclusive_max=[3, None]),
        lambda: store[::2].resize(exclusive_max=[3, None]),
        lambda: store.oindex[[1, 2]].resize(exclusive_max=[3, None]),
        lambda: store.resize(exclusive_max=[-1, None]),
    ):
        with pytest.raises(ValueError):
            await call()
    assert (await store.resolve()).shape == (10, 10)


async def test_other_handles_see_it_when_they_look() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10], [4])
    other = await ts.open(store.spec(), context=store.context)
    await store.write(np.arange(10, dtype="i4"))
    await store.resize(exclusive_max=[20])
    assert other.shape == (10,)
    assert (await other.resolve()).shape == (20,)
    assert (await other[3:7].resolve()).shape == (4,)


async def test_a_view_is_resized_in_its_own_indices() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10, 4], [4, 4])
    view = store.translate_by[100, 0].transpose([1, 0])
    resized = await view.resize(exclusive_max=[None, 125])
    assert resized.domain.exclusive_max == (4, 125)
    assert (await store.resolve()).shape == (25, 4)


async def test_two_resize_at_once() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10, 10], [4, 4])
    other = await ts.open(store.spec(), context=store.context)
    one, two = store.resize(exclusive_max=[20, None]), other.resize(exclusive_max=[None, 5])
    await one
    await two
    assert (await store.resolve()).shape == (20, 5)


async def test_a_deleted_array_cannot_be_resized() -> None:
    store = await made({"driver": "zarr3", "kvstore": "memory://a/"}, [10], [4])
    await store.kvstore.delete_range(ts.KvStore.KeyRange())
    with pytest.raises(ValueError, match="NOT_FOUND"):
        await store.resize(exclusive_max=[5])
    assert await store.kvstore.list() == []

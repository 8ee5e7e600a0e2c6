"""Numbers at the edge of what can be counted, and arrays without dimensions or elements."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import InvalidArgument, OutOfRange, ResourceExhausted


async def made(**options) -> ts.TensorStore:
    return await ts.open("memory://a/|zarr3:", create=True, **options)


@pytest.mark.parametrize("size", [2**62, 2**70])
async def test_a_shape_that_could_not_be_opened_again_is_not_stored(size: int) -> None:
    store = await made(dtype="uint8", shape=[10])
    await store.write(3)
    with pytest.raises(InvalidArgument, match="shape"):
        await store.resize(exclusive_max=[size])
    again = await ts.open("memory://a/|zarr3:", context=store.context)
    assert (await again.read() == 3).all()


@pytest.mark.parametrize(
    ("offset", "stride", "points"),
    [(0, 2**62, [4, 8]), (5, 2**61, [8]), (2**62, 2**62 - 1, [3, 3]), (-(2**62), 1, [0, 1])],
)
async def test_index_arrays_do_not_wrap_around(offset: int, stride: int, points: list) -> None:
    store = await made(dtype="uint8", shape=[10])
    output = {"offset": offset, "stride": stride, "index_array": points}
    json = {"input_inclusive_min": [0], "input_exclusive_max": [len(points)], "output": [output]}
    with pytest.raises(OutOfRange):
        await store[ts.IndexTransform(json=json)].read()


async def test_rank_zero() -> None:
    store = await made(dtype="float64", shape=[])
    await store.write(2.5)
    found = await store.read()
    assert found.shape == ()
    assert found == 2.5
    codecs = [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "gzip"}]
    codec = ts.CodecSpec({"driver": "zarr3", "codecs": codecs})
    store = await made(dtype="float64", shape=[], codec=codec)
    await store.write(1.5)
    assert await store.read() == 1.5


async def test_no_elements() -> None:
    store = await made(dtype="uint16", shape=[3, 0, 4])
    await store.write(np.zeros((3, 0, 4), np.uint16))
    assert (await store.read()).shape == (3, 0, 4)


async def test_more_than_memory_is_said_so() -> None:
    store = await made(dtype="uint8", shape=[2**60])
    with pytest.raises(ResourceExhausted, match="smaller part"):
        await store.read()


MANY = 2**20


def joint_view(store: ts.TensorStore) -> ts.TensorStore:
    """2^40 points of small index arrays that depend on each other."""
    grid = np.zeros((2**10, 2**10), np.int64)
    first, second = grid[:, :, None, None], grid[None, :, :, None]
    return store.vindex[first, second, grid[None, None]]


async def test_index_arrays_that_repeat_themselves_take_no_memory() -> None:
    store = await made(dtype="uint8", shape=[MANY, 5])
    repeated = np.broadcast_to(np.arange(MANY)[:, None], (MANY, MANY))
    for view in (store[repeated, 3], store.oindex[repeated, 3], store.vindex[repeated, 3]):
        assert view.shape == (MANY, MANY)
        with pytest.raises(ResourceExhausted, match="smaller part"):
            await view.read()
        await view[5, 7].write(9)
        assert (await view[4:6, 2**19 : 2**19 + 3].read()).tolist() == [[0] * 3, [9] * 3]
        await view[5, 7].write(0)
    picked = ts.d[0].vindex[repeated[:3, :4]]
    assert str(picked) == f"d[0].vindex[{[[k] * 4 for k in range(3)]},]"
    assert pickle.loads(pickle.dumps(store[repeated[:3, :4], 3].domain)).shape == (3, 4)


@pytest.mark.parametrize("mode", ["oindex", "vindex"])
async def test_index_arrays_for_which_there_is_no_memory(mode: str) -> None:
    store = await made(dtype="uint8", shape=[100, 5])
    with pytest.raises(ResourceExhausted, match="index array"):
        getattr(store, mode)[np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (2**50,), (1,))]
    with pytest.raises(ResourceExhausted, match="mask"):
        getattr(store, mode)[np.broadcast_to(np.True_, (MANY, MANY))]


async def test_points_for_which_there_is_no_memory() -> None:
    view = joint_view(await made(dtype="uint8", shape=[10, 10, 10]))
    assert view.size == 2**40
    with pytest.raises(ResourceExhausted):
        await view.read()
    with pytest.raises(ResourceExhausted):
        await view.write(1)
    with pytest.raises(ResourceExhausted):
        await view.storage_statistics(query_not_stored=True)
    txn = ts.Transaction()
    with pytest.raises(ResourceExhausted):
        await view.with_transaction(txn).write(1)
    txn.abort()
    assert (await view[0, 0].read()).shape == (1024, 1024)


async def test_a_write_of_more_elements_than_can_be_counted() -> None:
    array = await made(dtype="int8", shape=[2**61] * 3)
    for view in (array, array[..., 0]):
        with pytest.raises(ResourceExhausted, match="write smaller parts"):
            await view.write(1)
        with pytest.raises(ResourceExhausted, match="write smaller parts"):
            view[...] = 1

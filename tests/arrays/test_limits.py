"""Numbers at the edge of what can be counted, and arrays without dimensions or elements."""

from __future__ import annotations

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

"""Cells that are too large to be held are reduced piece by piece."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import asynctensor as ts
from asynctensor.drivers.downsample import large_cells, reading
from asynctensor.drivers.downsample.large_cells import accumulator
from asynctensor.errors import ResourceExhausted

DTYPES = [
    "bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float32", "float64",
    "complex64", "int4", "bfloat16",
]  # fmt: skip


def _random(name: str, shape: tuple[int, ...]) -> Any:
    chance = np.random.default_rng(0)
    dtype = ts.dtype(name).numpy_dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return chance.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if dtype.kind == "b":
        return chance.integers(0, 2, shape).astype(bool)
    if dtype == ml_dtypes.int4:
        return chance.integers(-8, 8, shape).astype(dtype)
    found = chance.normal(size=shape).astype(dtype)
    if dtype.kind == "f":
        found.reshape(-1)[::7] = np.nan
    return found


@pytest.mark.parametrize("method", ["mean", "min", "max"])
@pytest.mark.parametrize("name", DTYPES)
async def test_values(name: str, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "complex64" and method != "mean":
        return
    data = _random(name, (23, 31))
    if method == "mean" and data.dtype.kind == "f":
        data[np.isnan(data)] = 1
    base = ts.array(data)[2:].translate_to[-3, 5]
    small = ts.downsample(base, [7, 13], method)
    expected = await small.read()
    points = ([0, 1, 1, -1], [1, 0, 2, 1])
    monkeypatch.setattr(reading, "HELD_BYTES", 16)
    for view in (small, small.T, small[0], small.vindex[points], small[:, ::-1]):
        np.testing.assert_allclose(
            (await view.read()).astype(expected.dtype, copy=False),
            (await ts.array(expected).translate_to[small.origin].astype(small.dtype).read())
            if view is small
            else await _same(view, small, expected, points),
            rtol=1e-2 if name in ("bfloat16", "float16") else 1e-5,
        )


async def _same(view: ts.TensorStore, small: ts.TensorStore, expected: Any, points: Any) -> Any:
    whole = ts.array(expected).translate_to[small.origin]
    if view.rank == 1 and view.shape == (4,) and view.domain.origin == (0,):
        return await whole.vindex[points].read()
    if view.rank == 1:
        return await whole[0].read()
    if view.shape == small.shape[::-1] and view.domain == small.T.domain:
        return await whole.T.read()
    return await whole[:, ::-1].read()


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("pick", ["min", "max"])
def test_sums_of_large_integers_are_exact(dtype: Any, pick: str) -> None:
    value = getattr(np.iinfo(dtype), pick)
    total = accumulator("mean", np.dtype(dtype))
    assert total is not None
    for _ in range(3):
        total.add(np.full((3, 100), value, dtype))
    assert total.result() == value


async def test_a_large_cell_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    def read(domain: Any, chunk: Any, parameters: Any) -> None:
        chunk[...] = 3

    layout = ts.ChunkLayout(read_chunk_shape=[256, 256])
    base = ts.virtual_chunked(read, dtype=ts.uint8, shape=[9000, 9000], chunk_layout=layout)
    add = large_cells._WholeMean.add

    def measured(self: Any, data: Any) -> None:
        nonlocal largest
        largest = max(largest, data.nbytes)
        add(self, data)

    monkeypatch.setattr(large_cells._WholeMean, "add", measured)
    small = ts.downsample(base, [9000, 9000], "mean")
    assert await small[0, 0].read() == 3
    assert 0 < largest <= 16 * 2**20


@pytest.mark.parametrize("method", ["median", "mode"])
async def test_what_must_be_held_has_a_limit(method: Any) -> None:
    def read(domain: Any, chunk: Any, parameters: Any) -> None:
        chunk[...] = 0

    base = ts.virtual_chunked(read, dtype=ts.uint8, shape=[10**6, 10**6])
    small = ts.downsample(base, [10**5, 10**5], method)
    with pytest.raises(ResourceExhausted, match="needs all of them at once"):
        await small[0, 0].read()

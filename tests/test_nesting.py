"""Specs within specs take time in proportion to their depth, and one too deep is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import InvalidArgument

#: With anything that doubles per level, no test here would end.
DEPTH, KVSTORES = 28, 18


def _adapted(kind: str, depth: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"driver": "array", "array": [1, 2], "dtype": "int32", "rank": 1}
    for level in range(depth):
        if kind == "cast":
            dtype = "int64" if level % 2 == 0 else "int32"
            spec = {"driver": "cast", "base": spec, "dtype": dtype}
        elif kind == "downsample":
            spec = {"driver": "downsample", "base": spec, "downsample_method": "mean"}
            spec["downsample_factors"] = [1]
        else:
            spec = {"driver": "stack", "layers": [spec]}
    return spec


def _kvstores(depth: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"driver": "memory", "path": "a/"}
    for _ in range(depth):
        spec = {"driver": "kvstack", "layers": [{"base": spec}]}
    return spec


@pytest.mark.parametrize("kind", ["cast", "downsample", "stack"])
async def test_adapters(kind: str) -> None:
    spec = ts.Spec(_adapted(kind, DEPTH))
    assert (spec.rank, spec.dtype) == (1, ts.int32)
    assert ts.Spec(spec.to_json()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    array = await ts.open(spec)
    np.testing.assert_array_equal(await array.read(), [1, 2])
    assert repr(spec)


async def test_kvstacks() -> None:
    spec = ts.KvStore.Spec(_kvstores(KVSTORES))
    assert ts.KvStore.Spec(spec.to_json()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    store = await ts.KvStore.open(spec)
    await store.write("x", b"1")
    assert (await store.read("x")).value == b"1"
    assert store.spec().path == spec.path
    array = {"driver": "zarr3", "kvstore": _kvstores(KVSTORES)}
    opened = await ts.open(array, dtype=ts.int8, shape=[2], create=True)
    assert pickle.loads(pickle.dumps(opened.spec())) == opened.spec()


@pytest.mark.parametrize("depth", [100, 3000])
@pytest.mark.parametrize("kind", ["cast", "downsample", "stack"])
def test_too_deep(kind: str, depth: int) -> None:
    with pytest.raises(InvalidArgument):
        ts.Spec(_adapted(kind, depth))


@pytest.mark.parametrize("depth", [100, 3000])
def test_too_deep_kvstores(depth: int) -> None:
    with pytest.raises(InvalidArgument):
        ts.KvStore.Spec(_kvstores(depth))


@pytest.mark.parametrize("depth", [64, 100, 3000])
@pytest.mark.parametrize("url", ["memory://a/{}", "memory://a/|zarr3{}"])
def test_urls_of_too_many_components(url: str, depth: int) -> None:
    more = "|zip:" if "zarr3" not in url else "|cast:int8"
    with pytest.raises(InvalidArgument, match="at most 64 components"):
        ts.Spec(url.format(more * depth))
    with pytest.raises(InvalidArgument):
        ts.KvStore.Spec(url.format(more * depth))
    # One that is just short enough.
    assert repr(ts.Spec(url.format(more * 60)))

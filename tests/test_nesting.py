"""Specs within specs take time in proportion to their depth, and one too deep is refused."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Callable
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


def _calls(act: Callable[[], object]) -> int:
    """How many functions `act` calls."""
    found = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal found
        found += event == "call"

    before = sys.getprofile()
    gc.collect()
    gc.disable()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
        gc.enable()
    return found


@pytest.mark.parametrize("kind", ["cast", "downsample", "stack"])
def test_each_level_is_looked_at_once(kind: str) -> None:
    half, whole = ts.Spec(_adapted(kind, DEPTH // 2)), ts.Spec(_adapted(kind, DEPTH))
    assert _calls(lambda: whole.to_json()) < 2.2 * _calls(lambda: half.to_json())
    less, more = half.to_json(), whole.to_json()
    assert _calls(lambda: ts.Spec(more)) < 2.2 * _calls(lambda: ts.Spec(less))


@pytest.mark.parametrize("kind", ["cast", "downsample"])
def test_ranks_are_checked_through_transforms(kind: str) -> None:
    spec = ts.Spec(_adapted(kind, 2))[0]
    assert spec.rank == 0
    json = {**spec.to_json(), "transform": {"input_rank": 0, "output": [{"offset": 0}]}}
    upon = {"driver": "cast", "base": json, "dtype": "float32"}
    assert ts.Spec({**upon, "schema": {"rank": 0}}).rank == 0
    with pytest.raises(InvalidArgument, match="rank"):
        ts.Spec({**upon, "schema": {"rank": 1}})


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


def _upon_each_other(kind: str, levels: int) -> ts.TensorStore:
    """Made one by one, as loops do."""
    array = ts.array(np.arange(4, dtype=np.int32))
    for level in range(levels):
        match kind:
            case "overlay":
                array = ts.overlay([array, ts.array(np.full(1, level, np.int32))])
            case "concat":
                array = ts.concat([array, ts.array(np.full(1, level, np.int32))], 0)
            case "cast":
                array = array.astype(ts.int64 if level % 2 == 0 else ts.int32)
            case _:
                array = ts.downsample(array, [1], kind)  # type: ignore[arg-type]
    return array


@pytest.mark.parametrize("kind", ["overlay", "concat", "cast", "mean"])
def test_each_array_below_is_looked_at_once(kind: str) -> None:
    _upon_each_other(kind, 2)  # Loads what is loaded on first use.
    half = _calls(lambda: _upon_each_other(kind, 40))
    assert _calls(lambda: _upon_each_other(kind, 80)) < 3 * half


@pytest.mark.parametrize("kind", ["overlay", "concat", "cast", "mean", "stride"])
async def test_many_arrays_upon_each_other(kind: str) -> None:
    array = _upon_each_other(kind, 200)
    expected = [0, 1, 2, 3]
    if kind == "overlay":
        expected[0] = 199
    np.testing.assert_array_equal(await array[:4].read(), expected)
    np.testing.assert_array_equal(await array[1:3].read(), expected[1:3])
    assert array.schema.dtype == array.dtype
    if kind in ("overlay", "concat", "cast"):
        await array[3].write(7)
        assert await array[3].read() == 7
    # JSON would have more levels than are read.
    with pytest.raises(InvalidArgument, match="200 arrays stand upon each other"):
        array.spec()
    with pytest.raises(InvalidArgument, match="200 arrays"):
        pickle.dumps(array)
    assert repr(array) == "TensorStore(...)"


@pytest.mark.parametrize("kind", ["overlay", "cast", "mean"])
def test_specs_of_arrays_upon_each_other_can_be_opened(kind: str) -> None:
    opened = refused = 0
    for levels in (2, 12, 28, 31, 62, 63, 64, 65):
        array = _upon_each_other(kind, levels)
        try:
            json = array.spec().to_json()
        except InvalidArgument:
            refused += 1
            continue
        assert ts.open(json).result().read().result().tolist() == array.read().result().tolist()
        opened += 1
    assert opened > 2
    assert refused > 0


@pytest.mark.parametrize("kind", ["overlay", "concat", "cast", "mean", "stride"])
def test_too_many_arrays_upon_each_other(kind: str) -> None:
    with pytest.raises(InvalidArgument, match="more than 256 arrays would stand upon each other"):
        _upon_each_other(kind, 2000)

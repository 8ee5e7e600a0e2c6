"""Arrays made of arrays are pickled, and opened again in another process or context."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import asynctensor as ts


@pytest.fixture
def stored(tmp_path: Path) -> ts.TensorStore:
    store = ts.open(tmp_path / "a", create=True, dtype=ts.float32, shape=[6, 8]).result()
    store[:] = np.arange(48, dtype=np.float32).reshape(6, 8)
    return store


MADE = {
    "array": lambda store: ts.array(store.read().result()),
    "cast": lambda store: ts.cast(store, ts.int16),
    "downsample": lambda store: ts.downsample(store, [2, 3], "max"),
    "overlay": lambda store: ts.overlay([store, store[:2].translate_to[6, 0]]),
    "stack of specs": lambda store: ts.stack([store.spec(), store]),
    "all": lambda store: ts.downsample(
        ts.concat([ts.cast(store, ts.int8), ts.array(np.ones((6, 8), np.int8))], 1), [1, 2], "mean"
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_pickles_are_the_same_views(name: str, stored: ts.TensorStore) -> None:
    store = MADE[name](stored)
    for view in (store, store[1:, ..., ::-1]):
        again = pickle.loads(pickle.dumps(view))
        assert (again.domain, again.dtype, again.mode) == (view.domain, view.dtype, view.mode)
        np.testing.assert_array_equal(again.read().result(), view.read().result())


def test_an_array_in_memory_travels_as_bytes() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1000))
    store = ts.array(values)
    pickled = pickle.dumps(store)
    assert len(pickled) < values.nbytes + 100_000
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.read().result(), values)
    again[0, 0] = 0
    assert values[0, 0] != 0
    spec = store[:10].spec()
    opened = ts.open(spec).result()
    opened[0, 0] = 7
    assert values[0, 0] != 7
    assert ts.open(spec).result()[0, 0].read().result() == values[0, 0]

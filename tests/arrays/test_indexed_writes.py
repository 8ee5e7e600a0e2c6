"""Every way of making a view is a way of writing; NumPy says what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as at

SHAPE = (6, 7, 8)
PLACES = np.arange(6 * 7 * 8).reshape(SHAPE)
MASK = np.random.default_rng(3).random(SHAPE[1:]) < 0.4
ROWS = np.array([True, False, True, True, False, False])

Form = tuple[Callable[[Any], Any], Callable[[Any], Any]]
#: For each way, the view of an array, and the view that NumPy has of the numbers of its elements.
FORMS: dict[str, Form] = {
    "everything": (lambda s: s[...], lambda n: n),
    "slices": (lambda s: s[1:4, 2:7, 3], lambda n: n[1:4, 2:7, 3]),
    "strides": (lambda s: s[::2, 6:0:-2, ...], lambda n: n[::2, 6:0:-2]),
    "an element": (lambda s: s[5, 6, 7], lambda n: n[5, 6, 7]),
    "a new axis": (lambda s: s[2, at.newaxis, :, 1], lambda n: n[2, np.newaxis, :, 1]),
    "a list": (lambda s: s[[4, 0, 2]], lambda n: n[[4, 0, 2]]),
    "lists": (lambda s: s[[4, 0], :, [1, 5]], lambda n: n[[4, 0], :, [1, 5]]),
    "rows by booleans": (lambda s: s[ROWS], lambda n: n[ROWS]),
    "a mask": (lambda s: s[:, MASK], lambda n: n[:, MASK]),
    "oindex": (
        lambda s: s.oindex[[4, 0], 1:3, [1, 5, 2]],
        lambda n: n[np.ix_([4, 0], [1, 2], [1, 5, 2])],
    ),
    "oindex by booleans": (lambda s: s.oindex[ROWS, [6, 0]], lambda n: n[np.ix_(ROWS, [6, 0])]),
    "vindex": (
        lambda s: s.vindex[:, [[4], [0]], [1, 5, 2]],
        lambda n: np.moveaxis(n[:, [[4], [0]], [1, 5, 2]], 0, -1),
    ),
    "a dimension expression": (
        lambda s: s[at.d[0, 2][1:3, 4]],
        lambda n: n[1:3, :, 4],
    ),
    "a chained expression": (
        lambda s: s[at.d[2, 0].label["x", "z"].translate_by[10, -1][::2, 2]],
        lambda n: n[3, :, ::2],
    ),
    "an expression with oindex": (
        lambda s: s[at.d[0, 1].oindex[[5, 0], [6, 1]]],
        lambda n: n[np.ix_([5, 0], [6, 1])],
    ),
    "an expression with vindex": (
        lambda s: s[at.d[2, 1].vindex[[5, 0], [6, 1]]],
        lambda n: n[:, [6, 1], [5, 0]].T,
    ),
    "a diagonal": (lambda s: s[at.d[0, 1].diagonal], lambda n: n[range(6), range(6)]),
    "transposed": (lambda s: s[at.d[2].transpose[0]][0:3], lambda n: n.transpose(2, 0, 1)[0:3]),
    "translated": (lambda s: s.translate_to[10, 20, 30][11:13, 22], lambda n: n[1:3, 2]),
    "a domain": (
        lambda s: s[at.IndexDomain(inclusive_min=[1, 2, 3], shape=[2, 2, 2])],
        lambda n: n[1:3, 2:4, 3:5],
    ),
    "a transform": (
        lambda s: s[at.IndexTransform(input_shape=SHAPE).oindex[[0, 5], 3]],
        lambda n: n[[0, 5], 3],
    ),
    "a view of views": (
        lambda s: s.oindex[[5, 1, 3], :, [0, 7]][1:3, 2:5].T[1],
        lambda n: n[np.ix_([5, 1, 3], range(7), [0, 7])][1:3, 2:5].T[1],
    ),
    "nothing": (lambda s: s[2:2], lambda n: n[2:2]),
    "an empty list": (lambda s: s.oindex[[]], lambda n: n[0:0]),
}


async def made() -> at.TensorStore:
    store = await at.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        create=True,
        dtype="int64",
        shape=SHAPE,
        chunk_layout=at.ChunkLayout(chunk_shape=[2, 3, 4]),
    )
    await store.write(PLACES)
    return store


def expected(places: Any, values: Any) -> Any:
    model = PLACES.copy()
    model.reshape(-1)[places] = values
    return model


@pytest.mark.parametrize("name", FORMS)
async def test_awaited_writes_reach_what_numpy_says(name: str) -> None:
    make, numpy_view = FORMS[name]
    store, places = await made(), np.asarray(numpy_view(PLACES))
    view = make(store)
    np.testing.assert_array_equal(await view.read(), places)
    values = -1 - np.arange(places.size).reshape(places.shape)
    write = view.write(values)
    await write.copy
    await write
    np.testing.assert_array_equal(await store.read(), expected(places, values))
    await view.write(12345)
    np.testing.assert_array_equal(await store.read(), expected(places, 12345))


@pytest.mark.parametrize("name", FORMS)
async def test_arrays_and_part_of_them_are_sources(name: str) -> None:
    make, numpy_view = FORMS[name]
    store, places = await made(), np.asarray(numpy_view(PLACES))
    view = make(store)
    values = -1 - np.arange(places.size).reshape(places.shape)
    source = at.array(values, dtype=at.int64)
    if places.ndim:
        source = source[at.d[:].translate_to[view.origin]]
    await view.write(source)
    np.testing.assert_array_equal(await store.read(), expected(places, values))
    if places.ndim and places.size:
        # One element per first dimension, broadcast over the others.
        column = values.reshape(places.shape[0], -1)[:, 0].reshape(-1, *[1] * (places.ndim - 1))
        await view.write(column)
        np.testing.assert_array_equal(
            await store.read(), expected(places, np.broadcast_to(column, places.shape))
        )


KEYS: dict[str, tuple[str, Any, Any]] = {
    "slices": ("", (slice(1, 3), ..., 2), (slice(1, 3), ..., 2)),
    "lists": ("", [4, 0], [4, 0]),
    "booleans": ("", ROWS, ROWS),
    "oindex": ("oindex", ([4, 0], slice(1, 3)), np.ix_([4, 0], [1, 2])),
    "vindex": ("vindex", ([4, 0], [1, 2]), ([4, 0], [1, 2])),
    "an expression": ("", at.d[0][2], 2),
    "a domain": ("", at.IndexDomain(shape=[1, 2, 3]), np.s_[:1, :2, :3]),
    "a transform": ("", at.IndexTransform(input_shape=SHAPE)[5], 5),
}


@pytest.mark.parametrize("name", KEYS)
async def test_assignment_writes_and_waits(name: str) -> None:
    mode, key, numpy_key = KEYS[name]
    store, model = await made(), PLACES.copy()
    target: Any = getattr(store, mode) if mode else store
    target[key] = -7
    model[numpy_key] = -7
    np.testing.assert_array_equal(store.read().result(), model)
    target[key] = -np.arange(model[numpy_key].size).reshape(model[numpy_key].shape)
    model[numpy_key] = -np.arange(model[numpy_key].size).reshape(model[numpy_key].shape)
    np.testing.assert_array_equal(store.read().result(), model)


async def test_writes_of_several_kinds_at_once_lose_nothing() -> None:
    store = await made()
    rows = [store[row, ::2].write(-row) for row in range(6)]
    rows += [store.oindex[[row], 1::2].write(-row) for row in range(3)]
    rows += [store[at.d[0, 1][row, 1::2]].write(-row) for row in range(3, 6)]
    await asyncio.gather(*rows)
    model = np.broadcast_to(-np.arange(6)[:, None, None], SHAPE)
    np.testing.assert_array_equal(await store.read(), model)


async def test_a_source_that_does_not_fit_writes_nothing() -> None:
    store = await made()
    for view in (store[1:3], store.oindex[[1, 2]], store.vindex[[1, 2], [0, 0]], store[ROWS]):
        with pytest.raises(ValueError, match=r"."):
            await view.write(np.zeros((5, 4, 3, 2), np.int64))
        with pytest.raises(TypeError):
            await view.write(np.zeros(view.shape, np.complex128))
    with pytest.raises(IndexError):
        store[6] = 1
    with pytest.raises(IndexError):
        store.oindex[[6]] = 1
    np.testing.assert_array_equal(await store.read(), PLACES)

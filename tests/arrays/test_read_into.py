"""`read(out=...)`: what every driver reads into the caller's array, and what cannot be."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument

VALUES = np.arange(24, dtype="int16").reshape(4, 6)


async def chunked(**more) -> at.TensorStore:
    spec = {"driver": "zarr3", "kvstore": "memory://"} | more
    store = await at.open(spec, create=True, dtype="int16", shape=[4, 6], chunk_layout=LAYOUT)
    await store.write(VALUES)
    return store


LAYOUT = at.ChunkLayout(chunk_shape=[3, 4])


async def in_memory() -> at.TensorStore:
    return at.array(VALUES)


async def converted() -> at.TensorStore:
    return at.cast(await chunked(), at.int16)


async def reduced() -> at.TensorStore:
    return at.downsample(await chunked(), [1, 1], "mean")


async def strided() -> at.TensorStore:
    return at.downsample(await chunked(), [1, 1], "stride")


async def stacked() -> at.TensorStore:
    store = await chunked()
    return at.concat([store[:2], store[2:].translate_to[0]], axis=0)


async def overlaid() -> at.TensorStore:
    return at.overlay([await chunked()])


async def computed() -> at.TensorStore:
    async def read(domain, chunk, params) -> None:
        chunk[...] = VALUES[domain.index_exp]

    return at.virtual_chunked(read, dtype="int16", shape=[4, 6], chunk_layout=LAYOUT)


@pytest.mark.parametrize(
    "made", [chunked, in_memory, converted, reduced, strided, stacked, overlaid, computed]
)
async def test_every_driver(made) -> None:
    store = await made()
    for view, expected in [
        (store, VALUES),
        (store[1:3, ::2].translate_to[0], VALUES[1:3, ::2]),
        (store[2], VALUES[2]),
        (store.T, VALUES.T),
        (store.oindex[[3, 0], :], VALUES[[3, 0]]),
    ]:
        whole = np.full([2 * size for size in expected.shape], -1, "int16")
        place = tuple(slice(None, None, 2) for _ in expected.shape)
        found = await view.read(out=whole[place])
        assert np.shares_memory(found, whole)
        assert (whole[place] == expected).all()
        whole[place] = -1
        assert (whole == -1).all()


async def test_fields_and_documents() -> None:
    fields = await at.open(
        {"driver": "zarr", "kvstore": "memory://", "field": "b",
         "metadata": {"dtype": [["a", "|u1"], ["b", "<i2"]], "shape": [3], "chunks": [2]}},
        create=True,
    )  # fmt: skip
    await fields.write([1, 2, 3])
    out = np.zeros(3, "int16")
    assert await fields.read(out=out) is out
    assert out.tolist() == [1, 2, 3]
    document = await at.open({"driver": "json", "kvstore": "memory://a.json"}, create=True)
    await document.write({"a": 1})
    held = np.empty((), object)
    await document.read(out=held)
    assert held.item() == {"a": 1}


async def test_batch_into_one_array() -> None:
    store = await chunked()
    out = np.empty((3, 2, 2), "int16")
    corners = [(0, 0), (1, 3), (2, 4)]
    await asyncio.gather(
        *(store[i : i + 2, j : j + 2].read(out=out[k]) for k, (i, j) in enumerate(corners))
    )
    for k, (i, j) in enumerate(corners):
        assert (out[k] == VALUES[i : i + 2, j : j + 2]).all()


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((4, 5), "int16"), InvalidArgument),
        (np.empty((4, 6), "int32"), InvalidArgument),
        (np.empty((4, 6), ">i2"), InvalidArgument),
        (np.broadcast_to(np.zeros((), "int16"), (4, 6)), InvalidArgument),
        ([[0]], IncompatibleType),
    ],
)
async def test_bad_outputs(out, error) -> None:
    store = await chunked()
    with pytest.raises(error, match="`out` must be"):
        await store.read(out=out)

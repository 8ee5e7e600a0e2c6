"""What the tests of all formats share: whole arrays through a format, without the chunk engine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from asynctensor.chunked.format import ArrayFormat
from asynctensor.chunked.shard_index import IndexPlace, find

Chunks = dict[str, bytes]


def encode_array(fmt: ArrayFormat[Any], metadata: Any, data: np.ndarray) -> Chunks:
    """The document and the chunks of an array, by key."""
    layout = fmt.layout(metadata)
    stored = {fmt.metadata_key: fmt.serialize(metadata)}
    for cell, region, inside in cells(layout.shape, layout.chunk_shape):
        chunk = np.empty(layout.chunk_shape, layout.dtype)
        chunk[...] = layout.fill_value
        chunk[inside] = data[region]
        stored[layout.keys.key(cell)] = bytes(layout.codec.encode(chunk))
    return stored


def decode_array(fmt: ArrayFormat[Any], stored: Mapping[str, bytes]) -> np.ndarray:
    """The array; every chunk is decoded in each way there is, which must all agree."""
    layout = fmt.layout(fmt.parse(stored[fmt.metadata_key]))
    data = np.empty(layout.shape, layout.dtype)
    data[...] = layout.fill_value
    for key, value in stored.items():
        cell = layout.keys.cell(key)
        if cell is None:
            continue
        chunk = layout.codec.decode(value, np.empty(layout.chunk_shape, layout.dtype))
        assert same(layout.codec.decode(value), chunk)
        if layout.shard is not None:
            assert same(by_inner_chunks(layout, value), chunk)
        region = tuple(
            slice(i * n, min((i + 1) * n, size))
            for i, n, size in zip(cell, layout.chunk_shape, layout.shape, strict=True)
        )
        data[region] = chunk[tuple(slice(0, part.stop - part.start) for part in region)]
    return data


def by_inner_chunks(layout: Any, value: bytes) -> np.ndarray:
    """A shard decoded inner chunk by inner chunk, as partial reads do."""
    shard = layout.shard

    def read(place: IndexPlace) -> np.ndarray:
        start, stop = place.span
        return place.layout.decode_index(value[start:stop], place.size)

    wanted = list(range(math.prod(shard.grid)))
    found = find(shard, len(value), wanted, read)
    rows = {inner: (offset, length) for offset, length, inner in found.places}
    assert sorted([*rows, *found.empty]) == wanted
    chunk = np.empty(layout.chunk_shape, layout.dtype)
    for inner, cell in enumerate(np.ndindex(*shard.grid)):
        offset, length = rows.get(inner, (-1, 0))
        region = tuple(
            slice(i * n, (i + 1) * n) for i, n in zip(cell, shard.inner.shape, strict=True)
        )
        if offset < 0:
            chunk[region] = layout.fill_value
        else:
            chunk[region] = shard.inner.decode(value[offset : offset + length])
    return chunk


def cells(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Any:
    """Cell, region of the array and region of the chunk, for every chunk."""
    counts = [range(-(-size // n)) for size, n in zip(shape, chunk_shape, strict=True)]
    for cell in itertools.product(*counts):
        bounds = list(zip(cell, chunk_shape, shape, strict=True))
        region = tuple(slice(i * n, min((i + 1) * n, size)) for i, n, size in bounds)
        yield cell, region, tuple(slice(0, part.stop - part.start) for part in region)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit by bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def some_data(dtype: np.dtype, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random elements, with a run of zeros so that there are empty chunks."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 100, shape)
    if dtype.kind in "SV" and dtype.name.startswith(("bytes", "void")):
        data = rng.integers(65, 90, shape).astype(np.uint8).view(dtype).reshape(shape)
    elif dtype.kind == "c":
        data = (numbers + 1j * rng.integers(0, 100, shape)).astype(dtype)
    else:
        limit = (
            2 if dtype.kind == "b" else 4 if "4" in dtype.name[-2:] or "f4" in dtype.str else 100
        )
        data = (numbers % limit).astype(dtype)
    if data.ndim:
        data[: shape[0] // 2] = np.zeros((), dtype)
    return data


@pytest.fixture
def encode() -> Callable[..., Chunks]:
    return encode_array


@pytest.fixture
def decode() -> Callable[..., np.ndarray]:
    return decode_array


@pytest.fixture
def sample() -> Callable[..., np.ndarray]:
    return some_data

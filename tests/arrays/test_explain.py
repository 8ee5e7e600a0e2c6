"""`explain` says what a read then does, count by count."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

SHAPE = (23, 17)


def grid(shape: list[int]) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": shape}}


BYTES: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD: dict[str, Any] = {"name": "zstd", "configuration": {"level": 1}}


def sharded(inner: list[int], location: str, *codecs: dict[str, Any]) -> dict[str, Any]:
    configuration = {
        "chunk_shape": inner,
        "codecs": [BYTES, *codecs],
        "index_location": location,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


LAYOUTS: dict[str, dict[str, Any]] = {
    "raw": {"chunk_grid": grid([5, 4]), "codecs": [BYTES]},
    "zstd": {"chunk_grid": grid([5, 4]), "codecs": [BYTES, ZSTD]},
    "shards": {"chunk_grid": grid([12, 8]), "codecs": [sharded([3, 2], "end", ZSTD)]},
    "index first": {"chunk_grid": grid([24, 20]), "codecs": [sharded([2, 2], "start")]},
}
#: Shards so large that they are read in parts on any store, and inner chunks far apart.
LARGE = {"chunk_grid": grid([512, 512]), "codecs": [sharded([64, 64], "end")]}

STARTS = st.integers(0, 16)
TERMS = st.one_of(
    STARTS,
    st.builds(
        lambda a, n, s: slice(a, min(a + n, 17), s), STARTS, st.integers(1, 17), st.integers(1, 5)
    ),
    st.lists(STARTS, min_size=1, max_size=6),
)
VIEWS = st.tuples(TERMS, TERMS)


async def difference(view: ts.TensorStore) -> tuple[Any, Any, Any]:
    """What is explained, and the statistics before and after the read."""
    explained = await view.explain()
    before = view.statistics()
    await view.read()
    return explained, before, view.statistics()


async def check(view: ts.TensorStore) -> Any:
    explained, before, after = await difference(view)
    assert explained.store_reads == after.store_reads - before.store_reads
    assert explained.bytes_read == after.bytes_read - before.bytes_read
    assert explained.decoded == after.chunks_decoded - before.chunks_decoded
    assert explained.cached == after.cache_hits - before.cache_hits
    assert explained.bytes_returned == view.size * view.dtype.numpy_dtype.itemsize
    assert explained.shape == view.shape
    assert not explained.estimated
    assert explained.chunks_stored <= explained.chunks <= explained.inner_chunks
    return explained


def store_of(kind: str, root: str) -> KeyValueStore:
    if kind == "memory":
        return MemoryStore()
    if kind == "file":
        return FileStore(root, FileOptions(sync=False))
    # Not local: what is needed is fetched first.
    return FaultyStore(MemoryStore(), suffix_ranges=kind == "remote")


@pytest.mark.parametrize("cache", [0, 10**7])
@pytest.mark.parametrize("kind", ["memory", "file", "remote", "no suffix"])
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=8, deadline=None)
@given(
    written=st.lists(st.tuples(STARTS, STARTS), max_size=4),
    views=st.lists(VIEWS, min_size=1, max_size=3),
)
def test_random_views(
    layout: str, kind: str, cache: int, written: list[tuple[int, int]], views: list[Any]
) -> None:
    async def compare(root: str) -> None:
        context = ts.Context({"cache_pool": {"total_bytes_limit": cache}})
        metadata = {"shape": list(SHAPE), "data_type": "uint16", **LAYOUTS[layout]}
        store = await open_over(store_of(kind, root), "a/", metadata=metadata, context=context)
        for y, x in written:
            await store[y : y + 3, x : x + 3].write(y * 17 + x + 1) if x < 15 else None
        for view in views:
            await check(store.oindex[view])

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(compare(root))


@pytest.mark.parametrize("kind", ["memory", "file", "remote"])
@pytest.mark.parametrize("cache", [0, 10**8])
async def test_large_shards(kind: str, cache: int, tmp_path: Path) -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": cache}})
    metadata = {"shape": [1024, 1024], "data_type": "uint16", **LARGE}
    store = await open_over(store_of(kind, str(tmp_path)), metadata=metadata, context=context)
    data = np.arange(1024 * 512, dtype="u2").reshape(1024, 512)
    await store[:, :512].write(data)
    one = await check(store[5, 6])
    # The index, and the one chunk: 8 KiB of 512 KiB.
    assert one.store_reads == 2
    assert one.bytes_read == 64 * 64 * 2 + 64 * 16 + 4
    assert one.amplification > 4000
    assert one.warnings == ()
    await check(store[100:200, 300:400])
    thin = await check(store[:, 300:301])
    assert "bytes are decoded for each byte returned" in thin.warnings[0]
    assert "64x64" in thin.warnings[0]
    whole = await check(store)
    assert whole.warnings == ()
    assert (whole.chunks, whole.chunks_stored, whole.inner_chunks) == (4, 2, 256)
    empty = await check(store[:, 512:])
    assert (empty.store_reads, empty.chunks_stored, empty.decoded) == (0, 0, 0)
    assert empty.requests in (0, 2)


async def test_the_cache_is_taken_into_account_and_left_alone() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**7}})
    metadata = {"shape": [20], "data_type": "uint8", "chunk_grid": grid([5])}
    memory = MemoryStore()
    store = await open_over(memory, metadata=metadata, context=context)
    await store.write(np.arange(20, dtype="u1"))
    first = await store.explain()
    assert (first.cached, first.decoded) == (0, 4)
    assert await store.explain() == first
    assert (await check(store[:10])).cached == 0
    then = await store.explain()
    assert (then.cached, then.decoded, then.store_reads) == (2, 2, 2)
    # Written by somebody else: what is cached is of no use, and `explain` finds out.
    other = await open_over(memory, metadata=metadata)
    await other[0].write(7)
    last = await check(store)
    assert (last.cached, last.decoded) == (1, 3)


async def test_many_chunks_are_estimated() -> None:
    metadata = {"shape": [3000], "data_type": "uint8",
        "chunk_grid": grid([2]), "codecs": [{
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": [1], "codecs": [{"name": "bytes"}]},
        }]
    }  # fmt: skip
    store = await open_over(MemoryStore(), metadata=metadata)
    await store.write(np.ones(3000, "u1"))
    explained = await store.explain()
    before = store.statistics()
    await store.read()
    assert explained.estimated
    assert "about" in str(explained)
    assert explained.bytes_read == store.statistics().bytes_read - before.bytes_read
    # Plain chunks are counted, however many they are.
    plain = {"shape": [3000], "data_type": "uint8", "chunk_grid": grid([2])}
    store = await open_over(MemoryStore(), metadata=plain)
    await store.write(np.ones(3000, "u1"))
    explained = await check(store)
    assert explained.store_reads == 1500
    assert "small" in explained.warnings[0]


async def test_a_petabyte_is_explained_at_once() -> None:
    metadata = {"shape": [2**40, 1000], "data_type": "uint8", "chunk_grid": grid([256, 256])}
    store = await open_over(MemoryStore(), metadata=metadata)
    await store[5, 5].write(1)
    explained = await store.explain(timeout=20)
    assert explained.chunks == 2**34
    assert (explained.chunks_stored, explained.bytes_read) == (1, 65536)
    assert "about" not in repr(explained)


async def test_views_and_adapters() -> None:
    metadata = {"shape": [20], "data_type": "uint8", "chunk_grid": grid([5])}
    store = await open_over(MemoryStore(), metadata=metadata)
    await store.write(np.arange(20, dtype="u1"))
    assert (await store[3:3].explain()).requests == 0
    cast = ts.cast(store, ts.float64)[:7]
    explained = await cast.explain()
    assert (explained.dtype, explained.bytes_returned) == ("float64", 56)
    assert (explained.chunks, explained.bytes_read) == (2, 10)
    with pytest.raises(ts.Error) as error:
        await ts.array([1, 2, 3]).explain()
    assert error.value.kind == "UNIMPLEMENTED"
    async with ts.Transaction() as transaction:
        bound = store.with_transaction(transaction)
        await bound[:5].write(0)
        await check(bound)


async def test_the_text() -> None:
    metadata = {"shape": [8, 8], "data_type": "uint16", "chunk_grid": grid([8, 8])}
    store = await open_over(MemoryStore(), "a/", metadata=metadata)
    await store[:4].write(1)
    explained = await store[0].explain()
    assert str(explained).splitlines() == [
        "Reading uint16 8 of memory://a/|zarr3:",
        "  chunks    1 touched, 1 stored",
        "  cache     0 chunks decoded already, 1 to decode",
        "  store     1 requests, 128 B",
        "  result    16 B: 8 bytes read and 8 decoded per byte",
    ]

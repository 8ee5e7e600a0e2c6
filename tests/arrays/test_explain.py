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
from asynctensor.chunked.explanation import Explanation
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


def nested(inner: list[int], innermost: list[int], location: str) -> dict[str, Any]:
    found = sharded(inner, location)
    found["configuration"]["codecs"] = [sharded(innermost, location, ZSTD)]
    return found


LAYOUTS: dict[str, dict[str, Any]] = {
    "raw": {"chunk_grid": grid([5, 4]), "codecs": [BYTES]},
    "zstd": {"chunk_grid": grid([5, 4]), "codecs": [BYTES, ZSTD]},
    "shards": {"chunk_grid": grid([12, 8]), "codecs": [sharded([3, 2], "end", ZSTD)]},
    "index first": {"chunk_grid": grid([24, 20]), "codecs": [sharded([2, 2], "start")]},
    "nested": {"chunk_grid": grid([12, 16]), "codecs": [nested([6, 4], [3, 2], "end")]},
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
    explained = await store.explain(timeout=60)
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
    in_memory = await ts.array(np.zeros(3, "i4"))[1:].explain()
    assert (in_memory.requests, in_memory.bytes_returned) == (0, 8)
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


async def _chunked(path: Path, name: str, shape: list[int]) -> ts.TensorStore:
    array = await ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/{name}/"}},
        create=True,
        dtype=ts.uint16,
        shape=shape,
        chunk_layout=ts.ChunkLayout(chunk_shape=[4, 4]),
    )
    await array.write(np.arange(np.prod(shape), dtype="u2").reshape(shape))
    return array


async def test_several_arrays_read_as_one(tmp_path: Path) -> None:
    one, other = [await _chunked(tmp_path, name, [8, 8]) for name in "ab"]
    both = ts.concat([one, other, ts.array(np.zeros((8, 8), np.uint16))], 0)
    before = [each.statistics() for each in (one, other)]
    told = await both[6:, :5].explain()
    await both[6:, :5].read()
    after = [each.statistics() for each in (one, other)]
    assert told.chunks == 2 + 4
    for name, count in (
        ("store_reads", told.store_reads),
        ("bytes_read", told.bytes_read),
        ("chunks_decoded", told.decoded),
    ):
        assert count == sum(
            getattr(now, name) - getattr(was, name) for was, now in zip(before, after, strict=True)
        )
    assert [each.shape for each in told.layers] == [(2, 5), (8, 5), (8, 5)]
    assert told.bytes_returned == 18 * 5 * 2
    assert told.layers[2].url == "memory of this process"
    shown = str(told)
    assert "stack of 3 parts" in shown
    assert shown.count("  part ") == 3
    # A view of one layer is told as that.
    alone = await both[:8].explain()
    assert alone.layers == ()
    assert alone.url == (await one.explain()).url
    entries = [entry.key async for entry in both[6:16, :5].stored_entries()]
    assert [key.partition("c/")[2] for key in entries] == ["1/0", "1/1", "0/0", "0/1", "1/0", "1/1"]
    # One chunk that serves two parts is one chunk.
    twice = ts.concat([one[:2], one[2:4]], 0)
    assert len([entry async for entry in twice.stored_entries()]) == 2
    empty = await both[3:3].explain()
    assert empty.requests == 0


async def test_adapters_tell_of_what_is_below(tmp_path: Path) -> None:
    base = await _chunked(tmp_path, "a", [16, 16])
    for view, chunks in (
        (ts.cast(base, ts.float32)[:4], 4),
        (ts.downsample(base, [4, 4], "mean")[0], 4),
        (ts.downsample(base, [8, 8], "stride"), 4),
        (ts.downsample(ts.overlay([base[:8], base[8:]]), [2, 2], "mean")[1:3], 8),
    ):
        told, before = await view.explain(), base.statistics()
        await view.read()
        after = base.statistics()
        assert told.chunks == chunks
        assert told.bytes_read == after.bytes_read - before.bytes_read


async def test_fields_tell_of_the_records(tmp_path: Path) -> None:
    record = [["x", "<f4"], ["y", "<u2"]]
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/r/"},
        "metadata": {"dtype": record, "shape": [10], "chunks": [5], "compressor": None},
        "field": "x",
    }
    array = await ts.open(spec, create=True)
    await array.write(np.arange(10, dtype="f4"))
    told = await array[:5].explain()
    assert (told.chunks, told.bytes_read) == (1, 30)
    assert len([entry async for entry in array.stored_entries()]) == 2
    assert array.base is None


async def test_what_is_not_stored_in_chunks(tmp_path: Path) -> None:
    document = await ts.open({"driver": "json", "kvstore": f"file://{tmp_path}/a.json"})
    missing = await document.explain()
    assert (missing.chunks_stored, missing.requests, missing.bytes_read) == (0, 1, 0)
    await document.write({"a": 1})
    told = await document.explain()
    assert told.bytes_read == (tmp_path / "a.json").stat().st_size
    assert "json" in str(told)
    calls = []

    def read(domain: Any, chunk: Any, parameters: Any) -> None:
        calls.append(domain)
        chunk[...] = 1

    layout = ts.ChunkLayout(read_chunk_shape=[5])
    virtual = ts.virtual_chunked(read, dtype=ts.int8, shape=[20], chunk_layout=layout)
    told = await virtual[3:12].explain()
    await virtual[3:12].read()
    assert told.requests == len(calls) == 3
    assert told.estimated


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**53, "8.0 PiB"),
        (2**63, "8.0 EiB"),
        (2**75, "3.28e+04 EiB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert f"{shown}:" in str(Explanation(shape=(1,), bytes_returned=size))

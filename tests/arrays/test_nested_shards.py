"""Shards of shards: only what is needed of them is read, decoded and encoded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import DataLoss
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

BYTES: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD: dict[str, Any] = {"name": "zstd", "configuration": {"level": 1}}
CRC32C = {"name": "crc32c"}


def sharded(shape: list[int], *codecs: dict[str, Any], location: str = "end") -> dict[str, Any]:
    configuration = {
        "chunk_shape": shape,
        "codecs": [*codecs],
        "index_codecs": [BYTES, CRC32C],
        "index_location": location,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


def metadata(shape: list[int], chunk: list[int], *codecs: dict[str, Any]) -> dict[str, Any]:
    return {
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [*codecs],
    }


#: One shard of 4 x 4 shards of 8 x 8 chunks of 32 x 32: an inner shard is 128 KiB.
LARGE = [
    metadata(
        [1024, 1024],
        [1024, 1024],
        sharded([256, 256], sharded([32, 32], BYTES, location=inner), location=outer),
    )
    for outer, inner in (("end", "end"), ("start", "end"), ("end", "start"))
]
CHUNK, INNER_INDEX, INDEX = 32 * 32 * 2, 64 * 16 + 4, 16 * 16 + 4


def store_of(kind: str, root: Path) -> KeyValueStore:
    if kind == "memory":
        return MemoryStore()
    if kind == "file":
        return FileStore(str(root), FileOptions(sync=False))
    return FaultyStore(MemoryStore(), suffix_ranges=True)


def read_since(store: ts.TensorStore, before: Any) -> tuple[int, int, int]:
    now = store.statistics()
    return (
        now.store_reads - before.store_reads,
        now.bytes_read - before.bytes_read,
        now.chunks_decoded - before.chunks_decoded,
    )


@pytest.mark.parametrize("document", LARGE)
@pytest.mark.parametrize("kind", ["memory", "file", "remote"])
async def test_one_element_costs_two_indexes_and_one_chunk(
    kind: str, document: dict[str, Any], tmp_path: Path
) -> None:
    store = await open_over(store_of(kind, tmp_path), metadata=document)
    data = np.arange(2**20, dtype=np.uint32).astype(np.uint16).reshape(1024, 1024)
    await store.write(data)
    before = store.statistics()
    assert await store[700, 300].read() == data[700, 300]
    assert read_since(store, before) == (3, INDEX + INNER_INDEX + CHUNK, 1)
    # Of two shards within, two indexes; the chunks lie apart.
    before = store.statistics()
    np.testing.assert_array_equal(await store[700, 250:260].read(), data[700, 250:260])
    assert read_since(store, before) == (5, INDEX + 2 * INNER_INDEX + 2 * CHUNK, 2)
    np.testing.assert_array_equal(await store.read(), data)


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_indexes_are_kept_in_the_cache(kind: str, tmp_path: Path) -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**7}})
    store = await open_over(store_of(kind, tmp_path), metadata=LARGE[0], context=context)
    data = np.ones((1024, 1024), np.uint16)
    await store.write(data)
    await store[0, 0].read()
    before = store.statistics()
    await store[40, 40].read()
    assert read_since(store, before) == (1, CHUNK, 1)
    before = store.statistics()
    await store[40, 41].read()
    assert read_since(store, before) == (0, 0, 0)
    await store[40, 40].write(7)
    assert (await store[39:41, 40].read()).tolist() == [1, 7]


async def test_of_a_shard_most_of_whose_chunks_are_wanted_all_is_fetched() -> None:
    store = await open_over(store_of("remote", Path()), metadata=LARGE[0])
    await store.write(np.ones((1024, 1024), np.uint16))
    before = store.statistics()
    await store[256:512, 512:768].read()
    assert read_since(store, before) == (2, INDEX + INNER_INDEX + 64 * CHUNK, 64)


@pytest.mark.parametrize("kind", ["memory", "file", "remote"])
async def test_a_write_decodes_what_it_changes(kind: str, tmp_path: Path) -> None:
    store = await open_over(store_of(kind, tmp_path), metadata=LARGE[0])
    data = np.arange(2**20, dtype=np.uint32).astype(np.uint16).reshape(1024, 1024)
    await store.write(data)
    before = store.statistics()
    await store[255:257, 10].write(1)
    data[255:257, 10] = 1
    after = store.statistics()
    assert after.chunks_decoded - before.chunks_decoded == 2
    assert after.chunks_encoded - before.chunks_encoded == 2
    np.testing.assert_array_equal(await store.read(), data)


async def test_a_damaged_shard_within_fails_only_what_is_in_it() -> None:
    memory = MemoryStore()
    store = await open_over(memory, metadata=LARGE[0])
    await store.write(np.ones((1024, 1024), np.uint16))
    value = bytearray((await memory.read("c/0/0")).value)
    # The last index of a shard within ends where the outer index begins.
    value[len(value) - INDEX - 10] ^= 1
    await memory.write("c/0/0", bytes(value))
    with pytest.raises(DataLoss, match="checksum"):
        await store[1023, 1023].read()
    with pytest.raises(DataLoss, match="checksum"):
        await store[1023, 1023].write(2)
    await store[0, 0].write(2)
    assert await store[0, 0].read() == 2
    # And it is still there as it was.
    with pytest.raises(DataLoss, match="checksum"):
        await store[1023, 1023].read()
    assert bytes(value[-INDEX - 500 : -INDEX]) in (await memory.read("c/0/0")).value


async def test_a_shard_within_that_is_shorter_than_its_index() -> None:
    memory = MemoryStore()
    document = metadata([4], [4], sharded([2], sharded([1], BYTES)))
    store = await open_over(memory, metadata=document)
    await store.write([1, 2, 3, 4])
    rows = np.array([[0, 7], [2**64 - 1] * 2], "<u8").tobytes()
    index = rows + google_crc32c.value(rows).to_bytes(4, "little")
    await memory.write("c/0", bytes(7) + index)
    with pytest.raises(DataLoss, match="shard has 7 bytes, less than its index of 36"):
        await store.read()
    assert await store[2:].read() is not None


SHAPES = st.sampled_from([(2, 2, 2), (4, 2, 1), (1, 3, 2), (2, 1, 3)])


@pytest.mark.parametrize("kind", ["memory", "remote"])
@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.tuples(*[st.integers(0, 22)] * 2),
            st.tuples(*[st.integers(1, 12)] * 2),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=6,
    ),
    levels=st.tuples(SHAPES, SHAPES),
    locations=st.tuples(*[st.sampled_from(["start", "end"])] * 3),
)
def test_three_levels_against_tensorstore(
    kind: str, steps: list[Any], levels: Any, locations: Any
) -> None:
    """Writes and reads in any order, and what is then stored, read by TensorStore."""
    innermost = [a[2] for a in levels]
    inner = [a[2] * a[1] for a in levels]
    outer = [a[2] * a[1] * a[0] for a in levels]
    chunk = [2 * n for n in outer]
    chain = sharded(innermost, BYTES, ZSTD, location=locations[2])
    for shape, location in ((inner, locations[1]), (outer, locations[0])):
        chain = sharded(shape, chain, location=location)
    document = metadata([23, 23], chunk, chain)

    async def run() -> None:
        base = MemoryStore()
        over = base if kind == "memory" else FaultyStore(base, suffix_ranges=True)
        store = await open_over(over, metadata=document)
        model = np.zeros((23, 23), np.uint16)
        for k, ((i, j), (m, n), fill) in enumerate(steps):
            view = (slice(i, min(23, i + m)), slice(j, min(23, j + n)))
            model[view] = (
                0 if fill == 0 else k * 100 + np.arange(model[view].size).reshape(model[view].shape)
            )
            await store[view].write(model[view])
            np.testing.assert_array_equal(await store[i:, :j].read(), model[i:, :j])
        np.testing.assert_array_equal(await store.read(), model)
        found = await _seen_by_tensorstore(base)
        np.testing.assert_array_equal(found, model)

    asyncio.run(run())


async def _seen_by_tensorstore(base: MemoryStore) -> Any:
    context = tensorstore.Context()
    kvstore = await tensorstore.KvStore.open("memory://", context=context)
    async for entry in base.list(KeyRange()):
        await kvstore.write(entry.key, bytes((await base.read(entry.key)).value))
    spec = {"driver": "zarr3", "kvstore": "memory://"}
    return await (await tensorstore.open(spec, context=context)).read()

"""The public suite on arrays of every kind; test_programs.py draws its arrays and operations."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.array_suite import ArraySuite, MakeArray
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.open_over import open_over

CACHE = {"cache_pool": {"total_bytes_limit": 10**6}}
#: Room for two or three chunks only, so that they come and go.
SMALL_CACHE = {"cache_pool": {"total_bytes_limit": 5000}}


def opener(spec: dict[str, Any], context: dict[str, Any] | None = None, **given: Any) -> MakeArray:
    async def make(**schema: Any) -> ts.TensorStore:
        resources = ts.Context(context or {})
        return await ts.open(spec, context=resources, create=True, **schema, **given)

    return make


def codec(*codecs: Any) -> ts.CodecSpec:
    return ts.CodecSpec({"driver": "zarr3", "codecs": list(codecs)})


TRANSPOSED = codec({"name": "transpose", "configuration": {"order": [2, 0, 1]}}, {"name": "zstd"})


class TestMemory(ArraySuite):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        return opener({"driver": "zarr3", "kvstore": "memory://a/"})


class TestMemoryCached(ArraySuite):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        return opener({"driver": "zarr3", "kvstore": "memory://a/"}, CACHE, codec=TRANSPOSED)


class TestMemoryNeverRechecked(ArraySuite):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        spec = {"driver": "zarr3", "kvstore": "memory://a/"}
        return opener(spec, SMALL_CACHE, recheck_cached_data=False)


class TestMemoryRecheckedSinceOpen(ArraySuite):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        spec = {"driver": "zarr3", "kvstore": "memory://a/", "store_data_equal_to_fill_value": True}
        return opener(spec, CACHE, recheck_cached_data="open")


class TestShards(ArraySuite):
    chunk_shape = (8, 6, 6)
    read_chunk_shape = (4, 3, 2)

    @pytest.fixture
    def make_array(self) -> MakeArray:
        return opener({"driver": "zarr3", "kvstore": "memory://a/"})


class TestCachedShardsWithIndexFirst(ArraySuite):
    chunk_shape = (8, 6, 6)
    read_chunk_shape = (4, 3, 2)

    @pytest.fixture
    def make_array(self) -> MakeArray:
        inner = [
            {"name": "transpose", "configuration": {"order": [1, 2, 0]}},
            {"name": "bytes", "configuration": {"endian": "big"}},
            {"name": "gzip", "configuration": {"level": 1}},
            {"name": "crc32c"},
        ]
        sharding = {
            "name": "sharding_indexed",
            "configuration": {"codecs": inner, "index_location": "start"},
        }
        spec = {"driver": "zarr3", "kvstore": "memory://a/"}
        return opener(spec, SMALL_CACHE, codec=codec(sharding))


class TestZarr2(ArraySuite):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        spec = {
            "driver": "zarr",
            "kvstore": "memory://a/",
            "metadata": {
                "order": "F",
                "dimension_separator": "/",
                "compressor": {"id": "zlib", "level": 1},
            },
        }
        return opener(spec, CACHE)


class TestN5(ArraySuite):
    fill_value = 0

    @pytest.fixture
    def make_array(self) -> MakeArray:
        return opener({"driver": "n5", "kvstore": "memory://a/"}, SMALL_CACHE)


class TestN5WithCutOffBlocks(ArraySuite):
    """Blocks on disk that Java cut off where the array once ended."""

    fill_value = 0
    seeds = range(1)
    operations = 40

    @pytest.fixture
    def make_array(self, tmp_path: Path) -> MakeArray:
        async def make(**schema: Any) -> ts.TensorStore:
            shape, blocks = schema["shape"], schema["chunk_layout"].write_chunk.shape
            for cell in np.ndindex(*(-(-n // b) for n, b in zip(shape, blocks, strict=True))):
                ends = zip(cell, blocks, shape, strict=True)
                sizes = [min(b, n - k * b) for k, b, n in ends]
                path = tmp_path.joinpath("a", *map(str, cell))
                path.parent.mkdir(parents=True, exist_ok=True)
                header = struct.pack(f">HH{len(sizes)}I", 0, len(sizes), *sizes)
                path.write_bytes(header + bytes(4 * math.prod(sizes)))
            kvstore = {"driver": "file", "path": f"{tmp_path}/a/", "file_io_sync": False}
            spec = {
                "driver": "n5",
                "kvstore": kvstore,
                "metadata": {"compression": {"type": "raw"}},
            }
            return await ts.open(spec, create=True, **schema)

        return make


class TestFile(ArraySuite):
    seeds = range(2)
    operations = 40

    @pytest.fixture
    def make_array(self, tmp_path: Path) -> MakeArray:
        kvstore = {"driver": "file", "path": f"{tmp_path}/a/", "file_io_sync": False}
        return opener({"driver": "zarr3", "kvstore": kvstore})


class TestCachedShardsOnFile(ArraySuite):
    seeds = range(2)
    operations = 40
    chunk_shape = (8, 6, 6)
    read_chunk_shape = (4, 3, 2)

    @pytest.fixture
    def make_array(self, tmp_path: Path) -> MakeArray:
        kvstore = {"driver": "file", "path": f"{tmp_path}/a/", "file_io_sync": False}
        return opener({"driver": "zarr3", "kvstore": kvstore}, CACHE)


class TestAsynchronousStore(ArraySuite):
    reopens = False

    @pytest.fixture
    def make_array(self) -> MakeArray:
        async def make(**schema: Any) -> ts.TensorStore:
            return await open_over(FaultyStore(MemoryStore()), **schema)

        return make


class TestShardsOnAsynchronousStore(ArraySuite):
    chunk_shape = (8, 6, 6)
    read_chunk_shape = (4, 3, 2)
    reopens = False

    @pytest.fixture
    def make_array(self) -> MakeArray:
        async def make(**schema: Any) -> ts.TensorStore:
            store = FaultyStore(MemoryStore())
            return await open_over(store, context=ts.Context(SMALL_CACHE), **schema)

        return make


class TestStoreThatCannotCompareAndSwap(ArraySuite):
    """Within one process no update is lost on such a store either."""

    reopens = False

    @pytest.fixture
    def make_array(self) -> MakeArray:
        async def make(**schema: Any) -> ts.TensorStore:
            return await open_over(FaultyStore(MemoryStore(), can_compare_and_swap=False), **schema)

        return make

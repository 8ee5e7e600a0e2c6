"""The public array suite, and random operations on strings, over chains beyond the core."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.testing.array_suite import ArraySuite, MakeArray

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CACHE = {"cache_pool": {"total_bytes_limit": 10**6}}
SMALL_CACHE = {"cache_pool": {"total_bytes_limit": 20_000}}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def opener(spec: dict[str, Any], context: dict[str, Any], **given: Any) -> MakeArray:
    def make(**more: Any) -> Any:
        return ts.open(spec, create=True, context=ts.Context(context), **more, **given)

    return make


def zarr3(*codecs: Any) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": "memory://a/", "metadata": {"codecs": [*codecs]}}


class Shorter(ArraySuite):
    seeds: ClassVar[Sequence[int]] = range(1)
    operations: ClassVar[int] = 40


class TestPackedInNestedShards(Shorter):
    chunk_shape = (8, 6, 6)
    read_chunk_shape = (2, 3, 2)

    @pytest.fixture
    def make_array(self) -> MakeArray:
        packed = codec("packbits", padding_encoding="first_byte")
        index = [LITTLE, {"name": "crc32c"}]
        low = codec("sharding_indexed", chunk_shape=[2, 3, 2], codecs=[packed], index_codecs=index)
        high = codec("sharding_indexed", chunk_shape=[4, 6, 2], codecs=[low], index_codecs=index)
        return opener(zarr3(high), SMALL_CACHE)


class TestThroughManySteps(Shorter):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        return opener(
            zarr3(
                codec("reshape", shape=[[0, 1], [2]]),
                codec("scale_offset", offset=-3, scale=1),
                codec("cast_value", data_type="int64"),
                codec("transpose", order=[1, 0]),
                codec("numcodecs.delta"),
                LITTLE,
                codec("numcodecs.shuffle"),
                codec("numcodecs.lz4"),
                codec("numcodecs.fletcher32"),
            ),
            CACHE,
        )


class TestFilteredZarr2(Shorter):
    @pytest.fixture
    def make_array(self) -> MakeArray:
        filters = [{"id": "delta", "dtype": "<i4"}, {"id": "crc32"}]
        compressor = {"id": "lzma", "preset": 0}
        metadata = {"filters": filters, "compressor": compressor, "order": "F"}
        spec = {"driver": "zarr", "kvstore": "memory://a/", "metadata": metadata}
        return opener(spec, CACHE)


class TestFieldOfRecords(Shorter):
    reopens = False

    @pytest.fixture
    def make_array(self) -> MakeArray:
        fields = [
            {"name": "a", "data_type": "int16"},
            {"name": "v", "data_type": "int32"},
            {"name": "z", "data_type": "bool"},
        ]

        def make(**given: Any) -> Any:
            given.pop("dtype")
            metadata = {
                "data_type": codec("struct", fields=fields),
                "fill_value": {"a": 0, "v": int(given.pop("fill_value")), "z": True},
            }
            spec = {
                "driver": "zarr3", "kvstore": "memory://a/", "metadata": metadata, "field": "v",
            }  # fmt: skip
            return ts.open(spec, create=True, context=ts.Context(CACHE), **given)

        return make


@pytest.mark.parametrize("context", [{}, CACHE, SMALL_CACHE], ids=["none", "cache", "small"])
@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
def test_strings_against_a_model(driver: str, context: dict[str, Any]) -> None:
    shape, rng = (11, 9), random.Random(driver)
    store = ts.open(
        {"driver": driver, "kvstore": "memory://a/"},
        create=True, dtype="ustring", shape=shape, fill_value="-", context=ts.Context(context),
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[4, 5]),
    ).result()  # fmt: skip
    model = np.full(shape, "-", object)

    async def run() -> None:
        for step in range(120):
            lows = [rng.randrange(n) for n in shape]
            part = tuple(
                slice(low, rng.randrange(low, n) + 1) for low, n in zip(lows, shape, strict=True)
            )
            if step % 2:
                words = [rng.choice(["", "-", "é" * rng.randrange(60)]) for _ in range(99)]
                data = np.array(words, object).reshape(shape)[part]
                model[part] = data
                await store[part].write(data)
            else:
                assert (await store[part].read() == model[part]).all()
                rows = np.array([rng.randrange(11) for _ in range(3)])
                found = await store.oindex[rows, 2].read()
                assert (found == model[rows, 2]).all()

    asyncio.run(run())
    assert (store.read().result() == model).all()


def test_the_cache_counts_the_strings_themselves() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 100_000}})
    store = ts.open(
        {"driver": "zarr3", "kvstore": "memory://a/"},
        create=True, dtype="ustring", shape=[50], context=context,
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[1]),
    ).result()  # fmt: skip
    store.write(np.array(["x" * 10_000] * 50, object)).result()
    for k in range(50):
        assert len(store[k].read().result().item()) == 10_000
    cache = store._driver.pools.cache.statistics()  # type: ignore[attr-defined]
    assert cache.entries < 10
    assert cache.bytes <= 100_000


def test_what_a_reader_can_change_is_not_shared() -> None:
    metadata = {"dtype": "|O", "filters": [{"id": "json2"}], "shape": [2], "chunks": [2]}
    store = ts.open(
        {"driver": "zarr", "kvstore": "memory://a/", "metadata": metadata},
        create=True, context=ts.Context(CACHE), recheck_cached_data=False,
    ).result()  # fmt: skip
    value = np.empty(2, object)
    value[:] = [{"a": 1}, [1]]
    store.write(value).result()
    first = store.read().result()
    first[0]["a"] = 2
    first[1].append(2)
    assert store.read().result().tolist() == [{"a": 1}, [1]]

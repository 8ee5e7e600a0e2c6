"""N5 against TensorStore: each writes, the other reads, and specs mean the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.drivers.n5.format import N5Format
from asynctensor.schema.schema import Schema

FORMAT = N5Format()
SHAPE, BLOCK = (7, 10), (4, 6)
DTYPES = [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
]  # fmt: skip
COMPRESSIONS: list[dict[str, Any]] = [
    {"type": "raw"},
    {"type": "gzip"},
    {"type": "gzip", "level": 2, "useZlib": True},
    {"type": "bzip2", "blockSize": 1},
    {"type": "xz", "preset": 1},
    {"type": "zstd", "level": 3},
    *(
        {"type": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle}
        for cname, shuffle in (("lz4", 1), ("zstd", 2), ("blosclz", 0), ("lz4hc", 1), ("zlib", 1))
    ),
]
CASES = [
    *((dtype, COMPRESSIONS[0], SHAPE, BLOCK) for dtype in DTYPES),
    *((dtype, COMPRESSIONS[-1], SHAPE, BLOCK) for dtype in DTYPES),
    *(("uint16", compression, SHAPE, BLOCK) for compression in COMPRESSIONS),
    ("int32", COMPRESSIONS[1], (), ()),
    ("int32", COMPRESSIONS[0], (5,), (3,)),
    ("int16", COMPRESSIONS[5], (3, 5, 4), (2, 2, 3)),
    ("float64", COMPRESSIONS[0], (3, 5, 4, 2), (2, 5, 1, 2)),
]


@pytest.mark.parametrize(("dtype", "compression", "shape", "block"), CASES)
def test_tensorstore(
    dtype: str,
    compression: dict[str, Any],
    shape: tuple[int, ...],
    block: tuple[int, ...],
    encode: Callable[..., dict[str, bytes]],
    decode: Callable[..., np.ndarray],
    sample: Callable[..., np.ndarray],
) -> None:
    wanted = {
        "dimensions": list(shape),
        "blockSize": list(block),
        "dataType": dtype,
        "compression": compression,
    }
    context = tensorstore.Context()
    spec = {"driver": "n5", "kvstore": "memory://a/", "metadata": wanted}
    array = tensorstore.open(spec, context=context, create=True).result()
    data = sample(np.dtype(dtype), shape)
    array[...] = data
    store = array.kvstore
    stored = {key.decode(): store.read(key).result().value for key in store.list().result()}
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

    metadata = FORMAT.create(wanted, Schema())
    assert FORMAT.serialize(metadata) == stored["attributes.json"]
    encoded = encode(FORMAT, metadata, data)
    # Where neither has a choice, the bytes are the same.
    if compression["type"] == "raw":
        assert {key: encoded[key] for key in stored} == stored
    ours = tensorstore.KvStore.open("memory://b/", context=context).result()
    for key, value in encoded.items():
        ours.write(key, value).result()
    found = tensorstore.open({**spec, "kvstore": "memory://b/"}, context=context).result()
    np.testing.assert_array_equal(found.read().result(), data)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    """What one library stores in a folder, the other reads, whatever the shapes."""
    rank = data.draw(st.integers(0, 4))
    shape = data.draw(st.tuples(*[st.integers(0, 7)] * rank))
    block = data.draw(st.tuples(*[st.integers(1, 8)] * rank))
    metadata = {
        "dimensions": list(shape),
        "blockSize": list(block),
        "dataType": data.draw(st.sampled_from(DTYPES)),
        "compression": data.draw(st.sampled_from(COMPRESSIONS)),
    }
    numbers = np.random.default_rng(data.draw(st.integers(0, 9)))
    expected = numbers.integers(0, 100, shape).astype(metadata["dataType"])
    spec = {"driver": "n5", "kvstore": "memory://a/", "metadata": metadata}
    array = ts.open(spec, create=True).result()
    array.write(expected).result()
    theirs = tensorstore.open(spec, create=True).result()
    for key in array.kvstore.list().result():
        theirs.kvstore.write(key, array.kvstore.read(key).result().value).result()
    np.testing.assert_array_equal(theirs.read().result(), expected)
    theirs[...] = expected[::-1] if rank else expected
    # A block of nothing but zeros is not stored: what was there before goes as well.
    array.kvstore.delete_range(ts.KvStore.KeyRange()).result()
    for key in theirs.kvstore.list().result():
        array.kvstore.write(key, theirs.kvstore.read(key).result().value).result()
    np.testing.assert_array_equal(array.read().result(), expected[::-1] if rank else expected)


SPECS: list[dict[str, Any]] = [
    {"driver": "n5", "metadata": {}},
    {"driver": "n5", "metadata": {"axes": ["x", ""], "resolution": [2, 3], "more": {"a": [1]}}},
    {"driver": "n5", "metadata": {"units": ["nm", ""], "n5": "2.0.0"}},
    {"driver": "n5", "metadata": {"blockSize": [2, 3], "compression": {"type": "gzip"}}},
    {"driver": "n5", "dtype": "int8", "schema": {"dimension_units": ["4nm", None]}},
    {"driver": "n5", "schema": {"chunk_layout": {"chunk": {"shape": [3, 3]}}}},
    {"driver": "n5", "schema": {"domain": {"shape": [3, 4], "labels": ["a", "b"]}}},
]


@pytest.mark.parametrize("spec", SPECS)
def test_specs_are_tensorstores(spec: dict[str, Any]) -> None:
    spec = {**spec, "kvstore": "memory://a/"}
    mine, theirs = ts.Spec(spec), tensorstore.Spec(spec)
    assert mine.to_json() == theirs.to_json()
    assert mine.schema.to_json() == theirs.schema.to_json()
    documents = []
    for library in (ts, tensorstore):
        keywords = {} if "dtype" in spec else {"dtype": "uint16"}
        if "domain" not in spec.get("schema", {}):
            keywords["shape"] = [3, 4]
        made = library.open(spec, create=True, **keywords).result()
        documents.append([made.spec().to_json(), made.schema.to_json(), made.url])
        assert made.fill_value is None
    assert documents[0] == documents[1]
    again = ts.Spec(documents[1][0])
    assert again.to_json() == documents[1][0]
    assert again.schema.to_json() == tensorstore.Spec(documents[1][0]).schema.to_json()


@pytest.mark.parametrize("url", ["memory://x/|n5:", "memory://x/|n5", "memory://|n5:x"])
def test_urls_are_tensorstores(url: str) -> None:
    mine, theirs = ts.Spec(url), tensorstore.Spec(url)
    assert (mine.to_json(), mine.url) == (theirs.to_json(), theirs.url)

"""TensorStore and zarr-python: each writes, the other reads; the same calls fail the same way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorstore
import zarr

import asynctensor as ts

SHAPE, CHUNK, INNER = (11, 9), (4, 6), (2, 3)
DTYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64", "complex64", "complex128", "bfloat16",
]  # fmt: skip
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC = {"name": "crc32c"}
TRANSPOSE = {"name": "transpose", "configuration": {"order": [1, 0]}}
GZIP = {"name": "gzip", "configuration": {"level": 3}}
ZSTD = {"name": "zstd", "configuration": {"level": 2, "checksum": True}}
BLOSC = {
    "name": "blosc",
    "configuration": {
        "cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "typesize": 2, "blocksize": 0,
    },
}  # fmt: skip


def shard(inner: list[Any], location: str) -> dict[str, Any]:
    configuration = {
        "chunk_shape": list(INNER),
        "codecs": inner,
        "index_codecs": [LITTLE, CRC],
        "index_location": location,
    }
    return {"name": "sharding_indexed", "configuration": configuration}


CHAINS: dict[str, list[Any]] = {
    "little": [LITTLE],
    "big": [BIG],
    "turned": [TRANSPOSE, LITTLE, GZIP],
    "zstd": [LITTLE, ZSTD],
    "blosc+crc": [LITTLE, BLOSC, CRC],
    "shards": [shard([LITTLE, ZSTD], "end")],
    "shards, index first": [shard([TRANSPOSE, BIG, CRC], "start")],
}


def v3(chain: str, dtype: str = "uint16", **members: Any) -> dict[str, Any]:
    return {
        "driver": "zarr3",
        "metadata": {
            "shape": list(SHAPE),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
            "codecs": CHAINS[chain],
            **members,
        },
    }


def v2(compressor: Any, dtype: str = "<u2", **members: Any) -> dict[str, Any]:
    metadata = {
        "shape": list(SHAPE), "chunks": list(CHUNK), "dtype": dtype, "compressor": compressor,
        **members,
    }  # fmt: skip
    return {"driver": "zarr", "metadata": metadata}


def n5(compression: dict[str, Any], dtype: str = "uint16", **members: Any) -> dict[str, Any]:
    metadata = {
        "dimensions": list(SHAPE), "blockSize": list(CHUNK), "dataType": dtype,
        "compression": compression, **members,
    }  # fmt: skip
    return {"driver": "n5", "metadata": metadata}


SPECS: dict[str, dict[str, Any]] = {
    **{f"v3 {dtype}": v3("little", dtype) for dtype in DTYPES},
    **{f"v3 {chain}": v3(chain) for chain in CHAINS},
    "v3 dots": v3(
        "zstd", chunk_key_encoding={"name": "default", "configuration": {"separator": "."}}
    ),
    "v3 old keys": v3("zstd", chunk_key_encoding={"name": "v2"}),
    "v3 filled": v3("shards", fill_value=7),
    "v3 named": v3("little", dimension_names=["y", "x"]),
    "v2 raw": v2(None),
    "v2 big, F": v2(None, ">u2", order="F"),
    "v2 zlib": v2({"id": "zlib", "level": 4}, dimension_separator="/"),
    "v2 gzip": v2({"id": "gzip", "level": 4}, fill_value=7),
    "v2 bz2": v2({"id": "bz2", "level": 4}, "<f4"),
    "v2 zstd": v2({"id": "zstd", "level": 4}, "<i8", order="F", fill_value=0),
    "v2 blosc": v2({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}),
    "n5 raw": n5({"type": "raw"}, "float64"),
    "n5 gzip": n5({"type": "gzip", "level": 3}, axes=["x", "y"]),
    "n5 xz": n5({"type": "xz", "preset": 0}, "int64", units=["nm", "s"], resolution=[4, 1]),
}


def numpy_dtype(spec: dict[str, Any]) -> np.dtype:
    members = ("data_type", "dtype", "dataType")
    name = next(spec["metadata"][each] for each in members if each in spec["metadata"])
    dtype = np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)
    return dtype.newbyteorder("=") if dtype.kind != "V" else dtype


def sample(dtype: np.dtype) -> np.ndarray:
    numbers = np.random.default_rng(0).integers(1, 100, SHAPE)
    return (numbers % 2 if dtype.kind == "b" else numbers).astype(dtype)


def same(found: Any, expected: np.ndarray) -> bool:
    return np.ascontiguousarray(found).tobytes() == expected.tobytes()


def with_place(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**spec, "kvstore": {"driver": "file", "path": f"{folder}/"}}


@pytest.mark.parametrize("name", list(SPECS))
def test_tensorstore(tmp_path: Path, name: str) -> None:
    """One writes all but some inner chunks, the other reads, changes a part, and grows it."""
    spec = with_place(SPECS[name], tmp_path / "a")
    dtype = numpy_dtype(spec)
    expected = sample(dtype)
    fill = np.zeros((), dtype) + spec["metadata"].get("fill_value", 0)
    expected[:4, 3:7] = fill.astype(dtype)
    for number, (writer, reader) in enumerate([(ts, tensorstore), (tensorstore, ts)]):
        spec = with_place(SPECS[name], tmp_path / str(number))
        made = writer.open(spec, create=True).result()
        made.write(expected).result()
        found = reader.open(spec, open=True).result()
        assert same(found.read().result(), expected)
        found[3:6, 1::2] = 5
        expected[3:6, 1::2] = np.array(5).astype(dtype)
        assert same(made.read().result(), expected)
        assert same(made[::-2, 4].read().result(), expected[::-2, 4])
        assert str(made.domain) == str(found.domain)
        larger = found.resize(exclusive_max=[14, 3]).result()
        again = writer.open(spec | {"metadata": {}}, open=True).result()
        assert again.shape == (14, 3)
        assert same(again[:11].read().result(), expected[:, :3])
        assert same(larger.read().result(), again.read().result())
        expected = sample(dtype)


@pytest.mark.parametrize("name", [n for n in SPECS if "bfloat16" not in n and "n5" not in n])
def test_zarr(tmp_path: Path, name: str) -> None:
    spec = with_place(SPECS[name], tmp_path / "a")
    dtype = numpy_dtype(spec)
    expected = sample(dtype)
    ours = ts.open(spec, create=True).result()
    ours.write(expected).result()
    theirs = zarr.open_array(str(tmp_path / "a"), mode="r+")
    assert theirs.shape == SHAPE
    assert same(np.asarray(theirs[...]).astype(dtype), expected)
    theirs[3:6, 1::2] = 1
    expected[3:6, 1::2] = np.array(1).astype(dtype)
    assert same(ours.read().result(), expected)
    # What they write anew, we read.
    copy = zarr.from_array(
        str(tmp_path / "b"), data=theirs, chunks="keep", shards="keep",
    )  # fmt: skip
    assert copy.shape == SHAPE
    opened = ts.open(tmp_path / "b").result()
    assert opened.chunk_layout.write_chunk.shape == CHUNK
    assert same(opened.read().result(), expected)


@pytest.mark.parametrize("name", list(SPECS))
def test_the_same_spec_means_the_same_array(tmp_path: Path, name: str) -> None:
    documents = []
    for library in (ts, tensorstore):
        folder = tmp_path / library.__name__
        made = library.open(with_place(SPECS[name], folder), create=True).result()
        spec = made.spec().to_json()
        spec.pop("kvstore")
        spec.pop("dtype", None)
        # A default may be spelled out.
        encoding = spec["metadata"].get("chunk_key_encoding")
        if encoding is not None:
            separator = "." if encoding["name"] == "v2" else "/"
            encoding.setdefault("configuration", {"separator": separator})
        documents.append(spec)
        layout = made.chunk_layout
        documents[-1]["layout"] = [
            tuple(layout.write_chunk.shape), tuple(layout.read_chunk.shape),
            tuple(layout.inner_order) if layout.inner_order is not None else None,
        ]  # fmt: skip
        assert np.array_equal(np.asarray(made.fill_value), np.asarray(made.fill_value))
        assert made.dtype.name == numpy_dtype(SPECS[name]).name
    assert documents[0]["layout"] == documents[1]["layout"]
    assert documents[0]["metadata"] == documents[1]["metadata"]
    # And the spec of one opens what the other made.
    for mine, other in itertools.permutations((ts, tensorstore), 2):
        theirs = other.open(with_place(SPECS[name], tmp_path / other.__name__)).result()
        assert mine.open(theirs.spec().to_json()).result().shape == SHAPE


BAD_CALLS: dict[str, Callable[[Any, Path], Any]] = {
    "open missing": lambda t, p: t.open(with_place({"driver": "zarr3"}, p / "no")).result(),
    "create existing": lambda t, p: t.open(
        with_place(SPECS["v3 big"], p), create=True, open=False
    ).result(),
    "other dtype": lambda t, p: t.open(
        with_place({"driver": "zarr3"}, p), dtype="float32"
    ).result(),
    "other shape": lambda t, p: t.open(with_place({"driver": "zarr3"}, p), shape=[1, 2]).result(),
    "other codec": lambda t, p: t.open(with_place(SPECS["v3 zstd"], p)).result(),
    "no shape": lambda t, p: t.open(
        with_place({"driver": "zarr3"}, p / "n"), create=True, dtype="int8"
    ).result(),
    "no dtype": lambda t, p: t.open(
        with_place({"driver": "zarr3"}, p / "n"), create=True, shape=[3]
    ).result(),
    "unknown driver": lambda t, p: t.open({"driver": "zarr9", "kvstore": "memory://"}).result(),
    "unknown kvstore": lambda t, p: t.open(
        {"driver": "zarr3", "kvstore": {"driver": "az"}}
    ).result(),
    "unknown scheme": lambda t, p: t.open({"driver": "zarr3", "kvstore": "az://x/"}).result(),
    "unknown member": lambda t, p: t.open(
        {**with_place({"driver": "zarr3"}, p), "bogus": 1}
    ).result(),
    "unknown codec": lambda t, p: t.open(
        with_place(v3("big", codecs=[{"name": "x"}]), p / "n"), create=True
    ).result(),
    "unsafe cast": lambda t, p: opened(t, p).write(np.ones(SHAPE, "f4")).result(),
    "number too large": lambda t, p: opened(t, p)[0, 0].write(70_000).result(),
    "shapes differ": lambda t, p: opened(t, p).write(np.ones((3, 3), "u2")).result(),
    "index outside": lambda t, p: opened(t, p)[11].read().result(),
    "negative index": lambda t, p: opened(t, p)[-1].read().result(),
    "slice outside": lambda t, p: opened(t, p)[3:12].read().result(),
    "too many indices": lambda t, p: opened(t, p)[1, 2, 3],
    "index array outside": lambda t, p: opened(t, p)[[1, 50]].read().result(),
    "wrong index": lambda t, p: opened(t, p)["x"],
    "bad resize": lambda t, p: opened(t, p).resize(inclusive_min=[1, 0]).result(),
    "bad resize rank": lambda t, p: opened(t, p).resize(exclusive_max=[1]).result(),
    "resized view": lambda t, p: opened(t, p)[2:5].resize(exclusive_max=[4, 4]).result(),
    "read only": lambda t, p: (
        t.open(with_place({"driver": "zarr3"}, p), read=True).result().write(1).result()
    ),
    "bad order": lambda t, p: opened(t, p).read(order="X").result(),
    "bad context": lambda t, p: t.Context({"bogus": {}}),
    "delete and open": lambda t, p: t.open(
        with_place({"driver": "zarr3"}, p), open=True, delete_existing=True
    ).result(),
}


def opened(library: Any, path: Path) -> Any:
    return library.open(with_place({"driver": "zarr3"}, path)).result()


FAMILIES = (IndexError, TypeError, OverflowError, NotImplementedError, KeyError, ValueError)


@pytest.mark.parametrize("name", list(BAD_CALLS))
def test_bad_calls_raise_what_tensorstore_raises(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a"
    made = ts.open(with_place(SPECS["v3 big"], path), create=True).result()
    made.write(1).result()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FAMILIES) as theirs:
        BAD_CALLS[name](tensorstore, path)
    with pytest.raises(FAMILIES) as ours:
        BAD_CALLS[name](ts, path)
    family = next(f for f in FAMILIES if isinstance(theirs.value, f))
    assert isinstance(ours.value, family), (theirs.value, ours.value)
    word = str(theirs.value).split(":")[0]
    if word in ("NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        assert str(ours.value).startswith(word), (theirs.value, ours.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before

"""Zarr v3 against its other readers and writers: each writes, the other reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.schema.schema import Schema

FORMAT = Zarr3Format()
SHAPE, CHUNK, INNER = (7, 10), (4, 6), (2, 3)

CORE = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
EXTENSIONS = ["bfloat16", "int4", "float8_e4m3fn", "float8_e5m2fnuz", "float4_e2m1fn"]


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


LITTLE, BIG = codec("bytes", endian="little"), codec("bytes", endian="big")
TRANSPOSE = codec("transpose", order=[1, 0])
CHAINS: dict[str, list[dict[str, Any]]] = {
    "raw": [LITTLE],
    "big": [BIG],
    "transposed": [TRANSPOSE, LITTLE],
    "gzip": [LITTLE, codec("gzip", level=1)],
    "zstd": [LITTLE, codec("zstd", level=0, checksum=False)],
    "zstd+sum": [BIG, codec("zstd", level=3, checksum=True)],
    "crc": [TRANSPOSE, BIG, codec("crc32c")],
    "two": [LITTLE, codec("gzip", level=1), codec("crc32c")],
} | {
    f"blosc-{cname}-{shuffle}": [
        LITTLE,
        codec("blosc", cname=cname, clevel=5, shuffle=shuffle, **size, blocksize=0),
    ]
    for cname, shuffle, size in (
        ("lz4", "shuffle", {"typesize": 2}),
        ("lz4hc", "bitshuffle", {"typesize": 2}),
        ("blosclz", "noshuffle", {}),
        ("zstd", "shuffle", {"typesize": 4}),
        ("zlib", "bitshuffle", {"typesize": 2}),
    )
}
INDEX = [LITTLE, codec("crc32c")]


def sharded(inner: list[dict[str, Any]], **configuration: Any) -> dict[str, Any]:
    found = {"chunk_shape": list(INNER), "codecs": inner, "index_codecs": INDEX, **configuration}
    return codec("sharding_indexed", **found)


SHARDS = {
    "end": [sharded([LITTLE], index_location="end")],
    "start": [sharded([LITTLE, codec("zstd", level=1, checksum=False)], index_location="start")],
    "big index": [sharded([TRANSPOSE, BIG], index_codecs=[BIG])],
    "transposed": [TRANSPOSE, sharded([LITTLE], chunk_shape=[2, 2])],
    "nested": [sharded([sharded([LITTLE, codec("gzip", level=1)], chunk_shape=[1, 3])])],
}
KEYS = [codec(name, separator=sep) for name in ("default", "v2") for sep in ("/", ".")]


def document(dtype: str, codecs: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return {
        "shape": list(SHAPE),
        "data_type": dtype,
        "chunk_grid": codec("regular", chunk_shape=list(CHUNK)),
        "codecs": codecs,
        **members,
    }


class TensorStoreFiles:
    """An in-memory store that tensorstore sees, filled and emptied key by key."""

    def __init__(self) -> None:
        self.context = ts.Context()
        self.store = ts.KvStore.open("memory://", context=self.context).result()

    def read(self) -> dict[str, bytes]:
        keys = [key.decode() for key in self.store.list().result()]
        return {key: self.store.read(key).result().value for key in keys}

    def write(self, stored: dict[str, bytes]) -> None:
        for key, value in stored.items():
            self.store.write(key, value).result()

    def open(self, **spec: Any) -> Any:
        full = {"driver": "zarr3", "kvstore": "memory://", **spec}
        return ts.open(full, context=self.context).result()


CASES = [
    *((dtype, CHAINS["big"], KEYS[0]) for dtype in CORE + EXTENSIONS),
    *((dtype, SHARDS["start"], KEYS[1]) for dtype in CORE + EXTENSIONS),
    *(("uint16", chain, KEYS[2]) for chain in CHAINS.values()),
    *(("float32", chain, KEYS[3]) for chain in SHARDS.values()),
    *(("int32", CHAINS["raw"], keys) for keys in KEYS),
]


@pytest.mark.parametrize(("dtype", "codecs", "keys"), CASES)
def test_tensorstore(
    dtype: str,
    codecs: list[dict[str, Any]],
    keys: dict[str, Any],
    encode: Callable[..., dict[str, bytes]],
    decode: Callable[..., np.ndarray],
    sample: Callable[..., np.ndarray],
) -> None:
    wanted = document(dtype, codecs, chunk_key_encoding=keys)
    theirs = TensorStoreFiles()
    array = theirs.open(metadata=wanted, create=True)
    data = sample(array.dtype.numpy_dtype, SHAPE)
    array[...] = data
    stored = theirs.read()
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

    ours = TensorStoreFiles()
    metadata = FORMAT.create(wanted, Schema())
    assert metadata == FORMAT.parse(stored["zarr.json"])
    ours.write(encode(FORMAT, metadata, data))
    np.testing.assert_array_equal(ours.open(metadata=wanted).read().result(), data)


def zarr_arguments(codecs: list[dict[str, Any]]) -> dict[str, Any]:
    """What `zarr.create_array` takes for a chain."""
    known = {
        "transpose": TransposeCodec, "bytes": BytesCodec, "gzip": GzipCodec, "zstd": ZstdCodec,
        "blosc": BloscCodec, "crc32c": Crc32cCodec, "sharding_indexed": ShardingCodec,
    }  # fmt: skip
    made = [known[each["name"]].from_dict(each) for each in codecs]
    at = next(i for i, each in enumerate(codecs) if each["name"] in ("bytes", "sharding_indexed"))
    return {"filters": made[:at], "serializer": made[at], "compressors": made[at + 1 :]}


ZARR_CASES = [
    *((dtype, CHAINS["big"], KEYS[0]) for dtype in CORE),
    *(("uint16", CHAINS[name], KEYS[0]) for name in ("gzip", "zstd", "crc", "two")),
    *(("uint16", CHAINS[name], KEYS[3]) for name in CHAINS if name.startswith("blosc")),
    *(("float32", SHARDS[name], KEYS[0]) for name in ("end", "start", "transposed", "nested")),
    # The codec that keeps a shard from being read in parts.
    ("uint16", [*SHARDS["start"], codec("gzip", level=1)], KEYS[0]),
]


@pytest.mark.parametrize(("dtype", "codecs", "keys"), ZARR_CASES)
def test_zarr_python(
    tmp_path: Path,
    dtype: str,
    codecs: list[dict[str, Any]],
    keys: dict[str, Any],
    encode: Callable[..., dict[str, bytes]],
    decode: Callable[..., np.ndarray],
    sample: Callable[..., np.ndarray],
) -> None:
    data = sample(np.dtype(dtype), SHAPE)
    array = zarr.create_array(
        tmp_path / "theirs",
        shape=SHAPE,
        dtype=dtype,
        chunks=CHUNK,
        chunk_key_encoding={"name": keys["name"], **keys["configuration"]},
        dimension_names=["y", None],
        attributes={"a": [1, {"b": None}]},
        **zarr_arguments(codecs),
    )
    array[...] = data
    stored = {
        str(path.relative_to(tmp_path / "theirs")).replace("\\", "/"): path.read_bytes()
        for path in (tmp_path / "theirs").rglob("*")
        if path.is_file()
    }
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

    metadata = FORMAT.parse(stored["zarr.json"])
    for key, value in encode(FORMAT, metadata, data).items():
        path = tmp_path / "ours" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    found = zarr.open_array(tmp_path / "ours", mode="r")
    np.testing.assert_array_equal(found[...], data)
    assert dict(found.attrs) == {"a": [1, {"b": None}]}
    assert found.metadata.dimension_names == ("y", None)


FILLS = [
    ("bool", True), ("int8", -128), ("uint64", 2**64 - 1), ("int4", 7), ("float16", "NaN"),
    ("float32", "0x7fc00001"), ("float32", -0.0), ("float64", "-Infinity"), ("float64", 0.1),
    ("bfloat16", "0x7fc1"), ("bfloat16", 3.5), ("float8_e5m2", "Infinity"),
    ("complex64", [1.5, "NaN"]), ("complex128", ["-Infinity", "0x7ff8000000000001"]),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "fill"), FILLS)
def test_fill_values(dtype: str, fill: Any) -> None:
    wanted = document(dtype, [], fill_value=fill)
    theirs = TensorStoreFiles()
    array = theirs.open(metadata=wanted, create=True)
    document_of_theirs = theirs.read()["zarr.json"]
    metadata = FORMAT.parse(document_of_theirs)
    assert (
        json.loads(FORMAT.serialize(metadata))["fill_value"]
        == json.loads(document_of_theirs)["fill_value"]
    )
    assert metadata == FORMAT.create(wanted, Schema())
    assert FORMAT.layout(metadata).fill_value.tobytes() == array.fill_value.tobytes()


def test_scalars_without_dimensions(
    encode: Callable[..., dict[str, bytes]], decode: Callable[..., np.ndarray]
) -> None:
    for keys, key in ((KEYS[0], "c"), (KEYS[2], "0")):
        metadata = FORMAT.create(
            {"shape": [], "data_type": "int16", "chunk_key_encoding": keys}, Schema()
        )
        stored = encode(FORMAT, metadata, np.array(7, np.int16))
        assert set(stored) == {"zarr.json", key}
        theirs = TensorStoreFiles()
        theirs.write(stored)
        assert theirs.open().read().result() == 7
        assert decode(FORMAT, stored) == 7


def test_raw_bits_are_seen_as_bytes(
    encode: Callable[..., dict[str, bytes]], decode: Callable[..., np.ndarray]
) -> None:
    metadata = FORMAT.create(
        {**document("r24", [sharded([LITTLE])]), "fill_value": [0, 0, 0]}, Schema()
    )
    layout = FORMAT.layout(metadata)
    assert layout.shape == (*SHAPE, 3)
    assert layout.dtype == np.dtype("V1")
    data = np.arange(210, dtype=np.uint8).view("V1").reshape(*SHAPE, 3)
    stored = encode(FORMAT, metadata, data)
    assert "c/1/1" in stored
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

"""Zarr v2 against its other readers and writers: each writes, the other reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tensorstore as ts
import zarr

from asynctensor.drivers.zarr2.format import Zarr2Format
from asynctensor.schema.schema import Schema

FORMAT = Zarr2Format()
SHAPE, CHUNK = (7, 10), (4, 6)

DTYPES = [
    "|b1", "|i1", "|u1", "<i2", ">u2", ">i4", "<u4", "<i8", ">u8",
    "<f2", ">f2", "<f4", ">f8", "<c8", ">c16",
]  # fmt: skip
NAMED = ["bfloat16", "int4", "float8_e4m3fn", "float8_e5m2"]
COMPRESSORS: list[dict[str, Any] | None] = [
    None,
    {"id": "zlib", "level": 1},
    {"id": "gzip", "level": 5},
    {"id": "bz2", "level": 1},
    {"id": "zstd", "level": 3},
    *(
        {"id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0}
        for cname, shuffle in (("lz4", -1), ("zstd", 2), ("blosclz", 1), ("zlib", 0), ("lz4hc", 1))
    ),
]

CASES = [
    *((dtype, COMPRESSORS[5], "F", ".") for dtype in DTYPES + NAMED),
    *((dtype, None, "C", "/") for dtype in DTYPES + NAMED),
    *(("<u2", compressor, "C", ".") for compressor in COMPRESSORS),
]


@pytest.mark.parametrize(("dtype", "compressor", "order", "separator"), CASES)
def test_tensorstore(
    dtype: str,
    compressor: dict[str, Any] | None,
    order: str,
    separator: str,
    encode: Callable[..., dict[str, bytes]],
    decode: Callable[..., np.ndarray],
    sample: Callable[..., np.ndarray],
) -> None:
    wanted = {
        "shape": list(SHAPE),
        "chunks": list(CHUNK),
        "dtype": dtype,
        "compressor": compressor,
        "order": order,
        "dimension_separator": separator,
    }
    context = ts.Context()
    spec = {"driver": "zarr2", "kvstore": "memory://a/", "metadata": wanted}
    array = ts.open(spec, context=context, create=True).result()
    data = sample(array.dtype.numpy_dtype, SHAPE)
    array[...] = data
    store = array.kvstore
    stored = {key.decode(): store.read(key).result().value for key in store.list().result()}
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

    metadata = FORMAT.create(wanted, Schema())
    assert metadata == FORMAT.parse(stored[".zarray"])
    ours = ts.KvStore.open("memory://b/", context=context).result()
    for key, value in encode(FORMAT, metadata, data).items():
        ours.write(key, value).result()
    found = ts.open({**spec, "kvstore": "memory://b/"}, context=context).result()
    np.testing.assert_array_equal(found.read().result(), data)


ZARR_CASES = [
    *((dtype, COMPRESSORS[5], "F", "/") for dtype in DTYPES),
    *(("<f4", compressor, "C", ".") for compressor in COMPRESSORS),
]


@pytest.mark.parametrize(("dtype", "compressor", "order", "separator"), ZARR_CASES)
def test_zarr_python(
    tmp_path: Path,
    dtype: str,
    compressor: dict[str, Any] | None,
    order: str,
    separator: str,
    encode: Callable[..., dict[str, bytes]],
    decode: Callable[..., np.ndarray],
    sample: Callable[..., np.ndarray],
) -> None:
    data = sample(np.dtype(dtype).newbyteorder("="), SHAPE)
    array = zarr.create_array(
        tmp_path / "theirs",
        shape=SHAPE,
        dtype=np.dtype(dtype),
        chunks=CHUNK,
        zarr_format=2,
        order=order,
        compressors=None if compressor is None else numcodecs.get_codec(dict(compressor)),
        chunk_key_encoding={"name": "v2", "separator": separator},
    )
    array[...] = data
    stored = {
        str(path.relative_to(tmp_path / "theirs")).replace("\\", "/"): path.read_bytes()
        for path in (tmp_path / "theirs").rglob("*")
        if path.is_file()
    }
    np.testing.assert_array_equal(decode(FORMAT, stored), data)

    metadata = FORMAT.parse(stored[".zarray"])
    for key, value in encode(FORMAT, metadata, data).items():
        path = tmp_path / "ours" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
    found = zarr.open_array(tmp_path / "ours", mode="r", zarr_format=2)
    np.testing.assert_array_equal(found[...], data)


FILLS = [
    ("<f4", "NaN"), (">f8", "-Infinity"), ("<f8", 0.1), ("|b1", True), (">i2", -5),
    ("<u8", 2**64 - 1), ("<c8", [1.0, "NaN"]), ("bfloat16", 3.5), ("<i4", None),
    ("|S3", "AAAA"), ("|V2", "AAA="),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "fill"), FILLS)
def test_fill_values(dtype: str, fill: Any) -> None:
    wanted = {"shape": [4], "chunks": [2], "dtype": dtype, "fill_value": fill}
    spec = {"driver": "zarr2", "kvstore": "memory://", "metadata": wanted, "create": True}
    array = ts.open(spec).result()
    theirs = array.kvstore.read(".zarray").result().value
    metadata = FORMAT.parse(theirs)
    assert json.loads(FORMAT.serialize(metadata)) == json.loads(theirs)
    assert metadata == FORMAT.create(wanted, Schema())
    layout = FORMAT.layout(metadata)
    assert layout.shape == array.shape
    # Where there is none, zeros are read. (tensorstore's NumPy type for characters has size 0.)
    if array.dtype.numpy_dtype.itemsize:
        assert layout.fill_value.tobytes() == array[(0,) * array.rank].read().result().tobytes()


def test_strings_and_raw_data_are_seen_as_characters_and_bytes(
    decode: Callable[..., np.ndarray],
) -> None:
    for dtype, element in (("|S3", "S1"), ("|V3", "V1")):
        context = ts.Context()
        wanted = {"shape": [5], "chunks": [2], "dtype": dtype}
        spec = {"driver": "zarr2", "kvstore": "memory://", "metadata": wanted}
        array = ts.open(spec, create=True, context=context).result()
        data = np.arange(65, 80, dtype=np.uint8).view(element).reshape(5, 3)
        array[...] = data
        store = array.kvstore
        stored = {key.decode(): store.read(key).result().value for key in store.list().result()}
        np.testing.assert_array_equal(decode(FORMAT, stored), data)


def test_what_old_and_other_writers_say() -> None:
    base = {
        "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i2", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    }  # fmt: skip
    for changed in (
        {"filters": []},
        {"fill_value": 0.0},
        {"dtype": "|b1", "fill_value": 0},
        {"dtype": "|S3", "fill_value": ""},
        {"dtype": "|S3", "fill_value": 0},
        {"dtype": "<c8", "fill_value": 0.0},
        {"compressor": {"id": "zstd", "level": 1, "checksum": False}},
        {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "new": 1}},
        {"dimension_separator": None},
        {"anything": "else"},
    ):
        metadata = FORMAT.parse(json.dumps({**base, **changed}).encode())
        FORMAT.layout(metadata)
        written = json.loads(FORMAT.serialize(metadata))
        assert written["filters"] is None
        assert "checksum" not in (written["compressor"] or {})
        if "anything" in changed:
            assert written["anything"] == "else"
            FORMAT.check_constraints(FORMAT.to_json(metadata))

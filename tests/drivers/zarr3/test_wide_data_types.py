"""Every data type of zarr v3, through the public interface; zarr-python as the peer."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorstore
import zarr

import asynctensor as ts
from asynctensor.errors import (
    DataLoss,
    IncompatibleType,
    InvalidArgument,
    OutOfRange,
    Unimplemented,
)

SHAPE, CHUNK = (5, 6), (2, 4)
STRUCT = np.dtype(
    [("x", "<i4"), ("t", "<M8[ms]"), ("s", "S3"), ("u", "<U2"), ("p", [("a", "?"), ("b", "<f8")])]
)


def create(path: Path, **metadata: Any) -> ts.TensorStore:
    metadata = {
        "shape": list(SHAPE),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
        **metadata,
    }
    spec = {"driver": "zarr3", "kvstore": f"file://{path}/", "metadata": metadata}
    return ts.open(spec, create=True, delete_existing=True).result()


def reopen(path: Path) -> ts.TensorStore:
    return ts.open({"driver": "zarr3", "kvstore": f"file://{path}/"}).result()


def document(path: Path) -> Any:
    return json.loads((path / "zarr.json").read_text())


def with_zarr(path: Path, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "shape" in kwargs:
            return zarr.create_array(path, **kwargs)
        return zarr.open_array(path, mode="r+")


def sample(numpy_dtype: np.dtype[Any], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if numpy_dtype.names:
        out = np.zeros(SHAPE, numpy_dtype)
        for i, name in enumerate(numpy_dtype.names):
            out[name] = sample(numpy_dtype[name], seed + i + 1)
        return out
    if numpy_dtype.kind in "US":
        words = rng.choice(["", "a", "äx" if numpy_dtype.kind == "U" else "bc", "q"], SHAPE)
        return words.astype(numpy_dtype)
    if numpy_dtype.kind == "b":
        return rng.integers(0, 2, SHAPE) == 1
    if numpy_dtype.kind in "mM":
        found = rng.integers(-(2**40), 2**40, SHAPE).astype(numpy_dtype)
        found.view(np.int64)[0, 0] = np.iinfo(np.int64).min  # NaT
        return found
    if numpy_dtype.kind == "V" and not numpy_dtype.type.__module__.startswith("ml_dtypes"):
        data = rng.integers(0, 256, (*SHAPE, numpy_dtype.itemsize), np.uint8)
        return data.view(numpy_dtype)[..., 0]
    return rng.integers(0, 2, SHAPE).astype(numpy_dtype)


@pytest.mark.parametrize(
    ("numpy_dtype", "name", "fill"),
    [
        (np.dtype("<U3"), "fixed_length_utf32", "ä€😀"),
        (np.dtype("M8[10us]"), "numpy.datetime64", -5),
        (np.dtype("M8[ns]"), "numpy.datetime64", "NaT"),
        (np.dtype("m8[D]"), "numpy.timedelta64", 7),
        (np.dtype("m8"), "numpy.timedelta64", 7),
        (STRUCT, "struct", {
            "x": 4, "t": "NaT", "s": [65, 0, 0], "u": "é", "p": {"a": True, "b": "NaN"},
        }),
        (np.dtype(ml_dtypes.uint4), "uint4", 9),
        (np.dtype(ml_dtypes.uint2), "uint2", 3),
        (np.dtype(ml_dtypes.float6_e2m3fn), "float6_e2m3fn", 1.5),
        (np.dtype(ml_dtypes.float6_e3m2fn), "float6_e3m2fn", -2),
        (np.dtype(ml_dtypes.float8_e4m3), "float8_e4m3", "NaN"),
    ],
)  # fmt: skip
def test_written_and_read_again(
    tmp_path: Path, numpy_dtype: np.dtype[Any], name: str, fill: Any
) -> None:
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/", "metadata": {"fill_value": fill}}
    if name == "struct":
        spec["metadata"]["fill_value"]["s"] = "QQAA"
    store = ts.open(
        spec,
        create=True,
        dtype=numpy_dtype,
        shape=SHAPE,
        chunk_layout=ts.ChunkLayout(write_chunk_shape=CHUNK),
    ).result()
    assert store.dtype == ts.dtype(numpy_dtype) == ts.dtype(store.dtype.name)
    said = document(tmp_path)["data_type"]
    assert (said if isinstance(said, str) else said["name"]) == name
    data = sample(numpy_dtype)
    empty = store.read().result()
    assert empty.dtype == numpy_dtype
    assert (empty.view(np.uint8).reshape(*SHAPE, -1) == empty[:1, :1].view(np.uint8)).all()
    store.write(data).result()
    # A part of a chunk, so that it is read and changed.
    store[1, 1].write(data[2, 2]).result()
    data[1, 1] = data[2, 2]
    again = reopen(tmp_path)
    assert again.dtype == store.dtype
    assert again.read().result().tobytes() == data.tobytes()
    assert again[::2, 1].read().result().tobytes() == data[::2, 1].tobytes()
    assert pickle.loads(pickle.dumps(again)).dtype == store.dtype
    assert ts.Spec(again.spec().to_json()).dtype == store.dtype


FAR = np.datetime64("3000-01-01")


@pytest.mark.parametrize("wrong", [
    np.array([FAR, "NaT"], "M8[s]"), FAR, [FAR, None], "3000-01-01", FAR.astype("M8[s]").item(),
])  # fmt: skip
def test_times_that_the_unit_cannot_say(tmp_path: Path, wrong: Any) -> None:
    """NumPy makes other times of them: of 3000-01-01, one in 1830."""
    store = ts.open(
        f"file://{tmp_path}/|zarr3:", create=True, dtype="datetime64[ns]", shape=[2]
    ).result()
    with pytest.raises(OutOfRange, match=r"1 of . times .* datetime64\[ns\] .* 3000-01-01"):
        store.write(wrong).result()
    near = np.array(["2262-04-11T23:47:16", "NaT"], "M8[s]")
    store.write(near).result()
    assert np.array_equal(store.read().result(), near.astype("M8[ns]"), equal_nan=True)
    for given, found in ((5, 5), ("2020-01-01T07", 18262 * 86_400_000_000_000 + 7 * 3600 * 10**9)):
        store.write(given).result()
        assert (store.read().result().view(np.int64) == found).all()


def test_spans_that_the_unit_cannot_say(tmp_path: Path) -> None:
    store = ts.open(
        f"file://{tmp_path}/|zarr3:", create=True, dtype="timedelta64[ns]", shape=[3]
    ).result()
    with pytest.raises(OutOfRange, match="2 of 3 times"):
        store.write(np.array([10**6, 10, -(10**6)], "m8[D]")).result()
    store.write(np.array([10, -10, 0], "m8[D]")).result()
    assert store.read().result().tolist() == [10 * 86400 * 10**9, -10 * 86400 * 10**9, 0]


@pytest.mark.parametrize("part", ["bfloat16", "float16", "float8_e5m2", "float4_e2m1fn"])
def test_complex_numbers_of_small_floats_are_pairs(tmp_path: Path, part: str) -> None:
    store = create(tmp_path, data_type=f"complex_{part}", fill_value=[1.0, -2.0], codecs=[
        {"name": "bytes", "configuration": {"endian": "big"}} if "16" in part else "bytes",
    ])  # fmt: skip
    kind = store.dtype.numpy_dtype
    assert kind.names == ("real", "imag")
    assert store[0, 0].read().result().item() == (1.0, -2.0)
    data = sample(kind)
    store.write(data).result()
    assert reopen(tmp_path).read().result().tobytes() == data.tobytes()
    assert document(tmp_path)["fill_value"] == [1.0, -2.0]
    assert store.dtype.name == f"complex_{part}"


def test_complex_under_its_other_name(tmp_path: Path) -> None:
    store = create(tmp_path, data_type="complex_float32", fill_value=[1, 2])
    assert store.dtype == ts.complex64
    assert store[0, 0].read().result() == 1 + 2j
    assert document(tmp_path)["data_type"] == "complex_float32"


TEXTS = np.array(["", "a", "äö€", "x" * 300, "q", "q"], object)[np.arange(30) % 6].reshape(SHAPE)
BYTES = np.array([b"", b"a", b"\0\xff", b"x" * 300], object)[np.arange(30) % 4].reshape(SHAPE)


@pytest.mark.parametrize(
    ("name", "data", "fill"),
    [("string", TEXTS, "q"), ("bytes", BYTES, b"a"), ("variable_length_bytes", BYTES, b"")],
)
def test_strings_of_any_length(tmp_path: Path, name: str, data: np.ndarray, fill: Any) -> None:
    said = fill if isinstance(fill, str) else list(fill)
    store = create(tmp_path, data_type=name, fill_value=said)
    assert store.dtype == (ts.ustring if name == "string" else ts.string)
    assert store.fill_value is not None
    assert store.fill_value.item() == fill
    assert (store.read().result() == fill).all()
    store.write(data).result()
    store[2:4, 1:3].write(data[0:2, 0:2]).result()
    data = data.copy()
    data[2:4, 1:3] = data[0:2, 0:2]
    again = reopen(tmp_path)
    assert (again.read().result() == data).all()
    assert (again.vindex[[4, 0], [5, 1]].read().result() == data[[4, 0], [5, 1]]).all()
    assert (with_zarr(tmp_path)[:] == data).all()
    assert again.dtype == store.dtype
    # Chunks that are nothing but fill values again are not stored.
    store.write(fill).result()
    assert not list(tmp_path.glob("c/*/*"))


def test_strings_written_by_zarr_python(tmp_path: Path) -> None:
    for name, data in (("string", TEXTS), ("variable_length_bytes", BYTES)):
        path = tmp_path / name
        with_zarr(path, shape=SHAPE, chunks=CHUNK, dtype=name)[:] = data
        store = reopen(path)
        assert (store.read().result() == data).all()
        store[0].write(data[1]).result()
        assert (with_zarr(path)[0] == data[1]).all()


def test_what_strings_may_be_written(tmp_path: Path) -> None:
    store = create(tmp_path, data_type="string", fill_value="")
    store[0].write(np.array(["ab", "c", "d", "e", "f", "g"])).result()
    kind = np.dtypes.StringDType()
    store[1].write(np.array(["u", "v" * 20, "", "w", "x", "y"], kind)).result()
    store[2].write(["1", "2", "3", "4", "5", "6"]).result()
    store[3] = "all"
    found = store.read().result()
    assert found[0].tolist() == ["ab", "c", "d", "e", "f", "g"]
    assert found[1].tolist() == ["u", "v" * 20, "", "w", "x", "y"]
    assert found[2].tolist() == ["1", "2", "3", "4", "5", "6"]
    assert set(found[3].tolist()) == {"all"}
    assert all(type(each) is str for each in found.flat)
    for wrong in (3, b"bytes", None, [["a"], [1]], np.zeros(6), np.array([None] * 6)):
        with pytest.raises((IncompatibleType, InvalidArgument)):
            store[0].write(wrong).result()


def test_fixed_text_is_not_cut_off(tmp_path: Path) -> None:
    store = create(
        tmp_path,
        data_type={"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}},
        fill_value="",
    )
    store[0, 0] = "ab"
    with pytest.raises((IncompatibleType, InvalidArgument)):
        store[0, 0] = "abc"
    assert store[0, 0].read().result() == "ab"


def test_strings_in_shards_behind_compressors_and_transposed(tmp_path: Path) -> None:
    inner = [{"name": "transpose", "configuration": {"order": [1, 0]}}, "vlen-utf8",
             {"name": "zstd", "configuration": {"level": 1}}]  # fmt: skip
    shard = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, 2],
            "codecs": inner,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"],
        },
    }
    store = create(tmp_path, data_type="string", fill_value="q", codecs=[shard])
    store.write(TEXTS).result()
    assert (reopen(tmp_path).read().result() == TEXTS).all()
    assert reopen(tmp_path)[3, 2].read().result() == TEXTS[3, 2]
    assert (with_zarr(tmp_path)[:] == TEXTS).all()


@pytest.mark.parametrize(
    "numpy_dtype",
    ["<U3", "M8[10us]", "m8[ns]", "S4", "V3", STRUCT, np.dtype([("a", "i1"), ("b", "u1")])],
    ids=str,
)
@pytest.mark.parametrize("sharded", [False, True])
def test_written_by_zarr_python(tmp_path: Path, numpy_dtype: Any, sharded: bool) -> None:
    kind = np.dtype(numpy_dtype)
    # Zarr-python cannot shard what it cannot hash.
    sharded = sharded and kind.kind != "V"
    data = sample(kind)
    chunks = {"shards": (2, 4), "chunks": (1, 2)} if sharded else {"chunks": CHUNK}
    peer = with_zarr(tmp_path, shape=SHAPE, dtype=kind, **chunks)
    empty = peer[:]
    found = reopen(tmp_path).read().result()
    assert found.tobytes() == empty.tobytes()
    peer[:] = data
    store = reopen(tmp_path)
    assert store.read().result().tobytes() == data.tobytes()
    # What we write, it reads.
    other = sample(kind, 5)
    values = np.ascontiguousarray(other)
    if store.rank == 3:
        values = values.reshape(-1).view(store.dtype.numpy_dtype).reshape(store.shape)
    store.write(values).result()
    assert with_zarr(tmp_path)[:].tobytes() == other.tobytes()


@pytest.mark.parametrize("data_type", [
    "fixed_length_utf32", "numpy.datetime64", "struct", "raw_bytes",
    {"name": "fixed_length_utf32", "configuration": {"length_bytes": 3}},
    {"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**40}},
    {"name": "numpy.datetime64", "configuration": {"unit": "s"}},
    {"name": "numpy.datetime64", "configuration": {"unit": "y", "scale_factor": 1}},
    {"name": "numpy.timedelta64", "configuration": {"unit": "s", "scale_factor": 0}},
    {"name": "numpy.timedelta64", "configuration": {"unit": "s", "scale_factor": 1, "x": 1}},
    {"name": "struct", "configuration": {"fields": []}},
    {"name": "struct", "configuration": {"fields": [["a", "int8"]]}},
    {"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "string"}]}},
    {"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "int8"}] * 2}},
    {"name": "struct", "configuration": {"fields": [{"name": "", "data_type": "int8"}]}},
    {"name": "string", "must_understand": False},
    {"name": "string", "configuration": {"x": 1}},
], ids=json.dumps)  # fmt: skip
def test_what_is_no_data_type(tmp_path: Path, data_type: Any) -> None:
    with pytest.raises(InvalidArgument, match="data_type"):
        create(tmp_path, data_type=data_type, fill_value=0)


@pytest.mark.parametrize(("data_type", "fill"), [
    ("string", 3), ("string", "\ud800"), ("bytes", "???"), ("bytes", [256]), ("bytes", None),
    ({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4}}, "ab"),
    ({"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}}, "now"),
    ({"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}}, 2**63),
    ({"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "int8"}]}}, {}),
    ({"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "int8"}]}},
     {"a": 1, "b": 2}),
    ({"name": "struct", "configuration": {"fields": [{"name": "a", "data_type": "int8"}]}},
     {"a": 300}),
    ("uint4", 16), ("float6_e2m3fn", "NaN"), ("complex_bfloat16", [1]), ("r16", [1]),
], ids=str)  # fmt: skip
def test_what_is_no_fill_value(tmp_path: Path, data_type: Any, fill: Any) -> None:
    with pytest.raises(InvalidArgument, match="fill_value"):
        create(tmp_path, data_type=data_type, fill_value=fill)


def test_raw_bits_may_have_any_fill_value(tmp_path: Path) -> None:
    store = create(tmp_path, data_type="r24", fill_value=[1, 2, 3])
    assert store.domain.shape == (5, 6, 3)
    assert store.read().result().view(np.uint8).tolist() == [[[1, 2, 3]] * 6] * 5
    assert store[1, 1:3, 2].read().result().tobytes() == b"\3\3"
    assert store.fill_value is not None
    assert store.fill_value.tobytes() == b"\1\2\3"
    store[0, 0] = np.array([b"\1", b"\2", b"\3"], "V1")
    assert not list(tmp_path.glob("c/*/*"))
    store[0, 0] = np.array([b"\1", b"\2", b"\4"], "V1")
    assert store[0, :2].read().result().tobytes() == b"\1\2\4\1\2\3"
    inner = {
        "chunk_shape": [1, 2],
        "codecs": ["bytes"],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "big"}}],
    }
    path = tmp_path / "sharded"
    store = create(path, data_type="r24", fill_value=[1, 2, 3],
                   codecs=[{"name": "sharding_indexed", "configuration": inner}])  # fmt: skip
    store[0, 0, 0] = np.array(b"\7", "V1")
    assert store[0, :3].read().result().tobytes() == b"\7\2\3\1\2\3\1\2\3"


def test_structs_written_by_tensorstore(tmp_path: Path) -> None:
    fields = [{"name": "x", "data_type": "int32"}, {"name": "y", "data_type": "float64"}]
    store = create(tmp_path, fill_value={"x": 1, "y": 2.5},
                   data_type={"name": "struct", "configuration": {"fields": fields}},
                   codecs=[{"name": "bytes", "configuration": {"endian": "big"}}])  # fmt: skip
    data = sample(store.dtype.numpy_dtype)
    store.write(data).result()
    for field in ("x", "y"):
        spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/", "field": field}
        assert (tensorstore.open(spec).result().read().result() == data[field]).all()


def test_the_legacy_struct_is_little_endian_and_base64(tmp_path: Path) -> None:
    found = document_of_structured()
    tmp_path.joinpath("zarr.json").write_text(json.dumps(found))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0").write_bytes(b"\1\0\0\0\2" * 2)
    store = reopen(tmp_path)
    assert store.read().result().tolist() == [(1, 2), (1, 2), (3, 4)]
    assert document_again(store) == found["data_type"]


def document_of_structured() -> dict[str, Any]:
    return {
        "zarr_format": 3, "node_type": "array", "shape": [3],
        "data_type": {
            "name": "structured", "configuration": {"fields": [["x", "int32"], ["y", "int8"]]},
        },
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "AwAAAAQ=", "codecs": [{"name": "bytes"}],
    }  # fmt: skip


def document_again(store: ts.TensorStore) -> Any:
    return store.spec().to_json()["metadata"]["data_type"]


def test_chunks_that_say_too_much_or_too_little(tmp_path: Path) -> None:
    store = create(tmp_path, data_type="string", fill_value="", codecs=["vlen-utf8"])
    store.write(TEXTS).result()
    path = next(tmp_path.glob("c/0/0"))
    good = path.read_bytes()
    bad = [
        b"", good[:3], good[:-1], b"\xff\xff\xff\xff" + good[4:], good[:4] + b"\xff" * 4 + good[8:],
        b"\x07" + good[1:], good[:8] + b"\xff" * (len(good) - 8),
    ]  # fmt: skip
    for value in bad:
        path.write_bytes(value)
        with pytest.raises(DataLoss):
            reopen(tmp_path).read().result()


def test_a_type_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises((Unimplemented, InvalidArgument), match="wibble"):
        create(tmp_path, data_type="wibble", fill_value=0)

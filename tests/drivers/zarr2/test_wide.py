"""Zarr v2 beyond TensorStore: filters, records, text, times, objects; numcodecs is the judge."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.registry import get_codec

import asynctensor as ts
from asynctensor.errors import DataLoss, Error, InvalidArgument, Unimplemented

SHAPE, CHUNK = (5, 6), (2, 4)
RECORD = np.dtype([("x", "<i4"), ("y", ">f8"), ("s", "S3"), ("u", "<U2"), ("p", [("a", "?")])])
#: Zarr-python cannot read its own nested records.
FLAT = np.dtype([("x", "<i4"), ("y", ">f8"), ("s", "S3"), ("u", "<U2")])
SUBARRAYS = np.dtype([("m", "<i2", (2, 3)), ("v", "|V2"), ("t", ">M8[s]", (2,))])


def document(**members: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2, "shape": [*SHAPE], "chunks": [*CHUNK], "dtype": "<i4",
        "compressor": None, "fill_value": None, "order": "C", "filters": None, **members,
    }  # fmt: skip


def described(kind: np.dtype[Any]) -> Any:
    """The document's ``dtype``."""
    if kind.names is None:
        return kind.str
    parts = [(name, kind[name]) for name in kind.names]
    return [
        [name, described(part.base), *([list(part.shape)] if part.shape else [])]
        for name, part in parts
    ]


def store_by_numcodecs(path: Path, found: dict[str, Any], data: np.ndarray) -> None:
    """Writes an array as zarr v2 says it is done, with numcodecs' codecs."""
    path.mkdir(parents=True, exist_ok=True)
    (path / ".zarray").write_text(json.dumps(found))
    codecs = [get_codec(f) for f in found["filters"] or []]
    if found["compressor"]:
        codecs.append(get_codec(found["compressor"]))
    for i, j in itertools.product(range(3), range(2)):
        chunk = np.zeros(CHUNK, data.dtype)
        if data.dtype.hasobject:
            chunk[...] = type(data.flat[0])()
        part = data[2 * i : 2 * i + 2, 4 * j : 4 * j + 4]
        chunk[: part.shape[0], : part.shape[1]] = part
        encoded: Any = np.asarray(chunk, order=found["order"])
        for codec in codecs:
            encoded = codec.encode(encoded)
        if isinstance(encoded, np.ndarray):
            encoded = encoded.tobytes(order="A")
        (path / f"{i}.{j}").write_bytes(bytes(encoded))


def load_by_numcodecs(path: Path, kind: np.dtype[Any]) -> np.ndarray:
    """Reads it likewise."""
    found = json.loads((path / ".zarray").read_text())
    codecs = [get_codec(f) for f in found["filters"] or []]
    if found["compressor"]:
        codecs.append(get_codec(found["compressor"]))
    data = np.zeros(SHAPE, kind)
    for i, j in itertools.product(range(3), range(2)):
        chunk: Any = (path / f"{i}.{j}").read_bytes()
        for codec in reversed(codecs):
            chunk = codec.decode(chunk)
        if kind.hasobject:
            flat = np.asarray(chunk, object).reshape(-1)
        else:
            flat = np.frombuffer(np.ascontiguousarray(chunk).tobytes(), kind)
        whole = flat.reshape(CHUNK, order=found["order"])
        part = data[2 * i : 2 * i + 2, 4 * j : 4 * j + 4]
        part[...] = whole[: part.shape[0], : part.shape[1]]
    return data


def opened(path: Path, **more: Any) -> ts.TensorStore:
    return ts.open({"driver": "zarr", "kvstore": f"file://{path}/", **more}).result()


def sample(kind: np.dtype[Any], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind.names:
        out = np.zeros(SHAPE, kind)
        for i, name in enumerate(kind.names):
            part = [
                sample(kind[name].base, seed + i + k) for k in range(int(np.prod(kind[name].shape)))
            ]
            out[name] = np.stack(part, -1).reshape(*SHAPE, *kind[name].shape)
        return out
    if kind.kind in "US":
        return rng.choice(["", "a", "bc"], SHAPE).astype(kind)
    if kind.kind == "V":
        return rng.integers(0, 256, (*SHAPE, kind.itemsize), np.uint8).view(kind)[..., 0]
    if kind.kind == "f":
        return rng.normal(0, 100, SHAPE).astype(kind)
    if kind.kind == "b":
        return rng.integers(0, 2, SHAPE) == 1
    return rng.integers(0, 100, SHAPE).astype(kind)


def codec(id_: str, **members: Any) -> dict[str, Any]:
    return {"id": id_, **members}


BLOSC = codec("blosc", cname="lz4", clevel=5, shuffle=-1, blocksize=0)
SCALED = codec("fixedscaleoffset", scale=10, offset=0, dtype="<f8", astype="<i4")
LABELED = codec("categorize", labels=["a", "bc"], dtype="<U2", astype="|u1")
SHORT = codec("astype", encode_dtype="<i2", decode_dtype="<i4")
RAW_LZMA = codec("lzma", format=3, filters=[{"id": 33, "preset": 1}])
FILTERS: list[tuple[str, list[dict[str, Any]], dict[str, Any] | None]] = [
    ("<i4", [codec("delta", dtype="<i4")], codec("zlib", level=1)),
    ("<i4", [codec("delta", dtype="<i4", astype="<i2")], codec("lz4", acceleration=1)),
    (">i4", [codec("delta", dtype=">i4")], BLOSC),
    ("<f8", [SCALED], codec("gzip", level=1)),
    ("<f4", [codec("quantize", digits=2, dtype="<f4")], codec("zstd", level=1)),
    ("<f4", [codec("bitround", keepbits=5)], codec("bz2", level=1)),
    ("<i4", [SHORT, codec("shuffle", elementsize=2)], None),
    ("|b1", [codec("packbits")], codec("zlib", level=9)),
    ("<U2", [LABELED], None),
    ("<u2", [codec("crc32"), codec("adler32"), codec("fletcher32")], None),
    (
        "<u2",
        [codec("jenkins_lookup3"), codec("crc32c", location="start"), codec("base64")],
        codec("lzma"),
    ),
    ("<u2", [codec("delta", dtype="<u2"), codec("zlib", level=1)], RAW_LZMA),
    ("<f8", [], codec("pcodec")),
    ("<f8", [], codec("zfpy", mode=4, tolerance=0.001)),
    ("<i4", [codec("delta", dtype="<i4")], codec("pcodec")),
]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("dtype", "filters", "compressor"), FILTERS)
def test_filters_and_compressors(
    tmp_path: Path, dtype: str, filters: list[Any], compressor: Any, order: str
) -> None:
    ids = [each["id"] for each in [*filters, compressor or {"id": ""}]]
    if "zfpy" in ids or "bitround" in ids:
        # numcodecs refuses F order with one, and loses it with the other.
        order = "C"
    kind = np.dtype(dtype)
    data = sample(kind)
    found = document(dtype=dtype, filters=filters, compressor=compressor, order=order)
    store_by_numcodecs(tmp_path, found, data)
    expected = load_by_numcodecs(tmp_path, kind)
    store = opened(tmp_path)
    assert store.read().result().tobytes() == expected.astype(kind.newbyteorder("=")).tobytes()
    # What we write, numcodecs reads as what it would have written.
    other = sample(kind, 7)
    store.write(other.astype(kind.newbyteorder("="))).result()
    ours = load_by_numcodecs(tmp_path, kind)
    store_by_numcodecs(tmp_path, found, other)
    expected = load_by_numcodecs(tmp_path, kind)
    # What is beyond the edge of the array changes what zfpy loses.
    assert ours.tobytes() == expected.tobytes() or (
        "zfpy" in ids and np.allclose(ours, expected, atol=0.01)
    )
    assert store.spec().to_json()["metadata"]["filters"] == (filters or None)


@pytest.mark.parametrize("kind", [RECORD, SUBARRAYS, np.dtype("<U3"), np.dtype(">U3"),
                                  np.dtype("<M8[10us]"), np.dtype(">m8[D]")], ids=str)  # fmt: skip
@pytest.mark.parametrize("order", ["C", "F"])
def test_records_text_and_times(tmp_path: Path, kind: np.dtype[Any], order: str) -> None:
    data = sample(kind)
    found = document(dtype=described(kind), order=order, compressor={"id": "zlib", "level": 1})
    store_by_numcodecs(tmp_path, found, data)
    store = opened(tmp_path)
    native = store.dtype.numpy_dtype
    assert native.isnative or native.names
    assert store.read().result().tobytes() == data.astype(native).tobytes()
    other = sample(kind, 3)
    store.write(other.astype(native)).result()
    assert load_by_numcodecs(tmp_path, kind).tobytes() == other.tobytes()
    store[1, 2].write(data[0, 0].astype(native)).result()
    other[1, 2] = data[0, 0]
    assert load_by_numcodecs(tmp_path, kind).tobytes() == other.tobytes()
    assert store.spec().to_json()["metadata"]["dtype"] == described(kind)


@pytest.mark.parametrize(
    "kind", [FLAT, np.dtype("U3"), np.dtype("M8[us]"), np.dtype("S4")], ids=str
)
def test_with_zarr_python(tmp_path: Path, kind: np.dtype[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = zarr.create_array(tmp_path, shape=SHAPE, chunks=CHUNK, dtype=kind, zarr_format=2)
        empty = peer[:]
    native = kind.newbyteorder("=") if kind.kind != "S" else kind
    store = opened(tmp_path)
    assert store.read().result().tobytes() == empty.astype(native).tobytes()
    data = sample(kind)
    peer[:] = data
    assert store.read().result().tobytes() == data.astype(native).tobytes()
    if kind.kind == "S":
        return
    (tmp_path / "ours").mkdir()
    made = ts.open(
        {"driver": "zarr", "kvstore": f"file://{tmp_path}/ours/"},
        create=True,
        dtype=kind,
        shape=SHAPE,
    ).result()
    made.write(data.astype(native)).result()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (zarr.open_array(tmp_path / "ours", mode="r")[:] == data).all()


TEXTS = np.array(["", "a", "äö€", "x" * 300, "q"], object)[np.arange(30) % 5].reshape(SHAPE)
BYTES = np.array([b"", b"a", b"\0\xff"], object)[np.arange(30) % 3].reshape(SHAPE)
VALUES = np.empty(SHAPE, object)
for _k, _cell in enumerate(np.ndindex(SHAPE)):
    VALUES[_cell] = [None, 1, "a", {"b": [1, 2.5]}, True, [[]]][_k % 6]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("filter_", "data", "name"),
    [
        ({"id": "vlen-utf8"}, TEXTS, "ustring"),
        ({"id": "vlen-bytes"}, BYTES, "string"),
        ({"id": "json2"}, VALUES, "json"),
        (
            {"id": "categorize", "labels": ["a", "q"], "dtype": "|O", "astype": "|u1"},
            TEXTS,
            "ustring",
        ),
    ],
)
def test_objects(tmp_path: Path, filter_: Any, data: np.ndarray, name: str, order: str) -> None:
    if name == "json" and order == "F":
        # numcodecs and zarr-python do not agree with themselves about it.
        order = "C"
    found = document(
        dtype="|O",
        filters=[filter_, {"id": "crc32"}],
        order=order,
        compressor={"id": "zstd", "level": 1},
    )
    store_by_numcodecs(tmp_path, found, data)
    store = opened(tmp_path)
    assert store.dtype.name == name
    expected = data
    if filter_["id"] == "categorize":
        expected = np.where((data == "a") | (data == "q"), data, "")
    assert (store.read().result() == expected).all()
    store[1:4, 2:].write(expected[0:3, 2:]).result()
    expected = expected.copy()
    expected[1:4, 2:] = expected[0:3, 2:].copy()
    assert (opened(tmp_path).read().result() == expected).all()
    if name != "json":
        assert (load_by_numcodecs(tmp_path, np.dtype(object)) == expected).all()


@pytest.mark.parametrize(("name", "data"), [("string", TEXTS), ("variable_length_bytes", BYTES)])
def test_strings_with_zarr_python(tmp_path: Path, name: str, data: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind: Any = name if name == "string" else zarr.dtype.VariableLengthBytes()
        peer = zarr.create_array(
            tmp_path / "z", shape=SHAPE, chunks=CHUNK, dtype=kind, zarr_format=2
        )
        peer[:] = data
    assert (opened(tmp_path / "z").read().result() == data).all()
    ours = ts.open(
        {"driver": "zarr", "kvstore": f"file://{tmp_path}/o/"},
        create=True, dtype="ustring" if name == "string" else "string", shape=SHAPE,
    ).result()  # fmt: skip
    ours.write(data).result()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (zarr.open_array(tmp_path / "o", mode="r")[:] == data).all()


def zarray(path: Path, **members: Any) -> ts.TensorStore:
    path.mkdir(parents=True, exist_ok=True)
    (path / ".zarray").write_text(json.dumps(document(**members)))
    return opened(path)


STRUCT = [["a", "<i2"], ["b", ">i4"]]
FILL = base64.b64encode(np.array((1, 2), [("a", "<i2"), ("b", ">i4")]).tobytes()).decode()


@pytest.mark.parametrize(
    ("dtype", "fill", "found"),
    [
        ("|S3", "", [b""] * 3), ("|S3", "YWI=", [b"a", b"b", b""]), ("|S3", 0, [b""] * 3),
        ("|S3", None, [b""] * 3), ("<U3", "ab", "ab"), ("<U3", "", ""), ("<U3", 0, ""),
        ("<M8[s]", "NaT", np.datetime64("NaT", "s")), ("<M8[s]", 5, np.datetime64(5, "s")),
        (STRUCT, FILL, (1, 2)), (STRUCT, 0, (0, 0)), (STRUCT, None, (0, 0)),
        (STRUCT, {"a": 3, "b": 4}, (3, 4)), ("<c8", [1.0, 2.0], 1 + 2j), ("<f4", "NaN", np.nan),
        ("|b1", 0, False),
    ],
)  # fmt: skip
def test_fill_values(tmp_path: Path, dtype: Any, fill: Any, found: Any) -> None:
    store = zarray(tmp_path, dtype=dtype, fill_value=fill)
    value = store[0, 0].read().result()
    if isinstance(found, tuple):
        assert value.item() == found
    elif isinstance(found, list):
        assert value.tolist() == found
    else:
        np.testing.assert_equal(value[()], np.asarray(found, value.dtype)[()])
    again = store.spec().to_json()["metadata"]
    if fill not in (0, {"a": 3, "b": 4}) and dtype != "<M8[s]":
        expected = "AAAA" if (dtype, fill) == ("|S3", "") else fill
        expected = "YWIA" if fill == "YWI=" else expected
        assert again["fill_value"] == expected


@pytest.mark.parametrize(("filter_", "fill", "found"), [
    ("vlen-utf8", "x", "x"), ("vlen-utf8", None, ""), ("vlen-utf8", 0, ""),
    ("vlen-bytes", "eA==", b"x"), ("vlen-bytes", None, b""), ("vlen-bytes", 0, b""),
    ("json2", {"a": 1}, {"a": 1}), ("json2", None, None),
])  # fmt: skip
def test_fill_values_of_objects(tmp_path: Path, filter_: str, fill: Any, found: Any) -> None:
    store = zarray(tmp_path, dtype="|O", filters=[{"id": filter_}], fill_value=fill)
    assert store[0, 0].read().result().item() == found


def test_empty_and_missing_filters_are_none(tmp_path: Path) -> None:
    store = zarray(tmp_path, filters=[])
    assert store.spec().to_json()["metadata"]["filters"] is None
    ts.open(store.spec()).result()


def test_members_nobody_knows_are_kept(tmp_path: Path) -> None:
    store = zarray(
        tmp_path, compressor={"id": "zstd", "level": 1, "checksum": False, "window": 3},
        filters=[{"id": "delta", "dtype": "<i4", "color": "red"}], more=[1],
    )  # fmt: skip
    store.resize(exclusive_max=[7, 6]).result()
    found = json.loads((tmp_path / ".zarray").read_text())
    assert found["more"] == [1]
    assert found["compressor"] == {"id": "zstd", "level": 1}
    assert found["filters"] == [{"id": "delta", "dtype": "<i4"}]
    with pytest.raises(InvalidArgument, match="window"):
        opened(tmp_path, metadata={"compressor": {"id": "zstd", "window": 3}})


def test_what_a_spec_asks_of_filters(tmp_path: Path) -> None:
    asked = [{"id": "delta", "dtype": "<i4"}]
    spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/", "metadata": {
        "dtype": "<i4", "shape": [10], "filters": asked}}  # fmt: skip
    store = ts.open(spec, create=True).result()
    assert store.codec is not None
    assert store.codec.to_json()["filters"] == asked
    ts.open(spec).result()
    opened(tmp_path, schema={"codec": {"driver": "zarr", "filters": asked}})
    opened(tmp_path, schema={"codec": {"driver": "zarr", "filters": None}})
    for wrong in (None, [], [{"id": "delta", "dtype": "<i2"}], [*asked, *asked]):
        with pytest.raises(Error, match="filters"):
            opened(tmp_path, metadata={"filters": wrong})
    with pytest.raises(Error, match="filters"):
        opened(tmp_path, schema={"codec": {"driver": "zarr", "filters": [{"id": "crc32"}]}})


def test_nothing_that_runs_code_is_loaded(tmp_path: Path) -> None:
    for codec in ("pickle", "msgpack2", "vlen-array"):
        with pytest.raises(Unimplemented, match=codec):
            zarray(tmp_path, dtype="|O", filters=[{"id": codec}])
    with pytest.raises(Unimplemented, match="any code"):
        zarray(tmp_path, compressor={"id": "pickle"})


def test_lies_about_sizes_cost_no_memory(tmp_path: Path) -> None:
    huge = (2**31 - 1).to_bytes(4, "little") + b"\0" * 20
    zeros = numcodecs.zlib.Zlib(9).encode(bytes(50_000_000))
    twice = numcodecs.lzma.LZMA().encode(zeros)
    packed = {"id": "packbits"}
    cases: list[tuple[dict[str, Any], bytes]] = [
        ({"compressor": {"id": "lz4"}}, huge),
        ({"compressor": {"id": "zlib"}}, zeros),
        ({"filters": [{"id": "zlib"}], "compressor": {"id": "lzma"}}, twice),
        ({"dtype": "|b1", "filters": [packed]}, b"\7" + b"\xff" * 1000),
        ({"dtype": "|O", "filters": [{"id": "vlen-utf8"}]}, huge),
        ({"dtype": "|O", "filters": [{"id": "json2"}]}, b"[" * 100_000),
        ({"dtype": "|O", "filters": [{"id": "json2"}]}, b'[1,"|O",[1000000000,4]]'),
        ({"dtype": "<f8", "compressor": {"id": "pcodec"}}, b"pco!" + b"\xff" * 30),
        ({"dtype": "<f8", "compressor": {"id": "zfpy"}}, b"zfp\x05" + b"\xff" * 30),
    ]  # fmt: skip
    for k, (members, value) in enumerate(cases):
        path = tmp_path / str(k)
        store = zarray(path, **members)
        (path / "0.0").write_bytes(value)
        with pytest.raises(DataLoss):
            store.read().result()


@pytest.mark.parametrize(("dtype", "filters", "compressor"), FILTERS)
def test_damaged_chunks_are_typed_errors(
    tmp_path: Path, dtype: str, filters: list[Any], compressor: Any
) -> None:
    kind = np.dtype(dtype)
    store_by_numcodecs(
        tmp_path, document(dtype=dtype, filters=filters, compressor=compressor), sample(kind)
    )
    good = (tmp_path / "0.0").read_bytes()
    store = opened(tmp_path, recheck_cached_data=True)
    rng = np.random.default_rng(len(good))
    for k in range(40):
        bad = bytearray(good)
        if k % 2:
            bad = bad[: int(rng.integers(0, len(bad)))]
        else:
            bad[int(rng.integers(0, len(bad)))] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "0.0").write_bytes(bytes(bad))
        with contextlib.suppress(DataLoss):
            store[:2, :4].read().result()


def test_codecs_that_are_not_known_are_named_with_those_that_are() -> None:
    spec = {"driver": "zarr2", "kvstore": "memory://", "metadata": {"compressor": {"id": "zst"}}}
    with pytest.raises(ValueError, match="did you mean 'zstd'"):
        ts.Spec(spec)
    spec["metadata"] = {"filters": [{"id": "pickle"}]}
    with pytest.raises(ValueError, match="it can run any code"):
        ts.Spec(spec)
    spec["metadata"] = {"compressor": {"id": "qqqqqq"}}
    with pytest.raises(ValueError, match="known are 'adler32'") as caught:
        ts.Spec(spec)
    for other in ("sharding_indexed", "transpose", "msgpack2", "pickle"):
        assert other not in str(caught.value)

"""The codecs of zarr v3 beyond the core: golden bytes from their specifications, and the peers."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.chunked.compression.numcodecs_filters import NumcodecsFilter
from asynctensor.chunked.compression.numcodecs_spec import Numcodec
from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.errors import DataLoss, Error, InvalidArgument, Unimplemented

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


def made(data_type: Any, shape: list[int], codecs: list[Any], fill: Any = 0) -> Any:
    """The layout of an array with one chunk of `shape`."""
    document = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": "default", "fill_value": fill, "codecs": codecs,
    }  # fmt: skip
    return Zarr3Format().layout(Zarr3Format().parse(json.dumps(document).encode()))


def encoded(data_type: Any, values: Any, codecs: list[Any], fill: Any = 0) -> bytes:
    """The bytes for `values`, which must decode to `values` again."""
    layout = made(data_type, [*np.shape(values)], codecs, fill)
    chunk = np.array(values, layout.dtype)
    data = bytes(layout.codec.encode(chunk))
    assert layout.codec.decode(data).tobytes() == chunk.tobytes()
    out = np.zeros_like(chunk)
    assert layout.codec.decode(data, out) is out
    assert out.tobytes() == chunk.tobytes()
    return data


# -- packbits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_type", "values", "configuration", "expected"),
    [
        ("bool", [1, 0, 1, 1, 0, 0, 0, 0, 1], {}, [0b00001101, 1]),
        ("bool", [1, 0, 1], {"padding_encoding": "first_byte"}, [5, 0b101]),
        ("bool", [1, 0, 1], {"padding_encoding": "last_byte"}, [0b101, 5]),
        ("int2", [1, -1, -2, 0], {}, [0b00101101]),
        ("uint4", [1, 15, 7], {}, [0xF1, 0x07]),
        ("int4", [-1, 7], {}, [0x7F]),
        ("float6_e2m3fn", [1.0, 1.0, 1.0, 1.0], {}, [0x08, 0x82, 0x20]),
        ("uint16", [0x0100, 0x0FF0], {"first_bit": 4, "last_bit": 11}, [0x10, 0xFF]),
        ("int16", [-16, 16], {"first_bit": 4, "last_bit": 7}, [0x1F]),
        ("int32", [1, -2], {}, [1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]),
        ("int64", [2**40], {"first_bit": 40, "last_bit": 42}, [1]),
    ],
)  # fmt: skip
def test_packbits_by_hand(
    data_type: str, values: list[Any], configuration: dict[str, Any], expected: list[int]
) -> None:
    found = encoded(data_type, values, [codec("packbits", **configuration)])
    assert [*found] == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_packbits_of_any_width(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 2, 4, 8]))
    signed = data.draw(st.booleans())
    first = data.draw(st.integers(0, size * 8 - 1))
    last = data.draw(st.integers(first, size * 8 - 1))
    kind = np.dtype(f"{'i' if signed else 'u'}{size}")
    raw = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
    width = last - first + 1
    values = []
    for number in raw:
        kept = number % 2**width
        if signed and kept >= 2 ** (width - 1):
            kept -= 2**width
        values.append(kept << first)
    bits = {"first_bit": first, "last_bit": last}
    found = encoded(kind.name, np.array(values, kind), [codec("packbits", **bits)])
    whole = sum((value >> first) % 2**width << (i * width) for i, value in enumerate(values))
    assert int.from_bytes(found, "little") == whole
    assert len(found) == (width * len(values) + 7) // 8


def test_packbits_of_damaged_padding() -> None:
    layout = made("bool", [3], [codec("packbits", padding_encoding="first_byte")])
    for bad in (b"\4\5", b"\5", b"\5\5\5", b""):
        with pytest.raises(DataLoss):
            layout.codec.decode(bad)


# -- array to array -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "keepbits"), [([0b1011, 0b1101, 0b1111, 5, 0, 1], 2), ([-11, 127, -128], 1)]
)
def test_bitround_of_integers(values: list[int], keepbits: int) -> None:
    layout = made("int8", [len(values)], [codec("bitround", keepbits=keepbits), "bytes"])
    found = np.frombuffer(layout.codec.encode(np.array(values, np.int8)), np.int8).tolist()
    # Half rounds up; what would be beyond the type is cut off.
    assert found == [_bitround(value, keepbits) for value in values]


def _bitround(value: int, keepbits: int) -> int:
    size = abs(value)
    dropped = max(size.bit_length() - keepbits, 0)
    rounded = (size + ((1 << dropped) >> 1)) >> dropped << dropped
    if not -128 <= (rounded if value >= 0 else -rounded) <= 127:
        rounded = size >> dropped << dropped
    return rounded if value >= 0 else -rounded


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_bitround_is_that_of_numcodecs(name: str) -> None:
    values = np.random.default_rng(1).normal(0, 1e3, 500).astype(name)
    values[:4] = [0, np.inf, -np.inf, -0.0]
    ours = made(name, [500], [codec("bitround", keepbits=4), LITTLE]).codec.encode(values)
    theirs = NumcodecsFilter(
        Numcodec.of("bitround", {"keepbits": 4}), (500,), np.dtype(name)
    ).encode(values)
    assert bytes(ours) == theirs.tobytes()


@pytest.mark.parametrize(
    ("shape", "sizes", "expected"),
    [
        ([2, 3, 4], [[0, 1], 4], (6, 4)),
        ([2, 3, 4], [-1], (24,)),
        ([2, 3, 4], [[0], 2, 6], (2, 2, 6)),
        ([2, 3, 4], [[0], [1], [2]], (2, 3, 4)),
        ([6], [2, 3, 1], (2, 3, 1)),
    ],
)
def test_reshape(shape: list[int], sizes: list[Any], expected: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    chain = [codec("reshape", shape=sizes), codec("transpose", order="F"), LITTLE]
    found = encoded("int32", values, chain)
    assert found == values.reshape(expected).T.tobytes()


@pytest.mark.parametrize("sizes", [
    [5], [[1], [0], [2]], [[0, 2], 3], [7, -1], [-1, -1], [[3]], [0], [2, [0]], [4, [1], 2], "x",
])  # fmt: skip
def test_reshape_that_does_not_fit(sizes: Any) -> None:
    with pytest.raises(DataLoss, match="shape"):
        made("int32", [2, 3, 4], [codec("reshape", shape=sizes), LITTLE])


def test_scale_offset() -> None:
    chain = [codec("scale_offset", offset=5, scale=3), LITTLE]
    assert encoded("int16", [5, 6, 4], chain) == np.array([0, 3, -3], "<i2").tobytes()
    chain = [codec("scale_offset", offset=-1.0, scale=0.5), LITTLE]
    assert encoded("float32", [1, 3], chain) == np.array([1, 2], "<f4").tobytes()
    chain = [codec("scale_offset", offset=1), LITTLE]
    assert encoded("uint64", [2**64 - 1, 1], chain) == np.array([2**64 - 2, 0], "<u8").tobytes()
    layout = made("uint8", [1], [codec("scale_offset", offset=3, scale=2), "bytes"], 3)
    for wrong in (0, 255):
        with pytest.raises(InvalidArgument, match="outside"):
            layout.codec.encode(np.array([wrong], np.uint8))
    with pytest.raises(DataLoss, match="multiple"):
        layout.codec.decode(b"\3")
    with pytest.raises(DataLoss, match="scale"):
        made("uint8", [1], [codec("scale_offset", scale=0), "bytes"])


F4_MAX = 3.4028234663852886e38
CASTS = [
    ("nearest-even", [-2, -2, 0, 0, 1, 2, 2]),
    ("towards-zero", [-2, -1, 0, 0, 1, 1, 2]),
    ("towards-positive", [-2, -1, 0, 1, 1, 2, 3]),
    ("towards-negative", [-3, -2, -1, 0, 1, 1, 2]),
    ("nearest-away", [-3, -2, -1, 0, 1, 2, 3]),
]


@pytest.mark.parametrize(("rounding", "expected"), CASTS)
def test_casts_round(rounding: str, expected: list[int]) -> None:
    values = np.array([-2.5, -1.5, -0.5, 0.49999999999999994, 1.0, 1.5, 2.5])
    chain = [codec("cast_value", data_type="int8", rounding=rounding), "bytes"]
    layout = made("float64", [len(values)], chain)
    found = np.frombuffer(layout.codec.encode(values), np.int8).tolist()
    assert found == expected


@pytest.mark.parametrize(
    ("source", "target", "mode", "values", "expected"),
    [
        ("int16", "uint8", "clamp", [-5, 300, 7], [0, 255, 7]),
        ("int16", "uint8", "wrap", [-5, 300, 7], [251, 44, 7]),
        ("int64", "int8", "wrap", [130, -129, 2**40 + 1], [-126, 127, 1]),
        ("uint64", "int64", "wrap", [2**64 - 1, 2**63], [-1, -(2**63)]),
        ("uint64", "int64", "clamp", [2**64 - 1, 5], [2**63 - 1, 5]),
        ("float64", "uint8", "clamp", [np.inf, -np.inf, 1e30, -3], [255, 0, 255, 0]),
        ("float64", "uint8", "wrap", [257, -1, 2.0**60 + 256], [1, 255, 0]),
        ("float64", "int64", "clamp", [1e19, -1e19], [2**63 - 1, -(2**63)]),
        ("float64", "int4", "wrap", [9, -9], [-7, 7]),
        ("float64", "float32", "clamp", [1e300, -1e300, 1], [F4_MAX, -F4_MAX, 1]),
        ("float64", "float8_e4m3fn", "clamp", [1e9, -1e9, 449], [448, -448, 448]),
        ("int16", "float16", "error", [2049, -1], [2048, -1]),
    ],
)  # fmt: skip
def test_casts_out_of_range(
    source: str, target: str, mode: str, values: list[Any], expected: list[Any]
) -> None:
    chain = [codec("cast_value", data_type=target, out_of_range=mode), LITTLE]
    layout = made(source, [len(values)], chain)
    kind = ts.dtype(target).numpy_dtype
    found = np.frombuffer(layout.codec.encode(np.array(values, source)), np.uint8).view(kind)
    assert found.astype(object).tolist() == np.array(expected, kind).astype(object).tolist()


@pytest.mark.parametrize(
    ("source", "target", "mode", "value"),
    [
        ("int16", "uint8", None, 256), ("int16", "uint8", "error", -1),
        ("float64", "int8", "clamp", np.nan), ("float64", "int8", "wrap", np.inf),
        ("float64", "float16", None, 1e6), ("float64", "float6_e2m3fn", "clamp", np.nan),
        ("float32", "float4_e2m1fn", None, np.inf), ("float64", "uint64", None, 2.0**64),
    ],
)  # fmt: skip
def test_casts_that_fail(source: str, target: str, mode: str | None, value: Any) -> None:
    more = {} if mode is None else {"out_of_range": mode}
    layout = made(source, [1], [codec("cast_value", data_type=target, **more), LITTLE])
    with pytest.raises(InvalidArgument, match="cast_value"):
        layout.codec.encode(np.array([value], source))


@pytest.mark.parametrize(
    "target", ["float32", "float16", "bfloat16", "float8_e5m2", "float4_e2m1fn"]
)
@pytest.mark.parametrize("rounding", [each for each, _ in CASTS])
def test_casts_to_floats_go_the_right_way(target: str, rounding: str) -> None:
    kind = ts.dtype(target).numpy_dtype
    values = np.random.default_rng(2).normal(0, 1.5, 300)
    values[:6] = [0.0, 0.25, -0.25, 1.0, 0.1, -0.1]
    chain = [codec("cast_value", data_type=target, rounding=rounding, out_of_range="clamp"), LITTLE]
    layout = made("float64", [300], chain)
    found = np.frombuffer(layout.codec.encode(values), np.uint8).view(kind).astype(np.float64)
    exact = np.clip(values, -float(ml_dtypes.finfo(kind).max), float(ml_dtypes.finfo(kind).max))
    if rounding == "towards-zero":
        assert (np.abs(found) <= np.abs(exact)).all()
    elif rounding == "towards-positive":
        assert (found >= exact).all()
    elif rounding == "towards-negative":
        assert (found <= exact).all()
    nearest = np.abs(exact.astype(kind).astype(np.float64) - exact)
    assert (np.abs(found - exact) >= nearest).all()
    if rounding.startswith("nearest"):
        assert (np.abs(found - exact) == nearest).all()


def test_casts_by_a_map() -> None:
    scalars = {"encode": [["NaN", 255], [7.0, 1]], "decode": [[255, "NaN"], [1, 7.0]]}
    chain = [codec("cast_value", data_type="uint8", scalar_map=scalars), "bytes"]
    assert [*encoded("float32", [np.nan, 7, 2], chain, "NaN")] == [255, 1, 2]


def test_the_fill_value_goes_down_the_chain() -> None:
    shard = codec("sharding_indexed", chunk_shape=[1], codecs=["bytes"], index_codecs=[LITTLE])
    chain = [
        codec("scale_offset", offset=10.0, scale=2.0),
        codec("cast_value", data_type="uint8"),
        shard,
    ]
    layout = made("float32", [3], chain, 11.0)
    data = bytes(layout.codec.encode(np.array([11, 12, 11], np.float32)))
    # Only the middle is stored: 2, the encoded fill value, is left out.
    assert data[:1] == b"\4"
    assert len(data) == 1 + 3 * 16
    assert layout.codec.decode(data).tolist() == [11, 12, 11]
    with pytest.raises(DataLoss, match="cast_value"):
        made("float32", [3], chain, 1000.0)


# -- numcodecs' family --------------------------------------------------------------------------

STEPS = [
    ("adler32", {}), ("blosc", {"cname": "zstd", "clevel": 3, "shuffle": 1}), ("bz2", {"level": 2}),
    ("crc32", {}), ("crc32c", {}), ("fletcher32", {}), ("gzip", {"level": 1}),
    ("jenkins_lookup3", {}), ("lz4", {}), ("lzma", {"preset": 1}), ("shuffle", {"elementsize": 4}),
    ("zlib", {"level": 1}), ("zstd", {"level": 1}),
]  # fmt: skip
ARRAYS = [
    ("delta", {"dtype": "<f4"}), ("quantize", {"digits": 1, "dtype": "<f4"}),
    ("fixedscaleoffset", {"scale": 4, "offset": 1, "dtype": "<f4", "astype": "<i2"}),
    ("astype", {"encode_dtype": "<f8", "decode_dtype": "<f4"}), ("bitround", {"keepbits": 23}),
]  # fmt: skip
SERIALIZERS: list[tuple[str, dict[str, Any]]] = [
    ("pcodec", {"level": 4}),
    ("zfpy", {"mode": 4, "tolerance": 0.001}),
]


def family() -> list[tuple[str, list[Any]]]:
    chains = [(name, [LITTLE, codec(f"numcodecs.{name}", **c)]) for name, c in STEPS]
    chains += [(name, [codec(f"numcodecs.{name}", **c), LITTLE]) for name, c in ARRAYS]
    return chains + [(name, [codec(f"numcodecs.{name}", **c)]) for name, c in SERIALIZERS]


@pytest.mark.parametrize(("name", "chain"), family(), ids=[name for name, _ in family()])
def test_numcodecs_both_ways_with_zarr_python(tmp_path: Path, name: str, chain: list[Any]) -> None:
    for each in chain:
        # Zarr-python wants the member.
        each.setdefault("configuration", {})
    metadata = {
        "shape": [5, 6], "data_type": "float32", "fill_value": 0, "codecs": chain,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 4]}},
    }  # fmt: skip
    store = ts.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/", "metadata": metadata}, create=True
    ).result()
    data = np.arange(30, dtype=np.float32).reshape(5, 6) / 4
    store.write(data).result()
    found = store.read().result()
    if name not in ("quantize", "zfpy"):
        assert (found == data).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = zarr.open_array(tmp_path, mode="r+")
        assert (peer[:] == found).all()
        peer[:] = data[::-1]
        assert (store.read().result() == peer[:]).all()


@pytest.mark.parametrize("name", [name for name, _ in STEPS if name not in (
    "blosc", "gzip", "zstd", "crc32c")])  # fmt: skip
def test_numcodecs_without_prefix_and_configuration(name: str) -> None:
    bare = [made("uint16", [4], [LITTLE, each]) for each in (
        name, {"name": name}, f"numcodecs.{name}", codec(name, id=name))]  # fmt: skip
    results = {bytes(layout.codec.encode(np.arange(4, dtype=np.uint16))) for layout in bare}
    assert len(results) == 1


def test_packbits_of_numcodecs_is_another() -> None:
    values = [True, False, True]
    assert [*encoded("bool", values, ["numcodecs.packbits", "bytes"])] == [5, 0b10100000]


@pytest.mark.parametrize("library", ["pcodec", "zfpy"])
def test_an_extra_that_is_missing_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Unimplemented, match=r"asynctensor\[codecs\]"):
        made("float32", [4], [f"numcodecs.{library}"])


@pytest.mark.parametrize("chain", [
    [LITTLE, codec("numcodecs.zlib", level=77)], [LITTLE, codec("numcodecs.zlib", lever=7)],
    [codec("numcodecs.delta", dtype="<i2"), LITTLE], [codec("numcodecs.delta", dtype="|O"), LITTLE],
    [codec("numcodecs.astype", encode_dtype=">f8"), LITTLE], [codec("numcodecs.astype"), LITTLE],
    [LITTLE, "numcodecs.delta"], ["numcodecs.zlib", LITTLE], ["numcodecs.packbits", LITTLE],
    [codec("bitround"), LITTLE], [codec("bitround", keepbits=0), LITTLE], ["vlen-utf8"],
    [codec("packbits", first_bit=3, last_bit=2)], [codec("packbits", last_bit=32)],
    [codec("cast_value"), LITTLE], [codec("cast_value", data_type="string"), LITTLE],
    [codec("cast_value", data_type="float32", out_of_range="wrap"), LITTLE],
    [codec("cast_value", data_type="int8", rounding="up"), LITTLE],
    [codec("cast_value", data_type="int8", scalar_map={"encode": [[1]]}), LITTLE],
    [codec("cast_value", data_type="int8", scalar_map={"encode": [[1, 1000]]}), LITTLE],
    [codec("scale_offset", offset="x"), LITTLE], [codec("scale_offset", more=1), LITTLE],
    [LITTLE, "bytes"], [LITTLE, codec("reshape", shape=[24])], [LITTLE] * 2, ["bytes"],
    [LITTLE, codec("numcodecs.lzma", format=3)], [LITTLE, *["crc32c"] * 100],
    [LITTLE, codec("numcodecs.lzma", format=3, filters=[{"id": 33, "dict_size": 2**40}])],
], ids=json.dumps)  # fmt: skip
def test_chains_that_do_not_fit(chain: list[Any]) -> None:
    with pytest.raises((DataLoss, Unimplemented)) as caught:
        made("float32", [4, 6], chain)
    assert "codecs" in str(caught.value)


# -- nested shards ------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [("end", "end"), ("start", "end"), ("end", "start")])
@pytest.mark.parametrize("inner", [[LITTLE], [codec("transpose", order=[1, 0]), LITTLE, "crc32c"]])
def test_nested_shards(tmp_path: Path, places: tuple[str, str], inner: list[Any]) -> None:
    index = [LITTLE, codec("crc32c")]
    low = codec("sharding_indexed", chunk_shape=[2, 3], codecs=inner, index_codecs=index,
                index_location=places[1])  # fmt: skip
    high = codec("sharding_indexed", chunk_shape=[4, 6], codecs=[low], index_codecs=index,
                 index_location=places[0])  # fmt: skip
    metadata = {
        "shape": [17, 25], "data_type": "int32", "fill_value": -1, "codecs": [high],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 12]}},
    }  # fmt: skip
    store = ts.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/", "metadata": metadata}, create=True
    ).result()
    data = np.arange(17 * 25, dtype=np.int32).reshape(17, 25)
    data[:8, 3:9] = -1
    store.write(data).result()
    assert (store.read().result() == data).all()
    assert (store[3:15:2, 5].read().result() == data[3:15:2, 5]).all()
    store[5, 7:19] = 3
    data[5, 7:19] = 3
    assert (store.read().result() == data).all()
    assert (store.vindex[[0, 16, 5], [24, 0, 7]].read().result() == [24, 400, 3]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = zarr.open_array(tmp_path, mode="r+")
        assert (peer[:] == data).all()
        peer[0:9, 0:13] = 5
    data[0:9, 0:13] = 5
    assert (store.read().result() == data).all()
    assert store.chunk_layout.read_chunk.shape == (2, 3)


# -- fuzz -----------------------------------------------------------------------------------------

FUZZED = [
    ("string", ["vlen-utf8", codec("zstd")]), ("bytes", ["vlen-bytes"]),
    ("bool", [codec("packbits", padding_encoding="last_byte")]),
    ("float32", [codec("scale_offset", offset=1, scale=2), codec("cast_value", data_type="int8",
                 out_of_range="clamp"), "bytes", "numcodecs.lz4"]),
    ("int16", ["numcodecs.pcodec"]), ("float64", ["numcodecs.zfpy"]),
    ("float32", ["numcodecs.delta", LITTLE, "numcodecs.lzma", "numcodecs.fletcher32"]),
    ("string", [codec("sharding_indexed", chunk_shape=[2], codecs=["vlen-utf8"],
                      index_codecs=[LITTLE])]),
]  # fmt: skip


@pytest.mark.parametrize(("data_type", "chain"), FUZZED, ids=lambda each: json.dumps(each)[:40])
def test_damaged_chunks_are_typed_errors(data_type: str, chain: list[Any]) -> None:
    layout = made(data_type, [8], chain, {"string": "", "bytes": ""}.get(data_type, 1))
    values: Any = np.arange(8)
    if layout.dtype.hasobject:
        values = [("x" if data_type == "string" else b"x") * k for k in range(8)]
    good = bytes(layout.codec.encode(np.array(values, layout.dtype)))
    rng = np.random.default_rng(len(good))
    for k in range(400):
        bad = bytearray(good)
        for _ in range(k % 3 + 1):
            bad[int(rng.integers(0, len(bad)))] ^= 1 << int(rng.integers(0, 8))
        if k % 4 == 0:
            bad = bad[: int(rng.integers(0, len(bad)))]
        with contextlib.suppress(DataLoss):
            found = layout.codec.decode(bytes(bad))
            assert found.shape == (8,)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip
NAMES = [name for name, _ in STEPS + ARRAYS + SERIALIZERS]
MEMBERS = ["endian", "order", "shape", "keepbits", "offset", "scale", "data_type", "rounding",
           "out_of_range", "scalar_map", "first_bit", "last_bit", "padding_encoding", "dtype",
           "astype", "level", "chunk_shape", "codecs", "index_codecs", "index_location",
           "encode_dtype", "digits", "filters", "format", "typesize", "fields", "length_bytes",
           "unit", "scale_factor"]  # fmt: skip
CODEC = st.builds(
    lambda name, prefix, members: {"name": prefix + name, "configuration": members},
    st.sampled_from([*NAMES, "bytes", "transpose", "reshape", "bitround", "packbits", "vlen-utf8",
                     "cast_value", "scale_offset", "sharding_indexed", "vlen-bytes"]),
    st.sampled_from(["", "numcodecs."]),
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3),
)  # fmt: skip
DATA_TYPE = st.one_of(
    st.sampled_from(["int8", "float32", "string", "bytes", "r16", "uint4", "complex_bfloat16"]),
    st.builds(
        lambda name, members: {"name": name, "configuration": members},
        st.sampled_from(["struct", "structured", "numpy.datetime64", "fixed_length_utf32",
                         "raw_bytes", "null_terminated_bytes"]),
        st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3),
    ),
    JSON,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(DATA_TYPE, st.lists(CODEC | JSON, max_size=3), JSON)
def test_metadata_of_any_kind_is_read_or_a_typed_error(
    data_type: Any, chain: list[Any], fill: Any
) -> None:
    for codecs in (chain, [*chain, LITTLE], [LITTLE, *chain]):
        with contextlib.suppress(Error):
            made(data_type, [2, 3], codecs, fill)

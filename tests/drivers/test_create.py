"""Creating and checking metadata, with tensorstore as the oracle."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tensorstore as ts

from asynctensor.chunked.format import ArrayFormat
from asynctensor.drivers.n5.format import N5Format
from asynctensor.drivers.zarr2.format import Zarr2Format
from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.schema.schema import Schema

FORMATS: dict[str, ArrayFormat[Any]] = {
    "zarr3": Zarr3Format(),
    "zarr2": Zarr2Format(),
    "n5": N5Format(),
}
U2: dict[str, Any] = {"dtype": "uint16", "domain": {"shape": [100, 100]}}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


def shard(**configuration: Any) -> dict[str, Any]:
    return codec("sharding_indexed", **configuration)


def layout(**constraints: Any) -> dict[str, Any]:
    return {**U2, "chunk_layout": constraints}


GZIP, TRANSPOSE = codec("gzip"), codec("transpose", order=[1, 0])
WRITE, READ = {"shape": [64, 64]}, {"shape": [16, 32]}

#: Driver, metadata constraints, schema; both libraries must do the same.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(
        (driver, {}, {"dtype": "uint16", "domain": {"shape": shape}})
        for driver in FORMATS
        for shape in ([], [0, 10], [1000, 2000, 3000], [2**40, 3])
    ),
    *(
        (driver, {}, {"dtype": dtype, "domain": {"shape": [3]}})
        for driver in FORMATS
        for dtype in ("bool", "bfloat16", "int4", "complex64", "float8_e5m2", "json", "char")
    ),
    # Codecs: what is left open.
    ("zarr3", {"codecs": [GZIP]}, U2),
    ("zarr3", {"codecs": [codec("zstd"), codec("crc32c")]}, U2),
    ("zarr3", {"codecs": [codec("blosc")]}, U2),
    ("zarr3", {"codecs": [codec("blosc")]}, {**U2, "dtype": "uint8"}),
    ("zarr3", {"codecs": [codec("blosc", shuffle="noshuffle")]}, U2),
    ("zarr3", {"codecs": [codec("transpose", order="F"), GZIP]}, U2),
    ("zarr3", {"codecs": [shard(chunk_shape=[10, 20])]}, U2),
    ("zarr3", {"codecs": [shard(chunk_shape=[10, 20], codecs=[GZIP])]}, U2),
    ("zarr3", {"codecs": [TRANSPOSE, shard(chunk_shape=[10, 20])]}, U2),
    ("zarr3", {"codecs": [shard(index_codecs=[codec("bytes", endian="big")])]}, U2),
    # Codecs: in metadata and schema.
    *(
        ("zarr3", {"codecs": a}, {**U2, "codec": {"driver": "zarr3", "codecs": b}})
        for a, b in (
            ([GZIP], [codec("gzip", level=2)]),
            ([codec("gzip", level=3)], [codec("gzip", level=2)]),
            ([GZIP], [codec("zstd")]),
            ([codec("bytes"), GZIP], [GZIP]),
            ([codec("transpose", order="F")], [TRANSPOSE]),
        )
    ),
    ("zarr3", {}, {**U2, "codec": {"driver": "zarr"}}),
    # Layouts.
    ("zarr3", {}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {}, layout(write_chunk=WRITE, read_chunk=READ, inner_order=[1, 0])),
    ("zarr3", {"codecs": [GZIP]}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {"codecs": [shard()]}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {"codecs": [shard(codecs=[GZIP])]}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {"codecs": [TRANSPOSE, shard()]}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {"codecs": [shard(codecs=[shard()])]}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("zarr3", {}, layout(write_chunk=WRITE, read_chunk={"shape": [16, 30]})),
    ("zarr3", {}, layout(inner_order=[1, 0])),
    ("zarr3", {}, layout(inner_order_soft_constraint=[1, 0])),
    ("zarr3", {"codecs": [GZIP]}, layout(inner_order=[1, 0])),
    ("zarr3", {"codecs": [TRANSPOSE]}, layout(inner_order=[0, 1])),
    ("zarr3", {}, layout(chunk={"shape": [-1, 5]})),
    ("zarr3", {}, layout(grid_origin=[1, 0])),
    ("zarr3", {}, layout(codec_chunk={"shape": [7, 7]})),
    (
        "zarr3",
        {"chunk_grid": codec("regular", chunk_shape=[6, 5])},
        layout(chunk={"shape": [5, 0]}),
    ),
    ("zarr2", {}, layout(inner_order=[1, 0])),
    ("zarr2", {"order": "C"}, layout(inner_order=[1, 0])),
    ("zarr2", {}, layout(read_chunk={"elements": 1000})),
    ("zarr2", {}, layout(write_chunk={"elements": 1000}, read_chunk={"elements": 100})),
    # Everything else.
    ("zarr3", {"shape": [10, 20], "data_type": "uint8"}, {"dtype": "uint16"}),
    ("zarr3", {"shape": [10, 20], "data_type": "uint8"}, {"domain": {"shape": [10, 21]}}),
    ("zarr3", {"shape": [10], "data_type": "uint8"}, {"domain": {"inclusive_min": [1]}}),
    ("zarr3", {"shape": [10]}, {}),
    ("zarr3", {"data_type": "uint8"}, {}),
    ("zarr3", {"data_type": "uint8", "fill_value": 3}, {"fill_value": 4, **U2, "dtype": "uint8"}),
    ("zarr3", {}, {**U2, "fill_value": 3}),
    ("zarr3", {}, {**U2, "domain": {"shape": [3, 4], "labels": ["x", ""]}}),
    ("zarr3", {"dimension_names": ["q", "r"]}, {**U2, "domain": {"labels": ["x", ""]}}),
    ("zarr3", {}, {**U2, "dimension_units": ["4nm", None]}),
    (
        "zarr3",
        {"attributes": {"dimension_units": ["3nm", None]}},
        {**U2, "dimension_units": ["4nm", "5nm"]},
    ),
    ("zarr3", {"attributes": {"dimension_units": ["4nm", None]}}, U2),
    ("zarr3", {"attributes": {"a": [1]}, "more": {"must_understand": False}}, U2),
    ("zarr3", {"more": 1}, U2),
    ("zarr2", {"more": 1}, U2),
    ("zarr2", {}, {**U2, "dimension_units": ["4nm", None]}),
    ("zarr2", {"compressor": None}, U2),
    *(("zarr2", {"compressor": {"id": name}}, U2) for name in ("blosc", "zlib", "bz2", "zstd")),
    ("zarr2", {}, {**U2, "codec": {"driver": "zarr", "compressor": {"id": "gzip", "level": 3}}}),
    ("zarr2", {}, {**U2, "codec": {"driver": "zarr2", "compressor": None}}),
    (
        "zarr2",
        {"compressor": None},
        {**U2, "codec": {"driver": "zarr", "compressor": {"id": "bz2"}}},
    ),
    ("zarr2", {"shape": [10], "dtype": ">i4"}, {}),
    ("zarr2", {}, {**U2, "fill_value": 3}),
    # N5.
    ("n5", {}, layout(inner_order=[1, 0])),
    ("n5", {}, layout(inner_order=[0, 1])),
    ("n5", {}, layout(inner_order_soft_constraint=[0, 1])),
    ("n5", {}, layout(read_chunk={"elements": 1000})),
    ("n5", {}, layout(write_chunk={"elements": 1000}, read_chunk={"elements": 100})),
    ("n5", {}, layout(write_chunk=WRITE, read_chunk=READ)),
    ("n5", {}, layout(chunk={"shape": [-1, 5]})),
    ("n5", {}, layout(grid_origin=[1, 0])),
    ("n5", {}, layout(codec_chunk={"shape": [7, 7]})),
    ("n5", {"blockSize": [6, 5]}, layout(chunk={"shape": [5, 0]})),
    ("n5", {"blockSize": [6, 5]}, layout(chunk={"shape": [6, 0]})),
    ("n5", {"blockSize": [2**31, 1]}, {**U2, "dtype": "uint8"}),
    ("n5", {"blockSize": [2**31, 1]}, U2),
    ("n5", {"dimensions": [10], "dataType": "int32"}, {}),
    ("n5", {"dimensions": [10], "dataType": "int32", "blockSize": [3]}, {}),
    ("n5", {"dimensions": [10], "dataType": "int32"}, {"dtype": "int8"}),
    ("n5", {"dimensions": [10]}, {}),
    ("n5", {"dataType": "int32"}, {}),
    ("n5", {"dataType": "object"}, U2),
    ("n5", {"dataType": "bool"}, U2),
    ("n5", {"more": {"x": [1]}, "n5": "2.0.0", "compressionType": "raw"}, U2),
    ("n5", {"axes": ["x", ""]}, U2),
    ("n5", {"axes": ["x", ""]}, {**U2, "domain": {"shape": [3, 4], "labels": ["", "y"]}}),
    ("n5", {"axes": ["x", ""]}, {**U2, "domain": {"shape": [3, 4], "labels": ["z", "y"]}}),
    ("n5", {"axes": ["x", "x"]}, U2),
    ("n5", {"axes": ["x"]}, U2),
    ("n5", {"axes": [None, None]}, U2),
    ("n5", {}, {**U2, "fill_value": 3}),
    ("n5", {}, {**U2, "dimension_units": ["4nm", None]}),
    ("n5", {}, {**U2, "dimension_units": ["4", "5 s"]}),
    ("n5", {}, {**U2, "dimension_units": [None, None]}),
    *(
        ("n5", given, {**U2, "dimension_units": units} if units else U2)
        for given in (
            {"units": ["nm", "s"]},
            {"resolution": [3, 4]},
            {"resolution": [4, 1]},
            {"units": ["nm", ""], "resolution": [4, 1]},
            {"units": ["nm"]},
            {"units": ["nm", None]},
            {"resolution": [3, None]},
            {"resolution": [0.5, -1]},
        )
        for units in (None, ["4nm", None], ["4nm", "1"])
    ),
    *(
        ("n5", {"compression": compression}, U2)
        for compression in (
            {"type": "raw"},
            {"type": "raw", "x": 1},
            {"type": "gzip"},
            {"type": "gzip", "level": 3, "useZlib": True},
            {"type": "gzip", "level": 10},
            {"type": "gzip", "useZlib": 1},
            {"type": "bzip2"},
            {"type": "bzip2", "blockSize": 0},
            {"type": "xz"},
            {"type": "xz", "preset": 10},
            {"type": "zstd"},
            {"type": "zstd", "level": -7},
            {"type": "blosc"},
            {"type": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2},
            {"type": "blosc", "cname": "zstd", "clevel": 3, "shuffle": -1},
            {"type": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1, "nthreads": 2},
            {"type": "lz5"},
            {},
            "raw",
            None,
        )
    ),
    *(
        ("n5", {"compression": {"type": "gzip"}}, {**U2, "codec": {"driver": "n5", **codec_}})
        for codec_ in (
            {},
            {"compression": {"type": "gzip"}},
            {"compression": {"type": "gzip", "level": 3}},
            {"compression": {"type": "raw"}},
        )
    ),
    ("n5", {}, {**U2, "codec": {"driver": "n5", "compression": {"type": "xz"}}}),
    ("n5", {}, {**U2, "codec": {"driver": "zarr"}}),
]  # fmt: skip


def plain(document: dict[str, Any]) -> str:
    """The document, without the defaults that only one of the two libraries writes down."""
    document = {**document, "chunk_key_encoding": None}
    return json.dumps(document, sort_keys=True).replace(', "index_location": "end"', "")


@pytest.mark.parametrize(("driver", "metadata", "schema"), CASES)
def test_creates_what_tensorstore_creates(
    driver: str, metadata: dict[str, Any], schema: dict[str, Any]
) -> None:
    fmt = FORMATS[driver]
    spec = {"driver": driver, "kvstore": "memory://", "metadata": metadata, "schema": schema}
    try:
        theirs = ts.open(spec, create=True).result()
    except ValueError:
        with pytest.raises((InvalidArgument, NotImplementedError)):
            fmt.create(metadata, Schema(schema))
        return
    ours = fmt.create(metadata, Schema(schema))
    stored = theirs.kvstore.read(fmt.metadata_key).result().value
    assert plain(json.loads(fmt.serialize(ours))) == plain(json.loads(stored))
    found = fmt.schema(ours)
    assert found.chunk_layout.to_json() == theirs.chunk_layout.to_json()
    assert found.domain is not None
    assert found.domain.to_json() == theirs.domain.to_json()
    # What was made is what was asked for, and says all about itself.
    fmt.check(ours, metadata, Schema(schema))
    fmt.check(ours, fmt.to_json(ours), found)
    assert fmt.parse(fmt.serialize(ours)) == ours


#: What does not fit the array that `test_check` makes, and what of it the error names.
MISFITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("zarr3", {"shape": [3, 5]}, {}, '"shape" of [3,5] but received: [3,4]'),
    ("zarr3", {"data_type": "uint16"}, {}, '"data_type" of "uint16" but received: "uint8"'),
    ("zarr3", {"chunk_grid": codec("regular", chunk_shape=[1, 1])}, {}, '"chunk_shape" of [1,1]'),
    ("zarr3", {"chunk_key_encoding": "v2"}, {}, '"chunk_key_encoding"'),
    ("zarr3", {"fill_value": 3}, {}, '"fill_value" of 3 but received: 0'),
    ("zarr3", {"codecs": [GZIP]}, {}, '"codecs"'),
    ("zarr3", {"dimension_names": ["a", "b"]}, {}, '"dimension_names"'),
    ("zarr3", {"attributes": {"a": 1}}, {}, '"attributes.a" of 1'),
    ("zarr3", {"x": {"must_understand": False}}, {}, '"x"'),
    ("zarr3", {}, {"dtype": "uint16"}, "uint16"),
    ("zarr3", {}, {"rank": 3}, "3"),
    ("zarr3", {}, {"domain": {"shape": [3, 5]}}, "dimension 1"),
    ("zarr3", {}, {"fill_value": 3}, "fill value of 3"),
    ("zarr3", {}, {"codec": {"driver": "zarr3", "codecs": [GZIP]}}, "gzip"),
    ("zarr3", {}, {"codec": {"driver": "zarr"}}, "zarr"),
    ("zarr3", {}, {"chunk_layout": {"chunk": {"shape": [2, 2]}}}, "(2) for dimension 0"),
    ("zarr3", {}, {"chunk_layout": {"inner_order": [1, 0]}}, "inner_order"),
    ("zarr3", {}, {"chunk_layout": {"grid_origin": [1, 1]}}, "grid_origin"),
    ("zarr2", {"shape": [3, 5]}, {}, '"shape"'),
    ("zarr2", {"dtype": ">u2"}, {}, '"dtype"'),
    ("zarr2", {"chunks": [3, 5]}, {}, '"chunks"'),
    ("zarr2", {"compressor": None}, {}, '"compressor" of null'),
    ("zarr2", {"order": "F"}, {}, '"order"'),
    ("zarr2", {"dimension_separator": "/"}, {}, '"dimension_separator"'),
    ("zarr2", {"fill_value": 3}, {}, '"fill_value" of 3'),
    ("zarr2", {}, {"codec": {"driver": "zarr2", "compressor": {"id": "zlib"}}}, "compressor"),
    ("n5", {"dimensions": [3, 5]}, {}, '"dimensions" of [3,5] but received: [3,4]'),
    ("n5", {"dataType": "uint16"}, {}, '"dataType"'),
    ("n5", {"blockSize": [3, 5]}, {}, '"blockSize"'),
    ("n5", {"compression": {"type": "raw"}}, {}, '"compression" of {"type":"raw"}'),
    ("n5", {"axes": ["x", "y"]}, {}, '"axes" of ["x","y"] but received: ["",""]'),
    ("n5", {"units": ["x", "y"]}, {}, '"units"'),
    ("n5", {"resolution": [1, 2]}, {}, '"resolution" of [1.0,2.0]'),
    ("n5", {"more": {"a": 1}}, {}, '"more" of {"a":1}'),
    ("n5", {}, {"codec": {"driver": "n5", "compression": {"type": "raw"}}}, "compression"),
    ("n5", {}, {"dimension_units": ["4nm", None]}, "dimension_units"),
    ("n5", {}, {"fill_value": 1}, "fill_value"),
    ("n5", {}, {"chunk_layout": {"inner_order": [0, 1]}}, "inner_order"),
]


@pytest.mark.parametrize(("driver", "metadata", "schema", "named"), MISFITS)
def test_a_misfit_is_named(
    driver: str, metadata: dict[str, Any], schema: dict[str, Any], named: str
) -> None:
    fmt = FORMATS[driver]
    stored = fmt.create({}, Schema({"dtype": "uint8", "domain": {"shape": [3, 4]}}))
    with pytest.raises(FailedPrecondition) as caught:
        fmt.check(stored, metadata, Schema(schema))
    assert named in str(caught.value)


@pytest.mark.parametrize("driver", FORMATS)
@pytest.mark.parametrize(
    "schema",
    [
        {"domain": {"labels": ["x", "y"]}},
        {"domain": {"inclusive_min": [0, 0]}},
        {"rank": 2},
        {"dtype": "uint8", "fill_value": 0},
        {"chunk_layout": {"chunk": {"elements": 5}}},
        {"chunk_layout": {"chunk": {"shape_soft_constraint": [1, 1]}}},
        {"dimension_units": ["4nm", None]},
    ],
)
def test_preferences_and_what_is_unknown_always_fit(driver: str, schema: dict[str, Any]) -> None:
    fmt = FORMATS[driver]
    if driver == "n5" and "dimension_units" in schema:
        schema = {"dimension_units": [None, None]}
    stored = fmt.create({}, Schema({"dtype": "uint8", "domain": {"shape": [3, 4]}}))
    fmt.check(stored, {}, Schema(schema))


@pytest.mark.parametrize("driver", FORMATS)
def test_resizing_changes_nothing_but_the_shape(driver: str) -> None:
    fmt = FORMATS[driver]
    metadata = fmt.create({}, Schema({"dtype": "uint8", "domain": {"shape": [3, 4]}}))
    resized = fmt.resized(metadata, (30, 40))
    before, after = json.loads(fmt.serialize(metadata)), json.loads(fmt.serialize(resized))
    assert after == {**before, "dimensions" if driver == "n5" else "shape": [30, 40]}
    assert fmt.layout(resized).chunk_shape == (3, 4)


def test_names_units_and_attributes_survive_every_rewrite() -> None:
    fmt = FORMATS["zarr3"]
    document = {
        **json.loads(fmt.serialize(fmt.create({}, Schema(U2)))),
        "dimension_names": ["x", None],
        "attributes": {
            "z": 1,
            "a": {"NaN": float("nan")},
            "dimension_units": ["4nm", "weird unit"],
        },
        "later": {"must_understand": False, "x": [1, 2]},
    }
    metadata = fmt.parse(json.dumps(document).encode())
    rewritten = json.loads(fmt.serialize(fmt.resized(metadata, (1, 1))))
    for member in ("dimension_names", "later"):
        assert rewritten[member] == document[member]
    assert json.dumps(rewritten["attributes"]) == json.dumps(document["attributes"])
    schema = fmt.schema(metadata)
    assert schema.domain is not None
    assert schema.domain.labels == ("x", "")
    assert [str(unit) for unit in schema.dimension_units or ()] == ["4 nm", "weird unit"]


def test_names_that_make_no_labels_are_kept() -> None:
    fmt = FORMATS["zarr3"]
    for names, labels in ((["x", "x"], ("", "")), (["", "x"], ("", "x"))):
        metadata = fmt.create({"dimension_names": names}, Schema(U2))
        assert json.loads(fmt.serialize(metadata))["dimension_names"] == names
        schema = fmt.schema(metadata)
        assert schema.domain is not None
        assert schema.domain.labels == labels

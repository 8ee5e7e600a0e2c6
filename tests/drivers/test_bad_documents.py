"""Documents that nobody can trust: parsing them raises our errors, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asynctensor.chunked.format import ArrayFormat
from asynctensor.drivers.n5.format import N5Format
from asynctensor.drivers.zarr2.format import Zarr2Format
from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.errors import DataLoss, Error, FailedPrecondition, InvalidArgument, Unimplemented
from asynctensor.schema.schema import Schema

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
ZARR3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [8, 6],
    "data_type": "int16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 6]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [2, 3],
                "codecs": [
                    {"name": "transpose", "configuration": {"order": [1, 0]}},
                    LITTLE,
                    {
                        "name": "blosc",
                        "configuration": {
                            "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2,
                            "blocksize": 0,
                        },
                    },
                ],
                "index_codecs": [LITTLE, {"name": "crc32c"}],
                "index_location": "end",
            },
        }
    ],
    "dimension_names": ["y", None],
    "attributes": {"a": 1, "dimension_units": ["4 nm", None]},
}  # fmt: skip
ZARR2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [8, 6],
    "chunks": [4, 6],
    "dtype": "<i2",
    "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    "fill_value": 0,
    "order": "C",
    "filters": None,
    "dimension_separator": ".",
}
N5: dict[str, Any] = {
    "n5": "2.5.1",
    "dimensions": [8, 6],
    "blockSize": [4, 6],
    "dataType": "int16",
    "compression": {
        "type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, "nthreads": 1,
    },
    "axes": ["x", ""],
    "units": ["nm", ""],
    "resolution": [4, 1.5],
    "pixelResolution": {"unit": "um", "dimensions": [1, 2]},
}  # fmt: skip
CASES: list[tuple[ArrayFormat[Any], dict[str, Any]]] = [
    (Zarr3Format(), ZARR3),
    (Zarr2Format(), ZARR2),
    (N5Format(), N5),
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2, 3, 6, 2**31, 2**62, 2**63, 2**64, 10**400, 0.5, -0.0, 1e300]),
    st.sampled_from(["", "C", "F", "NaN", "0x", "0x00", "0xzz00", "r16", "r99999999", "|S9", "\0"]),
    st.sampled_from([[], {}, [0], [2**40] * 3, [[]], [1] * 40, "sharding_indexed", "bytes"]),
    st.sampled_from([LITTLE, ZARR3["codecs"][0], {"name": "gzip"}, {"id": "zstd"}]),
    st.sampled_from([{"type": name} for name in ("raw", "lz4", "xz", "jpeg", "object")]),
).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all members and elements."""
    found = [path] if path else []
    items: Any = enumerate(value) if isinstance(value, list) else ()
    for key, inner in value.items() if isinstance(value, dict) else items:
        found += places(inner, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """A document with a few members replaced, doubled or gone."""
    document = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document) or [("shape",)]))
        owner: Any = document
        for key in path[:-1]:
            owner = owner[key]
        action = draw(st.sampled_from(["replace", "delete", "add"]))
        if action == "replace":
            owner[path[-1]] = draw(VALUES)
        elif action == "delete" and path[-1] in (owner if isinstance(owner, dict) else ()):
            del owner[path[-1]]
        elif isinstance(owner, list):
            owner.append(draw(VALUES))
        else:
            owner[draw(st.sampled_from(["x", "name", "configuration", "level"]))] = draw(VALUES)
    return document


@pytest.mark.parametrize(("fmt", "original"), CASES)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_documents(
    fmt: ArrayFormat[Any], original: dict[str, Any], data: st.DataObject
) -> None:
    document = data.draw(mutated(original))
    try:
        metadata = fmt.parse(json.dumps(document).encode())
        layout = fmt.layout(metadata)
        # What was accepted is whole: written and read again, it is the same.
        assert fmt.parse(fmt.serialize(metadata)) == metadata
        fmt.check(metadata, fmt.to_json(metadata), fmt.schema(metadata))
    except Error as error:
        assert isinstance(error, (DataLoss, FailedPrecondition, Unimplemented))  # noqa: PT017
        return
    for value in (b"", bytes(24), bytes(1000)):
        try:
            layout.codec.decode(value)
            if layout.shard is not None:
                layout.shard.decode_index(value, len(value))
        except Error:
            pass


@pytest.mark.parametrize(("fmt", "original"), CASES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_constraints(
    fmt: ArrayFormat[Any], original: dict[str, Any], data: st.DataObject
) -> None:
    constraints = data.draw(mutated(original))
    try:
        metadata = fmt.create(constraints, Schema())
    except Error as error:
        assert isinstance(error, (InvalidArgument, Unimplemented))  # noqa: PT017
        return
    fmt.check(metadata, constraints, Schema())
    assert fmt.parse(fmt.serialize(metadata)) == metadata


@pytest.mark.parametrize("fmt", [fmt for fmt, _ in CASES])
@settings(max_examples=100, deadline=None)
@given(raw=st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)))
@example(b"[" * 10**5)
@example(b'{"zarr_format":' * 10**4)
@example(b'{"zarr_format": ' + b"1" * 5000 + b"}")
@example(b'{"zarr_format": 3, "zarr_format": 2}')
def test_random_bytes(fmt: ArrayFormat[Any], raw: bytes) -> None:
    # To N5, any JSON object is a group.
    with pytest.raises((DataLoss, FailedPrecondition)):
        fmt.parse(raw)


NAMED = [
    ({"shape": [8, -1]}, "shape[1]"),
    ({"shape": [1] * 33}, "at most 32 dimensions"),
    ({"shape": None}, "shape"),
    ({"shape": [8, True]}, "shape[1]"),
    (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 6]}}},
        "chunk_shape[0]",
    ),
    ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}}}, "length 2"),
    (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**31, 2**31]}}},
        "2^63 bytes",
    ),
    ({"chunk_grid": "regular"}, "chunk_grid.configuration"),
    ({"fill_value": 2**15}, "fill_value"),
    ({"fill_value": "NaN"}, "fill_value"),
    ({"codecs": []}, "codecs"),
    ({"codecs": ["bytes"]}, "endian"),
    ({"codecs": [LITTLE, LITTLE]}, "codecs[1]"),
    ({"codecs": [LITTLE, {"name": "transpose", "configuration": {"order": "C"}}]}, "codecs[1]"),
    ({"codecs": [LITTLE, {"name": "gzip", "configuration": {"level": 10}}]}, "level"),
    ({"codecs": [{"name": "transpose", "configuration": {"order": [0, 0]}}, LITTLE]}, "order"),
    ({"codecs": [{"name": "transpose", "configuration": {"order": [0]}}, LITTLE]}, "order"),
    ({"attributes": []}, "attributes"),
    ({"dimension_names": ["x"]}, "dimension_names"),
    ({"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "x"}}}, "separator"),
    ({"chunk_key_encoding": {"name": "default", "must_understand": False}}, "must_understand"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "named"), NAMED)
def test_the_error_names_member_and_reason(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(DataLoss) as caught:
        Zarr3Format().parse(json.dumps({**ZARR3, **changed}).encode())
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "member", [key for key in ZARR3 if key not in ("attributes", "dimension_names")]
)
def test_a_missing_member_is_named(member: str) -> None:
    document = {key: value for key, value in ZARR3.items() if key != member}
    with pytest.raises(DataLoss, match=f'"{member}": it is missing'):
        Zarr3Format().parse(json.dumps(document).encode())


def sharding(**changed: Any) -> dict[str, Any]:
    configuration = {**ZARR3["codecs"][0]["configuration"], **changed}
    return {"codecs": [{"name": "sharding_indexed", "configuration": configuration}]}


shard_of_index = {
    "name": "sharding_indexed",
    "configuration": {"chunk_shape": [1, 2, 2], "codecs": [LITTLE], "index_codecs": [LITTLE]},
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"chunk_shape": [3, 3]}, "does not divide"),
        ({"chunk_shape": [2]}, "does not divide"),
        ({"chunk_shape": [0, 3]}, "chunk_shape[0]"),
        ({"index_codecs": [LITTLE, {"name": "gzip"}]}, "index_codecs"),
        ({"index_codecs": [shard_of_index]}, "index_codecs"),
        ({"index_location": "middle"}, "index_location"),
        ({"codecs": []}, "codecs"),
    ],
)
def test_bad_shards_are_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(DataLoss) as caught:
        Zarr3Format().parse(json.dumps({**ZARR3, **sharding(**changed)}).encode())
    assert named in str(caught.value)


def test_an_index_is_not_asked_for_in_shards() -> None:
    asked = {"name": "sharding_indexed", "configuration": {"index_codecs": ["sharding_indexed"]}}
    constraints = {"shape": [4], "data_type": "uint8", "codecs": [asked]}
    with pytest.raises(InvalidArgument, match="index_codecs"):
        Zarr3Format().create(constraints, Schema())


def test_shards_inside_each_other_without_end() -> None:
    codecs: list[Any] = [LITTLE]
    for _ in range(20):
        inner = {"chunk_shape": [4, 6], "codecs": codecs, "index_codecs": [LITTLE]}
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    with pytest.raises(DataLoss, match="inside each other"):
        Zarr3Format().parse(json.dumps({**ZARR3, "codecs": codecs}).encode())


UNKNOWN = [
    ({"data_type": "wibble"}, '"wibble"'),
    ({"codecs": [LITTLE, {"name": "lz9", "must_understand": False}]}, '"lz9"'),
    ({"chunk_grid": {"name": "rectilinear", "configuration": {}}}, '"rectilinear"'),
    ({"chunk_key_encoding": "fancy"}, '"fancy"'),
    ({"extra": 1}, '"extra"'),
    ({"extra": {"must_understand": True}}, '"extra"'),
    ({"storage_transformers": [{"name": "x"}]}, "storage_transformers"),
]


@pytest.mark.parametrize(("changed", "named"), UNKNOWN)
def test_what_is_not_known_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(Unimplemented) as caught:
        Zarr3Format().parse(json.dumps({**ZARR3, **changed}).encode())
    assert named in str(caught.value)


def test_attributes_may_be_deep_but_not_without_end() -> None:
    for depth, fits in ((150, True), (199, False), (900, False)):
        nested = b"[" * depth + b"]" * depth
        document = json.dumps(ZARR3).encode().replace(b'"a": 1', b'"a": ' + nested)
        if fits:
            Zarr3Format().parse(document)
        else:
            with pytest.raises(DataLoss, match=r"nested|recursion"):
                Zarr3Format().parse(document)


def test_a_group_is_no_array() -> None:
    with pytest.raises(FailedPrecondition, match="group"):
        Zarr3Format().parse(b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"dtype": "<M8[x]"}, Unimplemented, "M8"),
        ({"dtype": "|O"}, Unimplemented, "filters"),
        ({"dtype": [["a", "<i2"], ["a", "<i2"]]}, DataLoss, "dtype"),
        ({"dtype": [["a", "|O"]]}, Unimplemented, "dtype"),
        ({"dtype": []}, DataLoss, "dtype"),
        ({"dtype": "<i3"}, Unimplemented, "i3"),
        ({"dtype": "|i2"}, Unimplemented, "i2"),
        ({"filters": [{"id": "wibble"}]}, Unimplemented, "wibble"),
        ({"filters": [{"id": "pickle"}], "dtype": "|O"}, Unimplemented, "any code"),
        ({"filters": [{"id": "delta", "dtype": "|O"}]}, DataLoss, "filters[0].dtype"),
        (
            {"filters": [{"id": "packbits"}, {"id": "zlib"}, {"id": "packbits"}]},
            DataLoss,
            "filters[2]",
        ),
        ({"compressor": {"id": "delta", "dtype": "<i2"}}, Unimplemented, "delta"),
        ({"compressor": {"id": "wibble"}}, Unimplemented, "wibble"),
        ({"order": "A"}, DataLoss, "order"),
        ({"chunks": [4, 0]}, DataLoss, "chunks[1]"),
        ({"zarr_format": 3}, DataLoss, "zarr_format"),
        ({"fill_value": "x"}, DataLoss, "fill_value"),
        ({"compressor": {"id": "blosc", "shuffle": 7}}, DataLoss, "compressor.shuffle"),
    ],
)
def test_zarr2_names_them_too(changed: dict[str, Any], error: type[Error], named: str) -> None:
    with pytest.raises(error) as caught:
        Zarr2Format().parse(json.dumps({**ZARR2, **changed}).encode())
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"dataType": "object"}, Unimplemented, '"object"'),
        ({"dataType": "string"}, Unimplemented, '"string"'),
        ({"dataType": "float16"}, DataLoss, "dataType"),
        ({"compression": {"type": "lz5"}}, Unimplemented, '"lz5"'),
        ({"compression": {"type": "gzip", "level": 10}}, DataLoss, "compression.level"),
        ({"compression": {"type": "lz4", "blockSize": 2**26}}, DataLoss, "compression.blockSize"),
        ({"compression": {"level": 1}}, DataLoss, "compression.type"),
        ({"compression": "gzip"}, DataLoss, "compression"),
        ({"dimensions": [8]}, DataLoss, "blockSize"),
        ({"dimensions": [8, -1]}, DataLoss, "dimensions[1]"),
        ({"blockSize": [4, 0]}, DataLoss, "blockSize[1]"),
        ({"blockSize": [2**16, 2**15]}, DataLoss, "2147483648 bytes"),
    ],
)
def test_n5_names_them_too(changed: dict[str, Any], error: type[Error], named: str) -> None:
    with pytest.raises(error) as caught:
        N5Format().parse(json.dumps({**N5, **changed}).encode())
    assert named in str(caught.value)


@pytest.mark.parametrize("member", ["dimensions", "blockSize", "dataType", "compression"])
def test_n5_names_what_is_missing(member: str) -> None:
    document = {key: value for key, value in N5.items() if key != member}
    with pytest.raises(DataLoss, match=f'"{member}": it is missing'):
        N5Format().parse(json.dumps(document).encode())


@pytest.mark.parametrize("document", [b"{}", b'{"n5": "2.5.1"}', b'{"compression": 1, "a": []}'])
def test_an_n5_group_is_no_array(document: bytes) -> None:
    with pytest.raises(FailedPrecondition, match="group"):
        N5Format().parse(document)

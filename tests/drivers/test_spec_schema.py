"""What a spec says by incomplete ``metadata`` is what TensorStore says."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import tensorstore

import asynctensor as ts

SHARDED = [
    {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [1, 3],
            "codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, "bytes"],
        },
    }
]
PLAIN = [
    {"name": "transpose", "configuration": {"order": [1, 0]}},
    "bytes",
    {"name": "gzip", "configuration": {"level": 2}},
]
COMPLETE: dict[str, dict[str, Any]] = {
    "zarr": {
        "shape": [4, 6],
        "chunks": [2, 3],
        "dtype": "<i2",
        "order": "F",
        "fill_value": 7,
        "compressor": {"id": "zlib", "level": 3},
        "filters": None,
        "dimension_separator": "/",
    },
    "zarr3": {
        "shape": [4, 6],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
        "data_type": "int16",
        "fill_value": 7,
        "codecs": PLAIN,
        "dimension_names": ["x", None],
        "attributes": {"dimension_units": ["4nm", None]},
        "chunk_key_encoding": {"name": "v2"},
    },
    "n5": {
        "dimensions": [4, 6],
        "blockSize": [2, 3],
        "dataType": "int16",
        "compression": {"type": "gzip"},
        "axes": ["x", "y"],
        "units": ["m", "s"],
        "resolution": [1, 2.0],
    },
}
#: What only together with a data type means something in TensorStore.
TYPED = {"zarr": "dtype", "zarr3": "data_type"}
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"rank": 2},
    {"dtype": "int16"},
    {"domain": {"shape": [4, 6], "labels": ["x", ""]}},
    {"chunk_layout": {"write_chunk": {"shape_soft_constraint": [5, 5]}}},
    {"chunk_layout": {"inner_order_soft_constraint": [1, 0]}},
    {"fill_value": 7},
]


def _partial(driver: str, complete: dict[str, Any]) -> list[dict[str, Any]]:
    counts = (0, 1, 2, 3, len(complete))
    chosen = itertools.chain(*(itertools.combinations(complete, count) for count in counts))
    parts = [{name: complete[name] for name in names} for names in chosen]
    return [p for p in parts if "fill_value" not in p or TYPED[driver] in p]


def _cases() -> list[dict[str, Any]]:
    found = []
    for driver, complete in COMPLETE.items():
        variants = [complete]
        if driver == "zarr3":
            variants.append({**complete, "codecs": SHARDED})
        for variant in variants:
            for part in _partial(driver, variant):
                schemas = SCHEMAS if len(part) <= 1 else SCHEMAS[:1]
                for schema in schemas:
                    if driver == "n5" and "fill_value" in schema:
                        continue
                    found.append({"driver": driver, "metadata": part, "schema": schema})
    return found


def test_as_tensorstore_says() -> None:
    cases = _cases()
    assert len(cases) > 300
    for case in cases:
        json_ = {**case, "kvstore": "memory://a/"}
        ours, theirs = ts.Spec(json_).schema.to_json(), tensorstore.Spec(json_).schema.to_json()
        assert ours == theirs, json.dumps(case)


HIDDEN: list[dict[str, Any]] = [
    {"dtype": "|S3", "chunks": [2], "order": "F"},
    {"dtype": "|V3", "chunks": [2], "order": "C"},
    {"shape": [4], "chunks": [2], "order": "F"},
    {"chunks": [2], "order": "C"},
]


@pytest.mark.parametrize("metadata", HIDDEN)
def test_hidden_dimensions(metadata: dict[str, Any]) -> None:
    json_ = {"driver": "zarr", "metadata": metadata, "schema": {"rank": 2}}
    json_["kvstore"] = "memory://a/"
    assert ts.Spec(json_).schema.to_json() == tensorstore.Spec(json_).schema.to_json()


def test_each_property() -> None:
    spec = ts.Spec({"driver": "zarr3", "metadata": COMPLETE["zarr3"], "kvstore": "memory://a/"})
    assert spec.codec == ts.CodecSpec({"driver": "zarr3", "codecs": spec.codec.members["codecs"]})
    assert [codec["name"] for codec in spec.codec.members["codecs"]] == [
        "transpose",
        "bytes",
        "gzip",
    ]
    assert spec.chunk_layout.read_chunk.shape == (2, 3)
    assert spec.chunk_layout.inner_order == (1, 0)
    assert spec.fill_value == 7
    assert spec.dimension_units == (ts.Unit("4nm"), None)


@pytest.mark.parametrize(
    ("driver", "metadata", "schema"),
    [
        (
            "zarr",
            {"chunks": [2, 3], "dtype": "<i2"},
            {"chunk_layout": {"chunk": {"shape": [5, 5]}}},
        ),
        ("zarr", {"compressor": None}, {"codec": {"driver": "zarr", "compressor": {"id": "zlib"}}}),
        ("zarr", {"shape": [4, 6]}, {"rank": 1}),
        ("zarr3", {"codecs": ["bytes"]}, {"codec": {"driver": "n5"}}),
        ("zarr3", {"codecs": PLAIN}, {"rank": 2, "chunk_layout": {"inner_order": [0, 1]}}),
        ("zarr3", {"codecs": PLAIN}, {"rank": 3}),
        ("zarr3", {"data_type": "int16", "fill_value": 1}, {"fill_value": 2}),
    ],
)
def test_contradictions(driver: str, metadata: Any, schema: Any) -> None:
    with pytest.raises(ts.errors.InvalidArgument):
        ts.Spec(
            {"driver": driver, "metadata": metadata, "schema": schema, "kvstore": "memory://a/"}
        )

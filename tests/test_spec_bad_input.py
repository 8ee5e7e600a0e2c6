"""Whatever a spec says, it is understood or refused with a typed error that says where and what."""

from __future__ import annotations

import copy
import string
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import Error, InvalidArgument
from tests.test_spec_members import (
    CODECS,
    DRIVER_SPECS,
    KVSTORE_SPECS,
    LAYOUT,
    POOLS,
    SCHEMA,
    TRANSFORM,
)

SPECS: list[Any] = [
    {
        "driver": "zarr3",
        "kvstore": {"driver": "memory", "path": "a/", "memory_key_value_store": {}},
        "metadata": {
            "shape": [4, 5],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, 1],
                        "codecs": [{"name": "gzip", "configuration": {"level": 1}}],
                        "index_location": "end",
                    },
                }
            ],
            "fill_value": 3,
            "dimension_names": ["x", None],
        },
        "schema": {
            "domain": {"shape": [4, 5], "labels": ["x", ""]},
            "chunk_layout": {
                "chunk": {"shape": [2, 2]},
                "inner_order": [0, 1],
                "grid_origin": [0, 0],
                "read_chunk": {"aspect_ratio": [1, 2], "elements": 4},
            },
            "codec": {"driver": "zarr3", "codecs": []},
            "fill_value": 3,
            "dimension_units": ["nm", [4, "um"]],
        },
        "transform": {
            "input_inclusive_min": [0, [0]],
            "input_exclusive_max": [[4], 5],
            "output": [{"input_dimension": 0, "offset": 1}, {"index_array": [[1, 2, 3, 4, 0]]}],
        },
        "recheck_cached_data": "open",
        "create": True,
        "context": {"cache_pool": {"total_bytes_limit": 5}},
        "cache_pool": "cache_pool",
        "dtype": "uint8",
        "rank": 2,
    },
    {
        "driver": "zarr",
        "kvstore": {
            "driver": "file",
            "path": "/x/",
            "file_io_sync": True,
            "file_io_locking": {"mode": "os", "acquire_timeout": "5s"},
        },
        "metadata": {
            "shape": [4],
            "chunks": [2],
            "dtype": "<u2",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
            "fill_value": None,
            "order": "C",
            "filters": None,
        },
        "metadata_key": ".zarray",
    },
    {
        "driver": "n5",
        "kvstore": "memory://x/",
        "metadata": {
            "dimensions": [4, 5],
            "blockSize": [2, 2],
            "dataType": "uint8",
            "compression": {"type": "gzip", "level": 1},
            "units": ["nm", "nm"],
        },
    },
    {"driver": "cast", "dtype": "float32", "base": {"driver": "array", "array": [[1, 2]]}},
    {"driver": "zarr3", "kvstore": {"driver": "zip", "base": "memory://z.zip", "path": "a"}},
    {
        "driver": "zarr3",
        "kvstore": {"driver": "kvstack", "layers": [{"base": "memory://", "prefix": "x/"}]},
    },
    # Every driver, and every kvstore below one.
    *DRIVER_SPECS.values(),
    *({"driver": "zarr3", "kvstore": kvstore} for kvstore in KVSTORE_SPECS.values()),
]
URLS = ["memory://a/|zarr3:", "file:///a/b|zip:x|n5:", "memory://|auto:", "memory://a%20|zarr2:"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([2**63, 2**70, 1.5, float("nan"), float("inf"), "", "x", "zarr3", "\ud800"]),
    st.sampled_from([b"x", object, "memory://", "uint8", "open", "[1]", "a" * 99]),
)
VALUES = st.recursive(
    SCALARS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(SCALARS, v, max_size=2),
    max_leaves=4,
)
LIMITS = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(json: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(json, (dict, list)):
        items = json.items() if isinstance(json, dict) else enumerate(json)
    return [path, *(each for key, value in items for each in places(value, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, specs: Sequence[Any] = SPECS) -> Any:
    """A spec with up to three places changed, left out, or added."""
    json = copy.deepcopy(draw(st.sampled_from(specs)))
    for _ in range(draw(st.integers(1, 3))):
        found = [path for path in places(json) if path]
        if not found:
            break
        *parents, key = draw(st.sampled_from(found))
        inside = json
        for step in parents:
            inside = inside[step]
        change = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if change == "remove":
            del inside[key]
        elif change == "add" and isinstance(inside, dict):
            inside[draw(st.one_of(SCALARS.filter(lambda each: each == each), st.just("bogus")))] = (
                draw(VALUES)
            )
        else:
            inside[key] = draw(VALUES)
    return json


def asked(json: Any) -> at.Spec | None:
    """The spec, after asking it everything; None if it was refused with a typed error."""
    try:
        spec = at.Spec(json)
    except Error:
        return None
    assert at.Spec(spec.to_json()) == spec
    for name in ("rank", "domain", "dtype", "schema", "codec", "fill_value", "transform", "base"):
        getattr(spec, name)
    repr(spec)
    spec.to_json(include_defaults=True)
    return spec


def stays_in_memory(json: Any) -> bool:
    return not any(name in repr(json) for name in ("file", "http", "s3", "gcs", "gs", "az", "repo"))


@LIMITS
@given(damaged())
def test_damaged_specs_are_understood_or_refused(json: Any) -> None:
    spec = asked(json)
    if spec is not None and stays_in_memory(spec.to_json()):
        with suppress(Error):
            at.open(spec).result()


#: What takes JSON besides specs of arrays, and what is right there.
PARTS: list[tuple[Callable[[Any], Any], Any]] = [
    *((at.KvStore.Spec, kvstore) for kvstore in KVSTORE_SPECS.values()),
    (at.Schema, SCHEMA),
    (at.Schema, {**SCHEMA, "chunk_layout": LAYOUT, "dimension_units": ["nm", [4, "um"]]}),
    (at.ChunkLayout, LAYOUT),
    (lambda json: at.IndexTransform(json=json), TRANSFORM),
    (lambda json: at.IndexDomain(json=json), SCHEMA["domain"]),
    (at.Context.Spec, {**POOLS, "cache_pool#a": "cache_pool", "file_io_sync": None}),
    (at.CodecSpec, {"driver": "zarr3", "codecs": CODECS}),
    (at.CodecSpec, {"driver": "zarr", "compressor": {"id": "zlib", "level": 1}, "filters": None}),
    (at.CodecSpec, {"driver": "n5", "compression": {"type": "gzip", "level": 1}}),
    (lambda json: at.Unit(json=json), [4, "nm"]),
]


@settings(LIMITS, max_examples=500)
@given(st.sampled_from(PARTS), st.data())
def test_damaged_parts_are_understood_or_refused(part: Any, data: st.DataObject) -> None:
    make, right = part
    json = data.draw(damaged([right]))
    try:
        made = make(json)
    except Error:
        return
    assert repr(made)
    assert make(made.to_json()).to_json() == made.to_json()


@LIMITS
@given(st.sampled_from(URLS), st.data())
def test_damaged_urls_are_understood_or_refused(url: str, data: st.DataObject) -> None:
    text = list(url)
    for _ in range(data.draw(st.integers(1, 4))):
        at_ = data.draw(st.integers(0, len(text)))
        text[at_ : at_ + data.draw(st.integers(0, 2))] = data.draw(
            st.text(string.printable + "é\0", max_size=2)
        )
    asked("".join(text))


@pytest.mark.parametrize(
    ("json", "text"),
    [
        (5, "Expected object, but received: 5"),
        ({}, '"driver": Expected string, but member is missing'),
        ({"driver": "zar3"}, "did you mean 'zarr3'"),
        ({"driver": "zarr3", "kvstore": {"driver": "memry"}}, "\"kvstore\".*did you mean 'memory'"),
        ("fiel:///a/|zarr3:", "unsupported URL scheme: \"fiel\"; did you mean 'file'"),
        ("file:///a/|zar3:", "did you mean 'zarr3'"),
        ({"driver": "zarr3", "bogus": 1}, 'extra members: "bogus"'),
        (
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": 5}},
            '"kvstore": .*"path": Expected string, but received: 5',
        ),
        (
            {"driver": "zarr3", "schema": {"chunk_layout": {"chunk": {"shape": 3}}}},
            '"schema": .*"chunk_layout": .*"chunk": .*"shape": Expected array, but received: 3',
        ),
        (
            {"driver": "cast", "base": {"driver": "zarr3", "schema": {"rank": "x"}}},
            '"base": .*"schema": .*"rank": Expected integer in the range',
        ),
        ({"driver": "zarr3", "metadata": {1: 2}}, "string as the name of a member"),
        ({"driver": "zarr3", "metadata": {"a": {3}}}, '"metadata": .*"a": Expected JSON'),
        ({"driver": "zarr3", "metadata": {"a": b"x"}}, '"a": Expected JSON'),
        ({"driver": "zarr3", "path": "\ud800"}, '"path": Expected Unicode string'),
        ({"driver": "zarr3", "recheck_cached_data": "never"}, 'boolean, number, or "open"'),
        ({"driver": "zarr3", "cache_pool": 5}, '"cache_pool": Expected object'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(json: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        at.Spec(json)


@pytest.mark.parametrize(
    "make", [at.Spec, at.KvStore.Spec, at.Schema, at.CodecSpec, at.ChunkLayout, at.Context]
)
def test_depth_is_bounded(make: Any) -> None:
    deep: Any = {"driver": "zarr3"}
    for _ in range(100_000):
        deep = {"driver": "zarr3", "base": deep, "a": [deep]}
    with pytest.raises(InvalidArgument):
        make(deep)


def test_a_path_with_a_null_byte_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="null bytes"):
        at.KvStore.open({"driver": "file", "path": "/a\0b/"}).result()

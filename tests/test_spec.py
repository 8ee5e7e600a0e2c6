"""`Spec` against TensorStore's: JSON, URLs, updates, indexing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.kvstore import KvStore
from asynctensor.open_mode import OpenMode
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema
from asynctensor.spec import Spec

ZARR3: dict[str, Any] = {"driver": "zarr3", "kvstore": {"driver": "memory"}}
recheck = st.sampled_from([True, False, "open", 5, 0.5])
MEMBERS: dict[str, st.SearchStrategy] = {
    **dict.fromkeys(("open", "create", "delete_existing", "assume_metadata"), st.booleans()),
    "assume_cached_metadata": st.booleans(),
    **dict.fromkeys(("fill_missing_data_reads", "store_data_equal_to_fill_value"), st.booleans()),
    **dict.fromkeys(("recheck_cached_data", "recheck_cached_metadata"), recheck),
    "cache_pool": st.sampled_from(["cache_pool#a", {"total_bytes_limit": 5}]),
    "data_copy_concurrency": st.just({"limit": 2}),
    "context": st.sampled_from([{}, {"cache_pool": {"total_bytes_limit": 5}}]),
    "path": st.sampled_from(["", "a", "a/"]),
    "kvstore": st.sampled_from(
        ["memory://x", "file:///x/", {"driver": "file", "path": "/x", "file_io_sync": False}]
    ),
    "dtype": st.sampled_from(["uint8", "float32"]),
    "rank": st.sampled_from([2, 3]),
    "schema": st.sampled_from(
        [
            {"rank": 2},
            {"dtype": "uint8"},
            {"dimension_units": ["4nm", None]},
            {"domain": {"shape": [5, 6], "labels": ["x", ""]}},
            {"domain": {"inclusive_min": [0, 0], "exclusive_max": [5, ["+inf"]]}},
            {"chunk_layout": {"chunk": {"elements": 10}}, "fill_value": 3},
        ]
    ),
    "transform": st.sampled_from([{"input_shape": [3, 4]}, {"input_rank": 2}]),
}
jsons = st.fixed_dictionaries({}, optional=MEMBERS)


def outcome(call: Any) -> Any:
    """The JSON of what `call` returns, or "refused"."""
    try:
        return call().to_json()
    except ValueError:
        return "refused"


@given(jsons)
@settings(max_examples=200, deadline=None)
def test_json_means_what_it_means_to_tensorstore(members: dict) -> None:
    json = {**ZARR3, **members}
    mine = outcome(lambda: Spec(json))
    assert mine == outcome(lambda: ts.Spec(json))
    if mine != "refused":
        spec, theirs = Spec(json), ts.Spec(json)
        assert spec == Spec(mine)
        assert repr(spec) == repr(theirs)
        assert repr(spec.open_mode) == repr(theirs.open_mode)
        assert (spec.rank, spec.url) == (theirs.rank, theirs.url)
        assert pickle.loads(pickle.dumps(spec)) == spec == copy.copy(spec)


UPDATES: dict[str, st.SearchStrategy] = {
    **dict.fromkeys(("open", "create", "delete_existing"), st.booleans()),
    **dict.fromkeys(("recheck_cached", "recheck_cached_data", "recheck_cached_metadata"), recheck),
    "dtype": st.sampled_from(["uint8", "float32"]),
    "rank": st.sampled_from([2, 3]),
    "shape": st.sampled_from([[5, 6], [5, 7]]),
    "minimal_spec": st.booleans(),
    "strip_context": st.booleans(),
}


@given(
    # TensorStore derives the transform once, ours follows the schema.
    jsons.filter(lambda x: "transform" not in x and "+inf" not in str(x)),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_updates_are_tensorstores(members: dict, data: st.DataObject) -> None:
    changes = data.draw(st.fixed_dictionaries({}, optional=UPDATES))

    def updated(spec: Any) -> Any:
        spec.update(**changes)
        return spec

    json = {**ZARR3, **members}
    assert outcome(lambda: updated(Spec(json))) == outcome(lambda: updated(ts.Spec(json)))


@pytest.mark.parametrize(
    "url",
    [
        "memory://abc/|zarr3:",
        "memory://abc/|zarr3:a/b",
        "memory://abc|zarr3",
        "memory://abc",
        "file:///tmp/a%20b/|zarr3:c%2Fd",
        "file:///tmp/x|zarr2:",
        "file:///tmp/x/",
    ],
)
def test_urls_are_tensorstores(url: str) -> None:
    mine, theirs = Spec(url), ts.Spec(url)
    assert mine.to_json() == theirs.to_json()
    assert mine.url == theirs.url


@pytest.mark.parametrize(
    ("json", "text"),
    [
        ({}, 'Error parsing object member "driver": Expected string, but member is missing'),
        ({"driver": "zarr9"}, '"zarr9" is not a registered TensorStore driver'),
        ({**ZARR3, "bogus": 1}, 'Object includes extra members: "bogus"'),
        ({**ZARR3, "kvstore": {"driver": "memory", "x": 1}}, 'member "kvstore": Object includes'),
        ({**ZARR3, "kvstore": 5}, 'member "kvstore": Expected object, but received: 5'),
        ({**ZARR3, "open": "x"}, 'member "open": Expected boolean, but received: "x"'),
        ({**ZARR3, "recheck_cached_data": "b"}, 'Expected boolean, number, or "open"'),
        ({**ZARR3, "cache_pool": 5}, 'member "cache_pool": Expected object, but received: 5'),
        ({**ZARR3, "transform": 5}, 'Error parsing object member "transform"'),
        ({**ZARR3, "schema": {"bogus": 1}}, 'member "schema": Object includes extra members'),
        ({**ZARR3, "rank": 2, "schema": {"rank": 3}}, 'member "rank": Rank specified by rank (2)'),
        ({**ZARR3, "dtype": "uint8", "schema": {"dtype": "int8"}}, "Specified dtype (uint8)"),
        ({**ZARR3, "rank": 3, "transform": {"input_shape": [2]}}, "rank"),
        ("file:///tmp/x|bogus:", 'unsupported URL scheme: "bogus"'),
        ("file:///tmp/x|zarr3:|zarr3:", "not valid following a"),
        (5, "Expected object, but received: 5"),
    ],
)
def test_errors_name_the_path(json: Any, text: str) -> None:
    with pytest.raises(ValueError) as theirs:
        ts.Spec(json)
    with pytest.raises(InvalidArgument) as mine:
        Spec(json)
    assert text in str(mine.value)
    assert text.split(": ", maxsplit=1)[0] in str(theirs.value)


INDEXING = [
    lambda s: s[1:3],
    lambda s: s[2],
    lambda s: s[..., None],
    lambda s: s[::2, [3, 1]],
    lambda s: s.T,
    lambda s: s.translate_to[7, 8],
    lambda s: s.label["a", "b"],
    lambda s: s.mark_bounds_implicit[:],
    lambda s: s.vindex[[1, 2], [3, 4]],
    lambda s: s[1:3].translate_by[5][6:8],
]
SHAPED = {
    **ZARR3,
    "schema": {
        "domain": {"shape": [5, 6], "labels": ["x", "y"]},
        "dimension_units": ["4nm", "5nm"],
        "fill_value": 3,
        # zarr's own; a driver's module would add it.
        "chunk_layout": {"chunk": {"shape": [2, 3]}, "grid_origin": [0, 0]},
    },
}


@pytest.mark.parametrize("index", INDEXING)
def test_indexing_is_tensorstores(index: Any) -> None:
    mine, theirs = index(Spec(SHAPED)), index(ts.Spec(SHAPED))
    assert mine.to_json() == theirs.to_json()
    assert mine.transform.to_json() == theirs.transform.to_json()
    assert mine.domain.to_json() == theirs.domain.to_json()
    assert mine.chunk_layout.to_json() == theirs.chunk_layout.to_json()
    assert [unit and unit.to_json() for unit in mine.dimension_units] == [
        unit and unit.to_json() for unit in theirs.dimension_units
    ]
    assert Spec(mine.to_json()) == mine


def test_a_derived_transform_is_not_taken_for_a_choice() -> None:
    spec = Spec(SHAPED)
    again = Spec(spec.to_json())
    assert again.state.transform is None
    again = Spec(spec[1:].to_json())
    assert again.state.transform == spec[1:].transform


def test_indexing_needs_a_rank() -> None:
    with pytest.raises(InvalidArgument, match="unspecified rank"):
        _ = Spec(ZARR3)[3]


def test_properties_see_through_the_transform() -> None:
    spec = Spec(SHAPED)[1:3, 2]
    assert (spec.shape, spec.origin, spec.size, spec.ndim) == ((2,), (1,), 2, 1)
    assert spec.driver == "zarr3"
    assert spec.dtype is None
    assert spec.codec == CodecSpec({"driver": "zarr3"})
    assert spec.base is None
    assert spec.fill_value == np.array(3)
    assert spec.kvstore == KvStore.Spec({"driver": "memory"})
    assert spec.stored_schema == Schema({**SHAPED["schema"], "codec": {"driver": "zarr3"}})
    assert Spec(ZARR3).rank is Spec(ZARR3).domain is Spec(ZARR3).transform is None
    assert Spec({"driver": "zarr3"}).kvstore is None
    with pytest.raises(InvalidArgument, match="domain"):
        _ = Spec(ZARR3).shape
    with pytest.raises(InvalidArgument, match="kvstore"):
        _ = Spec({"driver": "zarr3"}).url


MOVED = [
    lambda s: s.translate_to[7, 8],
    lambda s: s.translate_by[1].T,
    lambda s: s.T.translate_by[2, None].label["a", "b"],
    lambda s: s[::-1],
]


@pytest.mark.parametrize("view", MOVED)
@pytest.mark.parametrize(
    "constraints",
    [
        {"dtype": "uint8", "rank": 2},
        {"dimension_units": ["4nm", "5s"]},
        {"chunk_layout": {"chunk": {"shape": [2, 3]}, "inner_order": [0, 1]}},
        {"domain": {"shape": [9, 9]}, "fill_value": [[row] for row in range(9)]},
        {"domain": {"inclusive_min": [1, ["-inf"]], "exclusive_max": [4, 9]}},
        {"domain": {"shape": [9, 9], "labels": ["a", ""]}},
    ],
)
def test_constraints_are_carried_through_a_transform(view: Any, constraints: dict) -> None:
    def constrained(spec: Any, schema: Any) -> Any:
        spec = view(spec)
        spec.update(schema=schema)
        return spec.to_json().get("schema")

    json = {**ZARR3, "transform": {"input_shape": [9, 9]}}
    mine = constrained(Spec(json), Schema(constraints))
    assert mine == constrained(ts.Spec(json), ts.Schema(constraints))


def test_constraints_do_not_cross_every_transform() -> None:
    spec = Spec(SHAPED)[1:5:2]
    spec.update(dtype="uint8", rank=2)
    assert spec.dtype == "uint8"
    with pytest.raises(InvalidArgument, match="rank"):
        spec.update(rank=3)
    with pytest.raises(InvalidArgument, match="before indexing"):
        spec.update(shape=[2, 6])


def test_updates_are_all_or_nothing() -> None:
    spec = Spec(ZARR3)
    before = spec.to_json()
    with pytest.raises(InvalidArgument):
        spec.update(create=True, recheck_cached="bogus")
    with pytest.raises(InvalidArgument):
        spec.update(create=True, dtype="uint8", rank=99)
    with pytest.raises(IncompatibleType):
        spec.update(create=True, bogus=1)
    with pytest.raises(IncompatibleType):
        spec.update(create=True, open_mode="r")
    assert spec.to_json() == before


def test_a_kvstore_is_given_once() -> None:
    mine, theirs = Spec({"driver": "zarr3"}), ts.Spec({"driver": "zarr3"})
    mine.update(kvstore=KvStore.Spec("memory://x/"), open_mode=OpenMode(create=True))
    theirs.update(kvstore=ts.KvStore.Spec("memory://x/"), create=True)
    assert mine.to_json() == theirs.to_json()
    assert mine.kvstore is not None
    mine.kvstore.path = "y/"
    mine.open_mode.open = True
    assert mine.kvstore.path == "x/"
    assert mine.open_mode == OpenMode(create=True)
    for spec, module in ((mine, KvStore), (theirs, ts.KvStore)):
        with pytest.raises(ValueError, match='"kvstore" is already specified'):
            spec.update(kvstore=module.Spec("memory://z"))


def test_the_base_of_a_cast_is_seen_as_the_cast_is() -> None:
    def base(module: Any) -> Any:
        below = module.Spec({**ZARR3, "schema": {"domain": {"shape": [9, 9]}, "dtype": "uint8"}})
        cast = module.cast(below, module.float32)
        return [cast.base.to_json(), cast[2:4, 5].base.to_json()]

    assert base(at) == base(ts)


def test_minimal_specs_are_tensorstores() -> None:
    json = {
        **ZARR3,
        "metadata": {"shape": [5], "data_type": "uint8"},
        "schema": {"fill_value": 3, "domain": {"shape": [5]}},
    }
    mine, theirs = Spec(json), ts.Spec(json)
    for spec in (mine, theirs):
        spec.update(minimal_spec=True)
    assert mine.to_json() == theirs.to_json()
    assert "metadata" not in mine.to_json()


def test_drivers_and_members_are_checked_at_once() -> None:
    json = {**ZARR3, "metadata": {"shape": [5]}, "schema": {"domain": {"shape": [5]}}}
    spec = Spec(json)
    assert spec.options["metadata"] == {"node_type": "array", "shape": [5]}
    assert spec.shape == (5,)
    assert spec.state.transform is None
    with pytest.raises(InvalidArgument, match="bogus"):
        Spec({**json, "bogus": 1})
    with pytest.raises(InvalidArgument, match="zarr9"):
        Spec({"driver": "zarr9"})


def test_defaults_are_tensorstores() -> None:
    mine = Spec(ZARR3).to_json(include_defaults=True)
    theirs = ts.Spec(ZARR3).to_json(include_defaults=True)
    # What its kvstore and its driver add is theirs to say.
    for json in (mine, theirs):
        json.pop("kvstore")
        json.pop("metadata", None)
    assert mine == theirs

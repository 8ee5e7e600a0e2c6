"""`Schema` against TensorStore's: JSON, merging, indexing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit

bound = st.sampled_from([0, 3, [0], [3], "-inf", ["-inf"]])
upper = st.sampled_from([5, 7, [5], [7], "+inf", ["+inf"]])
label = st.sampled_from(["", "", "x", "y"])
two = {"min_size": 2, "max_size": 2}
domains = st.fixed_dictionaries(
    {"inclusive_min": st.lists(bound, **two), "exclusive_max": st.lists(upper, **two)},
    optional={"labels": st.lists(label, **two).filter(lambda x: x[0] != x[1] or not x[0])},
)
layouts = st.fixed_dictionaries(
    {},
    optional={
        "inner_order": st.permutations([0, 1]),
        "grid_origin": st.lists(st.sampled_from([None, 0, 1]), **two),
        "chunk": st.fixed_dictionaries(
            {}, optional={"shape": st.lists(st.sampled_from([None, 4, 6]), **two)}
        ),
    },
)
fills = st.sampled_from([1, 2, [1, 2], [[1], [2]], [[1, 2, 3, 4, 5]], [[[1]]]])
MEMBERS = {
    "rank": st.sampled_from([2, 2, 2, 3]),
    "dtype": st.sampled_from(["uint8", "float32"]),
    "domain": domains,
    "chunk_layout": layouts,
    "fill_value": fills,
    "dimension_units": st.lists(st.sampled_from([None, "4nm", [4, "nm"], "m"]), **two),
}
jsons = st.fixed_dictionaries({}, optional=MEMBERS)


def outcome(call: Any) -> Any:
    """The JSON of what `call` returns, or "refused"."""
    try:
        return call().to_json()
    except ValueError:
        return "refused"


@given(jsons)
@settings(deadline=None)
def test_json_means_what_it_means_to_tensorstore(json: dict) -> None:
    mine = outcome(lambda: Schema(json))
    assert mine == outcome(lambda: ts.Schema(json))
    if mine != "refused":
        assert Schema(mine) == Schema(json)
        assert repr(Schema(json)) == repr(ts.Schema(json))


@given(jsons, jsons)
@settings(max_examples=200, deadline=None)
def test_schemas_merge_as_in_tensorstore(first: dict, second: dict) -> None:
    def merged(cls: Any) -> Any:
        # With one data type for both, as JSON values and numbers never compare equal there.
        schema = cls({"dtype": "uint8", **first})
        schema.update(schema=cls({"dtype": "uint8", **second}))
        return schema

    theirs = outcome(lambda: merged(ts.Schema))
    labels = [] if theirs == "refused" else theirs.get("domain", {}).get("labels", [])
    given_labels = [label for label in labels if label]
    # tensorstore lets one label be given twice in this way; it refuses that everywhere else.
    assume(len(given_labels) == len(set(given_labels)))
    assert outcome(lambda: merged(Schema)) == theirs


FULL: dict[str, Any] = {
    "domain": {"shape": [20, 30], "labels": ["x", "y"]},
    "dimension_units": ["4nm", "5nm"],
    "chunk_layout": {
        "inner_order": [1, 0],
        "grid_origin": [0, 3],
        "write_chunk": {"shape": [4, 6], "elements": 9},
        "read_chunk": {"shape_soft_constraint": [2, -1], "aspect_ratio": [1, 2]},
    },
    "dtype": "uint8",
    "fill_value": [[row] for row in range(20)],
}
INDEXING = [
    lambda s: s[::2],
    lambda s: s[3],
    lambda s: s[:, 7],
    lambda s: s[[1, 2], 5:9],
    lambda s: s[5:9, [[1], [2]]],
    lambda s: s.oindex[[0, 1], [1, 2]],
    lambda s: s.vindex[[0, 1], [1, 2]],
    lambda s: s[None, ..., 4:20:3],
    lambda s: s[18:2:-3],
    lambda s: s.T,
    lambda s: s.transpose(["y", "x"]),
    lambda s: s.translate_to[5, 7],
    lambda s: s.translate_by[5, None],
    lambda s: s.translate_backward_by[5],
    lambda s: s.label["a", "b"],
]


@pytest.mark.parametrize("index", INDEXING)
def test_indexing_is_tensorstores(index: Any) -> None:
    assert index(Schema(FULL)).to_json() == index(ts.Schema(FULL)).to_json()


def test_indexing_needs_a_rank_only() -> None:
    schema = Schema(rank=2)
    assert schema == schema.T
    transform = IndexTransform(input_rank=3, output=[])
    # In TensorStore, the explicit bounds of a schema's domain stay explicit.
    marked = Schema(shape=[3]).mark_bounds_implicit[:True]
    assert marked.domain == IndexDomain(shape=[3], implicit_upper_bounds=[True])
    with pytest.raises(InvalidArgument, match="rank"):
        _ = Schema(dtype="uint8")[3]
    with pytest.raises(IndexError):
        _ = Schema(rank=2)[transform]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"dtype": "uint8"}, {"dtype": "uint16"}, "Invalid dtype: Specified dtype (uint16) does"),
        ({"rank": 2}, {"rank": 3}, "Rank specified by rank (3) does not match existing rank"),
        ({"rank": 2}, {"shape": [3]}, "Rank specified by shape (1) does not match"),
        ({"shape": [3]}, {"shape": [4]}, "Cannot merge index domain { [0, 3) } with index domain"),
        (
            {"domain": IndexDomain(labels=["x"])},
            {"domain": IndexDomain(labels=["y"])},
            'Mismatch in dimension 0: Mismatch in labels: "x" and "y"',
        ),
        (
            {"chunk_layout": ChunkLayout(chunk_shape=[1])},
            {"chunk_layout": ChunkLayout(chunk_shape=[2])},
            "Invalid chunk_layout: Error setting write_chunk shape: New hard constraint (2)",
        ),
        ({"rank": 3}, {"chunk_layout": ChunkLayout(rank=2)}, "Rank specified by chunk_layout (2)"),
        ({"fill_value": 5}, {"fill_value": 6}, "Specified fill_value (6) does not match existing"),
        ({"shape": [3]}, {"fill_value": [1, 2]}, "fill_value is incompatible with domain: Cannot"),
        ({"fill_value": [1, 2]}, {"shape": [3]}, "domain is incompatible with fill_value: Cannot"),
        ({"rank": 1}, {"fill_value": [[1], [2]]}, "Invalid fill_value for rank 1"),
        (
            {"fill_value": [[1], [2]]},
            {"rank": 1},
            "is incompatible with existing fill_value of shape",
        ),
        (
            {"dimension_units": ["4nm", None]},
            {"dimension_units": ["5nm", None]},
            'Cannot merge dimension units ["5 nm",null] and ["4 nm",null]',
        ),
        (
            {"codec": CodecSpec({"driver": "zarr"})},
            {"codec": CodecSpec({"driver": "zarr3"})},
            'Cannot merge codec spec {"driver":"zarr","filters":null} with {"driver":"zarr3"}',
        ),
        ({"dtype": "uint8"}, {"fill_value": 300}, "300 cannot be represented as uint8"),
        ({"dtype": "uint8"}, {"fill_value": 1.5}, "1.5 cannot be represented as uint8"),
        ({"dtype": "string"}, {"fill_value": 1}, "1 cannot be represented as string"),
    ],
)
def test_contradictions_name_the_constraint_and_both_values(
    first: dict, second: dict, text: str
) -> None:
    schema = Schema(**first)
    before = schema.to_json()
    with pytest.raises((InvalidArgument, IncompatibleType)) as error:
        schema.update(**second)
    assert text in str(error.value)
    assert schema.to_json() == before


def test_fill_values_compare_by_value() -> None:
    schema = Schema(fill_value=5)
    schema.update(fill_value=np.uint8(5))
    schema.update(fill_value=5.0)
    nan = Schema(fill_value=np.nan, dtype="float32")
    nan.update(fill_value=np.nan)
    assert nan == nan.copy()
    assert nan.fill_value is not None
    assert nan.fill_value.dtype == np.float32
    assert not nan.fill_value.flags.writeable
    assert nan.to_json() == {"dtype": "float32", "fill_value": "NaN"}


@pytest.mark.parametrize(
    ("dtype", "json"),
    [
        ("complex64", [1.0, 2.0]),
        ("complex64", [[1.0, 2.0], [3.0, "NaN"]]),
        ("bool", True),
        ("bfloat16", 1.5),
        ("int64", [[1, 2], [3, 4]]),
        ("json", {"a": [1]}),
        ("byte", [7]),
        ("char", [[65], [66]]),
        ("json", None),
    ],
)
def test_fill_values_survive_json(dtype: str, json: Any) -> None:
    schema = Schema({"dtype": dtype, "fill_value": json})
    assert schema.to_json()["fill_value"] == json
    assert Schema(schema.to_json()) == schema


@pytest.mark.parametrize(
    "json",
    [
        {"bogus": 1},
        {"fill_value": 500, "dtype": "uint8"},
        {"fill_value": [[1], [2, 3]], "dtype": "uint8"},
        {"rank": 33},
        {"rank": -2},
        {"dtype": "bogus"},
        {"domain": 5},
        {"dimension_units": 5},
        {"dimension_units": ["4nm", {}]},
        {"codec": {}},
        {"rank": 2, "domain": {"shape": [1]}},
        5,
    ],
)
def test_bad_json_is_refused_with_its_path(json: Any) -> None:
    with pytest.raises(ValueError):
        ts.Schema(json)
    with pytest.raises(InvalidArgument) as error:
        Schema(json)
    if isinstance(json, dict) and "bogus" not in json:
        assert any(f'Error parsing object member "{name}"' in str(error.value) for name in json)


@pytest.mark.parametrize(
    "options",
    [
        {"bogus": 1},
        {"rank": "2"},
        {"chunk_layout": {}},
        {"codec": {}},
        {"domain": {"shape": [1]}},
        {"dimension_units": "nm"},
        {"schema": {}},
    ],
)
def test_wrong_types_are_type_errors(options: dict) -> None:
    with pytest.raises(IncompatibleType):
        Schema(**options)


def test_properties() -> None:
    schema = Schema(FULL)
    assert (schema.shape, schema.origin, schema.size) == ((20, 30), (0, 0), 600)
    assert (schema.rank, schema.ndim) == (2, 2)
    assert schema.dimension_units == (Unit("4nm"), Unit("5nm"))
    assert schema.dtype == "uint8"
    assert schema.domain == IndexDomain(shape=[20, 30], labels=["x", "y"])
    layout = schema.chunk_layout
    layout.update(codec_chunk_elements=4)
    assert schema.chunk_layout != layout
    assert Schema().dimension_units is Schema().rank is Schema().fill_value is None
    assert Schema(rank=2).dimension_units == (None, None)
    with pytest.raises(InvalidArgument, match="domain"):
        _ = Schema(rank=2).shape


def test_schemas_compare_copy_and_pickle() -> None:
    schema = Schema(FULL)
    for twin in (schema.copy(), copy.copy(schema), pickle.loads(pickle.dumps(schema))):
        assert twin == schema
        twin.update(codec=CodecSpec({"driver": "zarr3"}))
        assert twin != schema
    with pytest.raises(TypeError):
        hash(schema)


@pytest.mark.parametrize(
    "member",
    [
        {"rank": 2},
        {"dtype": "uint8"},
        {"domain": {"shape": [2]}},
        {"chunk_layout": {"read_chunk": {"elements_soft_constraint": 100}}},
        {"codec": {"driver": "zarr3"}},
        {"fill_value": 0},
        {"dimension_units": ["nm"]},
    ],
)
def test_a_schema_is_empty_if_it_constrains_nothing(member: dict[str, Any]) -> None:
    assert Schema({}).state.is_empty
    assert not Schema(member).state.is_empty

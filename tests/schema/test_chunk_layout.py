"""`ChunkLayout` against TensorStore's: keywords, JSON, merging."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema.chunk_layout import ChunkLayout

RANK = 2
sizes = st.lists(st.sampled_from([None, None, 0, -1, 2, 3, 100]), min_size=RANK, max_size=RANK)
ratios = st.lists(st.sampled_from([None, 0, 1, 2.5]), min_size=RANK, max_size=RANK)
origins = st.lists(st.sampled_from([None, None, 0, -5]), min_size=RANK, max_size=RANK)
orders = st.permutations(range(RANK))
elements = st.sampled_from([0, 7, 1000])
VALUES = {"shape": sizes, "aspect_ratio": ratios, "elements": elements}


def pairs(names: dict[str, st.SearchStrategy]) -> dict[str, st.SearchStrategy]:
    return {name + soft: value for name, value in names.items() for soft in SOFT}


SOFT = ("", "_soft_constraint")
grids = st.fixed_dictionaries({}, optional=pairs(VALUES))
keywords = st.fixed_dictionaries(
    {},
    optional={
        "rank": st.just(RANK),
        **pairs({"inner_order": orders, "grid_origin": origins}),
        **pairs(
            {
                f"{prefix}chunk_{kind}": value
                for prefix in ("", "write_", "read_")
                for kind, value in VALUES.items()
            }
        ),
    },
)
jsons = st.fixed_dictionaries(
    {},
    optional={
        **pairs({"inner_order": orders, "grid_origin": origins}),
        **dict.fromkeys(("chunk", "write_chunk", "read_chunk", "codec_chunk"), grids),
    },
)


def outcome(call: Any) -> Any:
    """The JSON of what `call` returns, or "refused"."""
    try:
        return call().to_json()
    except ValueError:
        return "refused"


@given(keywords)
@settings(deadline=None)
def test_keywords_mean_what_they_mean_to_tensorstore(options: dict) -> None:
    assert outcome(lambda: ChunkLayout(**options)) == outcome(lambda: ts.ChunkLayout(**options))


@given(jsons)
@settings(deadline=None)
def test_json_means_what_it_means_to_tensorstore(json: dict) -> None:
    mine = outcome(lambda: ChunkLayout(json))
    assert mine == outcome(lambda: ts.ChunkLayout(json))
    if mine != "refused":
        assert ChunkLayout(json).to_json() == ChunkLayout(ChunkLayout(json).to_json()).to_json()
        assert repr(ChunkLayout(json)) == repr(ts.ChunkLayout(json))


@given(keywords, keywords)
@settings(deadline=None)
def test_updates_merge_as_in_tensorstore(first: dict, second: dict) -> None:
    def updated(cls: Any) -> Any:
        layout = cls(**first)
        layout.update(**second)
        return layout

    assert outcome(lambda: updated(ChunkLayout)) == outcome(lambda: updated(ts.ChunkLayout))


@given(jsons, jsons)
@settings(max_examples=50, deadline=None)
def test_layouts_merge_as_schemas_of_tensorstore_merge_theirs(first: dict, second: dict) -> None:
    def merged() -> Any:
        layout = ChunkLayout(first)
        layout.merge(ChunkLayout(second))
        return layout

    def theirs() -> Any:
        schema = ts.Schema(chunk_layout=ts.ChunkLayout(first))
        schema.update(chunk_layout=ts.ChunkLayout(second))
        return schema.chunk_layout

    assert outcome(merged) == outcome(theirs)


@given(grids, grids)
@settings(deadline=None)
def test_grids_are_tensorstores(first: dict, second: dict) -> None:
    def updated(cls: Any) -> Any:
        grid = cls(**first)
        grid.update(grid=cls(second))
        return grid

    assert outcome(lambda: updated(ChunkLayout.Grid)) == outcome(
        lambda: updated(ts.ChunkLayout.Grid)
    )
    if outcome(lambda: updated(ChunkLayout.Grid)) != "refused":
        mine, theirs = updated(ChunkLayout.Grid), updated(ts.ChunkLayout.Grid)
        for name in ("rank", "ndim", *pairs(VALUES)):
            assert getattr(mine, name) == getattr(theirs, name)


LAYOUT: dict[str, Any] = {
    "inner_order": [1, 0],
    "grid_origin": [0, None],
    "grid_origin_soft_constraint": [3, 4],
    "write_chunk_shape": [10, -1],
    "read_chunk_elements": 6,
    "chunk_aspect_ratio_soft_constraint": [None, 2],
}


@pytest.mark.parametrize("options", [{}, {"rank": 2}, LAYOUT])
def test_properties_are_tensorstores(options: dict) -> None:
    mine, theirs = ChunkLayout(**options), ts.ChunkLayout(**options)
    for name in ("rank", "ndim", *pairs({"inner_order": orders, "grid_origin": origins})):
        assert getattr(mine, name) == getattr(theirs, name)
    for name in ("write_chunk", "read_chunk", "codec_chunk"):
        assert getattr(mine, name).to_json() == getattr(theirs, name).to_json()


@pytest.mark.parametrize(
    "json",
    [
        {"bogus": 1},
        {"chunk": {"bogus": 1}},
        {"chunk": {"shape": 3}},
        {"chunk": {"elements": "5"}},
        {"chunk": {"elements": -5}},
        {"chunk": None},
        {"inner_order": [0, 2]},
        {"codec_chunk": {"elements": True}},
        {"chunk": {"shape": ["a"]}},
        {"chunk": {"shape": [1, 2]}, "write_chunk": {"shape": [1, 3]}},
        5,
        None,
    ],
)
def test_errors_of_json_name_the_path(json: object) -> None:
    with pytest.raises(ValueError) as theirs:
        ts.ChunkLayout(json)
    with pytest.raises(InvalidArgument) as mine:
        ChunkLayout(json)
    # Between "shape" and the mismatch, ours also says of which chunk; after unknown members, which
    # ones are known, and after all, which members contradict each other.
    expected = str(theirs.value).split(": ")
    assert set(expected) <= set(mine.value.message.partition("; known are")[0].split(": "))


def test_a_mismatch_names_the_constraint_and_both_values() -> None:
    layout = ChunkLayout(write_chunk_shape=[10, 20])
    with pytest.raises(InvalidArgument) as error:
        layout.update(rank=2, read_chunk_shape=[5, 5], chunk_shape=[10, 21])
    assert str(error.value) == (
        "Invalid chunk_shape: Error setting write_chunk shape: New hard constraint (21) for "
        "dimension 1 does not match existing hard constraint (20)"
    )
    assert layout == ChunkLayout(write_chunk_shape=[10, 20])


def test_what_tensorstore_gets_wrong_is_right_here() -> None:
    # Its codec_chunk_shape constrains read chunks, its grid_soft_constraint is hard.
    layout = ChunkLayout(write_chunk_shape=[5], codec_chunk_shape=[4])
    assert layout.to_json() == {"codec_chunk": {"shape": [4]}, "write_chunk": {"shape": [5]}}
    grid = ChunkLayout.Grid(shape=[1, None])
    grid.update(grid_soft_constraint=ChunkLayout.Grid(shape=[3, 3]))
    assert grid.to_json() == {"shape": [1, None], "shape_soft_constraint": [None, 3]}


@pytest.mark.parametrize(
    "options",
    [
        {"grid_origin": [0, 0], "write_chunk_shape": [100, 200], "read_chunk_elements": 5},
        {"grid_origin": [0, 0], "write_chunk_shape": [100, 200], "read_chunk_shape": [50, None]},
        {"grid_origin": [0, 0], "write_chunk_shape": [100, 200], "read_chunk_shape": [30, None]},
        {"grid_origin": [0, 0], "write_chunk_shape_soft_constraint": [100, 200]},
        {"grid_origin": [0, None], "write_chunk_shape": [100, 200]},
        {"grid_origin": [0, 0], "read_chunk_shape": [100, 200]},
        {},
        {"rank": 0},
    ],
)
def test_finalize_is_tensorstores(options: dict) -> None:
    assert outcome(lambda: ChunkLayout(**options, finalize=True)) == outcome(
        lambda: ts.ChunkLayout(**options, finalize=True)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"bogus": 3},
        {"chunk_shape": "ab"},
        {"chunk_shape": 5},
        {"chunk_shape": [1.5]},
        {"chunk_elements": 2.0},
        {"chunk": {"shape": [1]}},
        {"chunk_aspect_ratio": ["a"]},
        {"inner_order": [0.0]},
        {"rank": "2"},
    ],
)
def test_wrong_types_are_type_errors(options: dict) -> None:
    with pytest.raises(IncompatibleType):
        ChunkLayout(**options)
    with pytest.raises(TypeError):
        ts.ChunkLayout(**options)


def test_layouts_compare_copy_and_pickle() -> None:
    layout = ChunkLayout(**LAYOUT)
    for twin in (layout.copy(), copy.copy(layout), pickle.loads(pickle.dumps(layout))):
        assert twin == layout
        twin.update(codec_chunk_elements=3)
        assert twin != layout
    assert layout.write_chunk == pickle.loads(pickle.dumps(layout.write_chunk))
    assert ChunkLayout(chunk_shape=[None, None], rank=2) == ChunkLayout(rank=2)
    with pytest.raises(TypeError):
        hash(layout)


@pytest.mark.parametrize("name", ["read_chunk_template", "write_chunk_template"])
@pytest.mark.parametrize(
    "options",
    [
        {"grid_origin": [5, 6], "chunk_shape": [100, 200]},
        {"grid_origin": [None, 6], "chunk_shape": [100, None]},
        {"grid_origin_soft_constraint": [5, 6], "chunk_shape": [100, 200]},
        {"rank": 3},
    ],
)
def test_templates_are_tensorstores(name: str, options: dict) -> None:
    mine, theirs = getattr(ChunkLayout(**options), name), getattr(ts.ChunkLayout(**options), name)
    assert mine.to_json() == theirs.to_json()


def test_templates_need_a_rank_and_room() -> None:
    with pytest.raises(InvalidArgument, match="unspecified"):
        _ = ChunkLayout().read_chunk_template
    with pytest.raises(InvalidArgument, match="dimension 0"):
        _ = ChunkLayout(grid_origin=[2**62 - 2], chunk_shape=[100]).write_chunk_template

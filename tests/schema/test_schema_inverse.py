"""Constraints on specs that have been indexed, against TensorStore's."""

from __future__ import annotations

from typing import Any

import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import InvalidArgument, OutOfRange

SPEC: dict[str, Any] = {"driver": "zarr3", "kvstore": "memory://a/", "rank": 2}


@st.composite
def transforms(draw: Any) -> dict[str, Any]:
    rank = draw(st.integers(0, 3))
    kinds = st.sampled_from(["single", "single", "single", "constant", "array"])
    output: list[dict[str, Any]] = []
    for _ in range(2):
        kind = draw(kinds) if rank else "constant"
        each: dict[str, Any] = {"offset": draw(st.integers(-3, 3))}
        if kind != "constant":
            each["stride"] = draw(st.sampled_from([1, 1, 1, -1, 2, -3]))
        if kind == "single":
            each["input_dimension"] = draw(st.integers(0, rank - 1))
        if kind == "array":
            each["index_array"] = [[[4, 1]]] if rank == 3 else [[4, 1]] if rank == 2 else [4, 1]
        output.append(each)
    lower = [draw(st.integers(-2, 2)) for _ in range(rank)]
    json: dict[str, Any] = {"input_rank": rank, "output": output}
    if any("index_array" in each for each in output):
        json["input_inclusive_min"] = lower
        json["input_exclusive_max"] = [low + 2 for low in lower]
    return json


def vectors(items: Any, rank: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=rank, max_size=rank)


@st.composite
def constraints(draw: Any, rank: int) -> dict[str, Any]:
    sizes = vectors(st.sampled_from([None, 0, 1, 2, 5]), rank)
    ratios = vectors(st.sampled_from([None, 1, 2.5]), rank)
    origins = vectors(st.sampled_from([None, 0, 3, -4]), rank)
    bound = st.sampled_from([0, [0], 1])
    grid = st.fixed_dictionaries(
        {},
        optional={
            "shape": sizes,
            "shape_soft_constraint": sizes,
            "aspect_ratio": ratios,
            "aspect_ratio_soft_constraint": ratios,
            "elements": st.just(7),
        },
    )
    layout = st.fixed_dictionaries(
        {},
        optional={
            "grid_origin": origins,
            "grid_origin_soft_constraint": origins,
            "inner_order": st.permutations(range(rank)),
            "inner_order_soft_constraint": st.permutations(range(rank)),
            "chunk": grid,
            "write_chunk": grid,
            "codec_chunk": grid,
        },
    )
    domain = st.one_of(
        st.fixed_dictionaries({"labels": st.just(["x", "", "z"][:rank])}),
        st.fixed_dictionaries(
            {"inclusive_min": vectors(bound, rank)},
            optional={"exclusive_max": vectors(st.sampled_from([4, [5]]), rank)},
        ),
    )
    fill = st.sampled_from([1, [1], [1, 2], [[1], [2]], [[[1, 2]]]])
    units = vectors(st.sampled_from([None, "4nm", [2, "s"]]), rank)
    kinds: dict[str, Any] = {"chunk_layout": layout, "dtype": st.just("uint8")}
    if not rank:
        # TensorStore gives layouts of rank 0 that it cannot write.
        kinds = {"dtype": st.just("uint8")}
    else:
        kinds |= {"domain": domain, "fill_value": fill, "dimension_units": units}
    found: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=kinds))
    if draw(st.integers(0, 3)):
        # Alone, as else most are refused for one reason.
        found = dict([draw(st.sampled_from(sorted(found.items(), key=repr)))]) if found else {}
    return found


def constrained(library: Any, transform: dict[str, Any], json: dict[str, Any]) -> Any:
    spec = library.Spec(SPEC)[library.IndexTransform(json=transform)]
    schema = library.Schema(json)
    try:
        spec.update(schema=schema)
    except ValueError as error:
        return str(error)
    return spec.to_json().get("schema"), spec.to_json().get("dtype")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_constraints_on_a_view(data: st.DataObject) -> None:
    transform = data.draw(transforms())
    json = data.draw(constraints(transform["input_rank"]))
    try:
        ts.Schema(json)
    except ValueError:
        return
    ours, theirs = (constrained(library, transform, json) for library in (ts, tensorstore))
    if isinstance(ours, str) and "contradicts" in ours:
        # What zarr has none of, such as chunks that do not begin at 0: TensorStore says it later.
        return
    if "No output dimension corresponds to input dimension" in f"{ours}{theirs}":
        # Whether TensorStore drops these or refuses them depends on the order of dimensions.
        return
    if isinstance(ours, str) or isinstance(theirs, str):
        assert isinstance(ours, str), (ours, theirs)
        assert isinstance(theirs, str), (ours, theirs)
    else:
        assert ours == theirs


VIEWS: list[tuple[Any, dict[str, Any], str]] = [
    (lambda s: s[ts.d[0].stride[2]], {"shape": [2, 6]}, "finite domain.*stride 2 of output dim"),
    (lambda s: s[3], {"shape": [6]}, r"domain.*constant output index map \(output dimension 0\)"),
    (lambda s: s[[1, 3]], {"shape": [2, 6]}, "domain.*array output index map"),
    (lambda s: s[ts.d[0, 1].diagonal], {"shape": [2]}, "same input dimension"),
    (lambda s: s[ts.d[0].stride[2]], {"fill_value": 1}, "fill_value.*stride 2 of output dim"),
    (lambda s: s[..., None], {"fill_value": [1, 2]}, "dimension 2 cannot be mapped"),
    (lambda s: s[..., None], {"dimension_units": [None, None, "s"]}, "input dimension 2 with unit"),
    (lambda s: s[3], {"rank": 2}, "Rank|rank"),
]


@pytest.mark.parametrize(("view", "changes", "text"), VIEWS)
def test_what_cannot_be_carried_through_says_why(view: Any, changes: Any, text: str) -> None:
    spec = view(ts.Spec(SPEC))
    before = spec.to_json()
    with pytest.raises(InvalidArgument, match=text):
        spec.update(**changes)
    assert spec.to_json() == before


@pytest.mark.parametrize(
    ("view", "kept"),
    [(lambda s: s[[1, 3]], (None, 6)), (lambda s: s[:, [1, 3]], (5, None))],
)
def test_index_arrays_have_no_chunks(view: Any, kept: Any) -> None:
    spec = view(ts.Spec(SPEC))
    spec.update(chunk_layout=ts.ChunkLayout(chunk_shape=[5, 6], grid_origin=[0, 0]))
    assert spec.stored_schema.chunk_layout.write_chunk.shape == kept


def test_a_new_dimension_has_no_chunks() -> None:
    with pytest.raises(InvalidArgument, match=r"shape: No output dimension .* input dimension 2"):
        ts.Spec(SPEC)[..., None].update(chunk_layout=ts.ChunkLayout(chunk_shape=[5, 6, 1]))
    with pytest.raises(InvalidArgument, match=r"dimension_units: .* input dimension 2 with unit"):
        ts.Spec(SPEC)[..., None].update(dimension_units=["s", "s", "s"])


def test_nothing_leaves_the_index_space() -> None:
    wide = ts.Spec(SPEC)[ts.d[0].stride[4]]
    with pytest.raises(OutOfRange, match=r"write_chunk: .*shape: .*dimension 0: Integer overflow"):
        wide.update(chunk_layout=ts.ChunkLayout(chunk_shape=[2**61, 1]))
    with pytest.raises(OutOfRange, match=r"grid_origin: .*Integer overflow"):
        wide.update(chunk_layout=ts.ChunkLayout(grid_origin=[2**61, 1]))
    moved = ts.Spec(SPEC)[ts.d[0].translate_by[5]]
    with pytest.raises(OutOfRange, match="Integer overflow"):
        moved.update(domain=ts.IndexDomain(inclusive_min=[-(2**62) + 2, 0]))


def test_all_of_a_dimension_is_all_of_it() -> None:
    # TensorStore makes a chunk of size -2 of it.
    spec = ts.Spec(SPEC)[ts.d[0].stride[2]]
    spec.update(chunk_layout=ts.ChunkLayout(chunk_shape=[-1, 5]))
    assert spec.stored_schema.chunk_layout.write_chunk.shape_soft_constraint == (-1, None)

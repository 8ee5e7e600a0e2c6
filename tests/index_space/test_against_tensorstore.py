"""Random chains of operations, here and in TensorStore: same domains, maps, points and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.index_space.alignment import align_to
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.dim_expression import d
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from tests.index_space.strategies import (
    KEYS,
    apply,
    arrays,
    crashes_tensorstore,
    dim_steps,
    domains,
    expression,
    family,
    flags,
    outcome,
    output_maps,
    steps,
)

SETTINGS = settings(max_examples=250, deadline=None, derandomize=True)


def agree(theirs: Any, ours: Any) -> bool:
    """Whether both gave the same transform (True) or failed alike (False)."""
    if isinstance(theirs, Exception):
        assert isinstance(ours, family(theirs)), (theirs, ours)
        return False
    assert not isinstance(ours, Exception), (theirs, ours)
    assert ours.to_json() == theirs.to_json()
    assert str(ours.domain) == str(theirs.domain)
    assert str(ours) == str(theirs).rstrip()
    for name in PROPERTIES:
        assert getattr(ours, name) == getattr(theirs, name), name
    if not crashes_tensorstore(ours):
        assert list(map(described, ours.output)) == list(map(described, theirs.output))
        assert str(ours.output) == str(theirs.output)
    survives(ours)
    return True


PROPERTIES = (
    "input_rank", "output_rank", "ndim", "input_labels", "input_origin", "input_shape", "origin",
    "shape", "input_inclusive_min", "input_inclusive_max", "input_exclusive_max",
    "implicit_lower_bounds", "implicit_upper_bounds",
)  # fmt: skip


def described(item: Any) -> list[Any]:
    """An output index map as plain values."""
    array = item.index_array
    bounds = str(item.index_range)
    found = [item.method.name, item.offset, item.stride, item.input_dimension, bounds]
    return [*found, None if array is None else array.tolist()]


def survives(ours: IndexTransform) -> None:
    """Whether it comes back from text, JSON and a pickle."""
    known = {"numpy": np, "OutputIndexMap": OutputIndexMap, "Dim": Dim}
    known |= {"IndexTransform": IndexTransform, "IndexDomain": IndexDomain}
    for back in (
        eval(repr(ours), known),
        pickle.loads(pickle.dumps(ours)),
        copy.deepcopy(ours),
    ):
        assert back == ours
    # JSON leaves out the range of an index array that lies within it.
    assert IndexTransform(json=ours.to_json()).to_json() == ours.to_json()
    domain = ours.domain
    assert eval(repr(domain), known) == domain == pickle.loads(pickle.dumps(domain))
    assert IndexDomain(json=domain.to_json()) == domain
    assert [eval(repr(dim), known) for dim in domain] == list(domain)


def points_agree(theirs: Any, ours: Any, data: st.DataObject) -> None:
    point = [
        data.draw(st.integers(max(lo, -9), max(min(hi - 1, 9), max(lo, -9))), label="point")
        for lo, hi in zip(ours.input_inclusive_min, ours.input_exclusive_max, strict=True)
    ]
    expected, got = outcome(lambda: theirs(point)), outcome(lambda: ours(point))
    if isinstance(expected, Exception):
        assert isinstance(got, family(expected))
    else:
        assert got == expected


@SETTINGS
@given(domains(), st.lists(steps(), min_size=1, max_size=4), st.data())
def test_chains_of_indexing(
    arguments: dict[str, Any], chain: list[tuple[str, Any]], data: st.DataObject
) -> None:
    theirs = outcome(lambda: tensorstore.IndexTransform(**arguments))
    ours = outcome(lambda: IndexTransform(**arguments))
    for operation, key in [("start", None), *chain]:
        if operation != "start":
            if crashes_tensorstore(ours):
                return
            before = (theirs, ours)
            theirs = outcome(lambda t=before[0], o=operation, k=key: apply(t, o, k))
            ours = outcome(lambda t=before[1], o=operation, k=key: apply(t, o, k))
        if not agree(theirs, ours):
            return
        points_agree(theirs, ours, data)


@SETTINGS
@given(st.data())
def test_negative_steps_within_explicit_bounds(data: st.DataObject) -> None:
    rank = 2
    lower = [data.draw(st.integers(-9, 9)) for _ in range(rank)]
    shape = [data.draw(st.integers(0, 9)) for _ in range(rank)]
    key = tuple(
        slice(
            data.draw(st.one_of(st.none(), st.integers(-9, 18))),
            data.draw(st.one_of(st.none(), st.integers(-9, 18))),
            data.draw(st.integers(-4, 4)),
        )
        for _ in range(rank)
    )
    box = {"input_inclusive_min": lower, "input_shape": shape}
    theirs = outcome(lambda: tensorstore.IndexTransform(**box)[key])
    ours = outcome(lambda: IndexTransform(**box)[key])
    if agree(theirs, ours):
        points_agree(theirs, ours, data)


@st.composite
def roomy(draw: Any) -> dict[str, Any]:
    """A domain that most inner transforms fit into."""
    rank = draw(st.integers(1, 3))
    return {
        "input_inclusive_min": [-40 + draw(st.integers(0, 3)) for _ in range(rank)],
        "input_shape": [80 + draw(st.integers(0, 3)) for _ in range(rank)],
        "implicit_lower_bounds": draw(flags(rank)),
        "implicit_upper_bounds": draw(flags(rank)),
    }


OUTER_KEYS = st.one_of(
    st.lists(st.sampled_from([2, slice(None, None, 2), slice(None, None, 3), ...]), max_size=1),
    st.lists(arrays(), max_size=1),
).map(tuple)


@SETTINGS
@given(st.one_of(domains(), roomy(), roomy()), domains(), OUTER_KEYS, st.data())
def test_composition(
    outer: dict[str, Any], inner: dict[str, Any], key: Any, data: st.DataObject
) -> None:
    theirs = outcome(lambda: tensorstore.IndexTransform(**outer)[key])
    ours = outcome(lambda: IndexTransform(**outer)[key])
    domain = outcome(lambda: IndexTransform(**inner))
    if isinstance(domain, Exception) or not agree(theirs, ours) or crashes_tensorstore(ours):
        return
    maps = [data.draw(output_maps(domain.input_shape)) for _ in range(ours.input_rank)]
    their_inner = outcome(
        lambda: tensorstore.IndexTransform(
            **inner, output=[tensorstore.OutputIndexMap(**m) for m in maps]
        )
    )
    our_inner = outcome(lambda: IndexTransform(**inner, output=[OutputIndexMap(**m) for m in maps]))
    if not agree(their_inner, our_inner) or crashes_tensorstore(our_inner):
        return
    theirs, ours = outcome(lambda: theirs[their_inner]), outcome(lambda: ours[our_inner])
    if agree(theirs, ours):
        points_agree(theirs, ours, data)


@SETTINGS
@given(st.one_of(domains(), roomy()), domains(prefix=""), OUTER_KEYS)
def test_slicing_by_a_domain(arguments: dict[str, Any], other: dict[str, Any], key: Any) -> None:
    theirs = outcome(lambda: tensorstore.IndexTransform(**arguments)[key])
    ours = outcome(lambda: IndexTransform(**arguments)[key])
    if agree(theirs, ours):
        agree(
            outcome(lambda: theirs[tensorstore.IndexDomain(**other)]),
            outcome(lambda: ours[IndexDomain(**other)]),
        )


@SETTINGS
@given(st.integers(1, 4), st.data())
def test_dimension_expressions(rank: int, data: st.DataObject) -> None:
    labels = ["abcd"[i] if data.draw(st.booleans()) else "" for i in range(rank)]
    arguments = {
        "input_inclusive_min": [data.draw(st.sampled_from([0, 0, 2, -1])) for _ in range(rank)],
        "input_shape": [data.draw(st.integers(2, 6)) for _ in range(rank)],
        "input_labels": labels,
    }
    dims = data.draw(st.permutations(range(rank)))[: data.draw(st.integers(1, rank))]
    selection = tuple(
        labels[dim] if labels[dim] and data.draw(st.booleans()) else dim for dim in dims
    )
    chain = data.draw(st.lists(dim_steps(len(dims)), min_size=1, max_size=3))
    theirs = outcome(
        lambda: tensorstore.IndexTransform(**arguments)[expression(tensorstore.d, selection, chain)]
    )
    ours = outcome(lambda: IndexTransform(**arguments)[expression(d, selection, chain)])
    if isinstance(ours, IndexError) and "is outside valid range" in str(ours):
        # An array that became a single element is checked here at once, there when it is read.
        return
    agree(theirs, ours)


@st.composite
def boxes(draw: Any) -> dict[str, Any]:
    labels = draw(st.one_of(st.just([]), st.permutations(["a", "b", "c"])))
    rank = draw(st.integers(0, 3))
    return {
        "inclusive_min": [draw(st.sampled_from([0, 2, -3])) for _ in range(rank)],
        "shape": [draw(st.sampled_from([1, 2, 2, 3])) for _ in range(rank)],
        "labels": [draw(st.sampled_from([name, ""])) for name in (labels or [""] * 3)[:rank]],
    }


@settings(SETTINGS, max_examples=120)
@given(boxes(), boxes())
def test_alignment_is_that_of_a_write(source: dict[str, Any], target: dict[str, Any]) -> None:
    def store(box: dict[str, Any]) -> Any:
        shape = box["shape"]
        array = tensorstore.array(np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape))
        domain = tensorstore.IndexDomain(**box)
        return array[tensorstore.d[:].translate_to[domain.origin].label[domain.labels]]

    from_store, to_store = store(source), store(target)
    aligned = outcome(lambda: align_to(IndexDomain(**source), IndexDomain(**target)))
    error = outcome(lambda: to_store.write(from_store).result())
    if isinstance(error, Exception):
        assert isinstance(aligned, ValueError)
        assert str(aligned) in str(error)
        return
    moved = from_store[tensorstore.IndexTransform(json=aligned.to_json())]
    np.testing.assert_array_equal(moved.read().result(), to_store.read().result())


BOUNDS = st.tuples(st.integers(-2, 3), st.integers(0, 4), st.booleans(), st.booleans())


@SETTINGS
@given(BOUNDS, BOUNDS, st.sampled_from(["hull", "intersect"]))
def test_hull_and_intersection(a: Any, b: Any, name: str) -> None:
    def dim(cls: Any, bounds: Any) -> Any:
        lower, size, ilo, ihi = bounds
        return cls(inclusive_min=lower, size=size, implicit_lower=ilo, implicit_upper=ihi)

    theirs = getattr(dim(tensorstore.Dim, a), name)(dim(tensorstore.Dim, b))
    assert str(getattr(dim(Dim, a), name)(dim(Dim, b))) == str(theirs)


@SETTINGS
@given(domains(), KEYS)
def test_json_of_tensorstore_is_read_back(arguments: dict[str, Any], key: Any) -> None:
    theirs = outcome(lambda: tensorstore.IndexTransform(**arguments)[key])
    if isinstance(theirs, Exception):
        return
    assert IndexTransform(json=theirs.to_json()).to_json() == theirs.to_json()
    assert IndexDomain(json=theirs.domain.to_json()).to_json() == theirs.domain.to_json()

"""IndexDomain: its forms, selections and operations."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from asynctensor.index_space.dim import Dim
from asynctensor.index_space.dim_expression import d
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import inf
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform

XYZ = IndexDomain(inclusive_min=[1, 2, 3], exclusive_max=[4, 5, 6], labels=["x", "y", "z"])

FORMS: list[tuple[IndexDomain, str]] = [
    (IndexDomain(2), "{ (-inf*, +inf*), (-inf*, +inf*) }"),
    (IndexDomain(rank=0), "{  }"),
    (IndexDomain(shape=[2, 3]), "{ [0, 2), [0, 3) }"),
    (IndexDomain(shape=(2, 3), inclusive_min=np.array([4, 5])), "{ [4, 6), [5, 8) }"),
    (IndexDomain(inclusive_max=[4]), "{ (-inf*, 5) }"),
    (IndexDomain(shape=[2], implicit_upper_bounds=[True]), "{ [0, 2*) }"),
    (IndexDomain(labels=["x", None]), '{ "x": (-inf*, +inf*), (-inf*, +inf*) }'),
    (IndexDomain([Dim(5), Dim(6, label="y")]), '{ [0, 5), "y": [0, 6) }'),
    (IndexDomain(inclusive_min=[-inf], implicit_lower_bounds=[False]), "{ (-inf, +inf*) }"),
    (
        IndexDomain(
            json={
                "inclusive_min": ["-inf", 7, ["-inf"], [8]],
                "exclusive_max": ["+inf", 10, ["+inf"], [17]],
                "labels": ["x", "y", "z", ""],
            }
        ),
        '{ "x": (-inf, +inf), "y": [7, 10), "z": (-inf*, +inf*), [8*, 17*) }',
    ),
]


@pytest.mark.parametrize(("domain", "text"), FORMS)
def test_forms(domain: IndexDomain, text: str) -> None:
    assert str(domain) == text
    assert eval(repr(domain)) == domain
    assert pickle.loads(pickle.dumps(domain)) == domain
    assert copy.copy(domain) is copy.deepcopy(domain) is domain
    assert IndexDomain(json=domain.to_json()) == domain
    assert hash(IndexDomain(list(domain))) == hash(domain)


def test_vectors() -> None:
    assert XYZ.rank == XYZ.ndim == len(XYZ) == 3
    assert XYZ.origin == XYZ.inclusive_min == (1, 2, 3)
    assert XYZ.inclusive_max == (3, 4, 5)
    assert XYZ.shape == (3, 3, 3)
    assert XYZ.size == 27
    assert XYZ.index_exp == (slice(1, 4), slice(2, 5), slice(3, 6))
    assert IndexDomain(1).index_exp == (slice(None),)
    with pytest.raises(ValueError, match="negative bounds"):
        _ = IndexDomain(inclusive_min=[-1], shape=[3]).index_exp


def test_it_is_immutable() -> None:
    with pytest.raises(AttributeError):
        XYZ.rep = IndexDomain(3).rep  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Must specify `rank`"),
        ({"rank": 3, "shape": [1]}, "does not match rank specified by `rank`"),
        ({"shape": [1], "exclusive_max": [2]}, "Cannot specify both"),
        ({"inclusive_min": [3], "exclusive_max": [2]}, "valid closed index interval"),
        ({"labels": ["x", "x"]}, 'Dimension label\\(s\\) "x" not unique'),
        ({"rank": 33}, "Rank 33"),
        ({"json": {"rank": 1, "foo": 1}}, 'extra members: "foo"'),
        ({"json": {"shape": [1], "exclusive_max": [1]}}, "At most one of"),
        ({"json": {"inclusive_min": ["+inf"]}}, '"-inf"'),
        ({"json": {"shape": [-3]}}, "Error parsing index domain from JSON"),
        ({"json": {}}, "At least one of"),
        ({"json": 5}, "Expected object"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndexDomain(**arguments)


def test_selections() -> None:
    assert XYZ[0] == Dim(1, 4, label="x")
    assert XYZ["y"] == Dim(2, 5, label="y")
    assert XYZ[-1] == Dim(3, 6, label="z")
    assert XYZ["y", "x"].labels == ("y", "x")
    assert XYZ[::-1].labels == ("z", "y", "x")
    assert XYZ[d[2, "x"]].labels == ("z", "x")
    assert XYZ[[1, 0]].labels == ("y", "x")
    assert Dim(2, 5, label="y") in XYZ
    for key, error in [
        ("q", IndexError),
        (3, IndexError),
        (["y", 1], ValueError),
        (1.5, TypeError),
    ]:
        with pytest.raises(error):
            XYZ[key]


def test_a_domain_slices_by_label() -> None:
    other = IndexDomain(inclusive_min=[3, 2], exclusive_max=[6, 3], labels=["z", "x"])
    assert str(XYZ[other]) == '{ "x": [2, 3), "y": [2, 5), "z": [3, 6) }'
    with pytest.raises(IndexError, match="Cannot slice target dimension 0"):
        XYZ[IndexDomain(shape=[9], labels=["x"])]


def test_slicing_by_a_domain_crops_arrays() -> None:
    view = IndexTransform.identity([10])[[1, 99, 3]]
    part = view[IndexDomain(inclusive_min=[1], shape=[2])].maps[0].index_array
    assert part is not None
    assert part.tolist() == [99, 3]


def test_a_transform_gives_the_domain_of_its_input() -> None:
    # The example of TensorStore's documentation.
    domain = IndexDomain(inclusive_min=[1, 2, 3], exclusive_max=[6, 7, 8])
    transform = IndexTransform(
        input_rank=4,
        output=[
            OutputIndexMap(offset=5, input_dimension=3),
            OutputIndexMap(offset=-7, input_dimension=0),
            OutputIndexMap(offset=3, input_dimension=1),
        ],
    )
    assert str(domain[transform]) == "{ [9, 14), [0, 5), (-inf*, +inf*), [-4, 1) }"


def test_operations() -> None:
    assert XYZ.translate_to[0].origin == (0, 0, 0)
    assert XYZ.translate_by[1, None, 5].origin == (2, 2, 8)
    assert XYZ.translate_backward_by[[1, 2, 3]].origin == (0, 0, 0)
    assert XYZ.label["a", "", "c"].labels == ("a", "", "c")
    assert XYZ.mark_bounds_implicit[:True].implicit_upper_bounds == (True, True, True)
    assert XYZ.mark_bounds_implicit[:True].implicit_lower_bounds == (False, False, False)
    assert XYZ.T.labels == ("z", "y", "x")
    assert XYZ.transpose(["z", 0, -2]).labels == ("z", "x", "y")
    assert XYZ[d["y"][3]].labels == ("x", "z")
    with pytest.raises(ValueError, match="not bounded below"):
        IndexDomain(1).translate_to[0]
    with pytest.raises(ValueError, match="permutation"):
        XYZ.transpose([0, 1])


def test_hull_and_intersection() -> None:
    a = IndexDomain(inclusive_min=[1, 2], exclusive_max=[4, 5], labels=["x", ""])
    b = IndexDomain(shape=[2, 9])
    assert str(a.hull(b)) == '{ "x": [0, 4), [0, 9) }'
    assert str(a.intersect(b)) == '{ "x": [1, 2), [2, 5) }'
    with pytest.raises(ValueError, match="Ranks do not match"):
        a.hull(IndexDomain(1))
    with pytest.raises(ValueError, match="Mismatch in dimension 0"):
        a.hull(b.label["y", ""])

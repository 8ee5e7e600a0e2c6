"""Dim: its forms, its sides, and what it contains."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from asynctensor.index_space.dim import Dim
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN

FORMS: list[tuple[Dim, str]] = [
    (Dim(), "(-inf*, +inf*)"),
    (Dim("x"), '"x": (-inf*, +inf*)'),
    (Dim(3), "[0, 3)"),
    (Dim(3, "x"), '"x": [0, 3)'),
    (Dim(3, None), "[0, 3)"),
    (Dim(size=None), "[0, +inf*)"),
    (Dim(2, 5), "[2, 5)"),
    (Dim(None, 5), "(-inf*, 5)"),
    (Dim(size=3, inclusive_min=5), "[5, 8)"),
    (Dim(inclusive_min=5), "[5, +inf*)"),
    (Dim(inclusive_min=5, inclusive_max=10), "[5, 11)"),
    (Dim(size=5, implicit_upper=True, label="x"), '"x": [0, 5*)'),
    (Dim(implicit_lower=False), "(-inf, +inf*)"),
]


@pytest.mark.parametrize(("dim", "text"), FORMS)
def test_forms(dim: Dim, text: str) -> None:
    assert str(dim) == text
    assert eval(repr(dim)) == dim
    assert pickle.loads(pickle.dumps(dim)) == dim
    assert copy.deepcopy(dim) == dim


def test_sides_of_an_interval() -> None:
    dim = Dim(inclusive_min=3, exclusive_max=7)
    assert (dim.inclusive_min, dim.inclusive_max) == (3, 6)
    assert (dim.exclusive_min, dim.exclusive_max) == (2, 7)
    assert dim.size == len(dim) == 4
    assert dim.finite
    assert not dim.empty
    assert list(dim) == [3, 4, 5, 6]
    assert Dim(0).empty


def test_sides_of_everything() -> None:
    dim = Dim()
    assert (dim.inclusive_min, dim.exclusive_max) == (UNBOUNDED_MIN, UNBOUNDED_MAX)
    assert (dim.exclusive_min, dim.inclusive_max) == (-(2**62), 2**62 - 1)
    assert not dim.finite
    with pytest.raises(ValueError, match="infinite"):
        iter(dim)


def test_containment() -> None:
    assert 3 in Dim(5)
    assert 5 not in Dim(5)
    assert Dim(1, 5) in Dim(5)
    assert Dim(1, 5) not in Dim(4)
    assert Dim(9, 9) in Dim(4)
    with pytest.raises(TypeError):
        2.5 in Dim()  # type: ignore[operator]  # noqa: B015


def test_flags_and_label_may_be_set() -> None:
    dim = Dim(5)
    dim.implicit_upper, dim.label = True, "x"
    assert str(dim) == '"x": [0, 5*)'
    assert dim != Dim(5)
    with pytest.raises(TypeError):
        hash(dim)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"size": -1}, ValueError),
        ({"inclusive_min": 5, "exclusive_max": 3}, ValueError),
        ({"inclusive_min": 2**62}, ValueError),
        ({"size": 3, "exclusive_max": 4}, TypeError),
        ({"size": 2.5}, TypeError),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Dim(**arguments)


def test_hull_and_intersection_keep_labels_and_flags() -> None:
    a = Dim(1, 5, label="x")
    assert a.hull(Dim(3)) == Dim(0, 5, label="x")
    assert a.intersect(Dim(size=3, implicit_upper=True)) == Dim(
        1, 3, implicit_upper=True, label="x"
    )
    assert Dim(1, 5).intersect(Dim(7, 9)).empty
    with pytest.raises(ValueError, match="labels"):
        a.hull(Dim("y"))

"""Dimension expressions; the random chains stand beside TensorStore's."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from asynctensor.index_space.dim_expression import DimExpression, DimSelection, d
from asynctensor.index_space.transform import IndexTransform

XYZ = IndexTransform.identity([3, 4, 5]).label["x", "y", "z"]


@pytest.mark.parametrize(
    ("expression", "domain"),
    [
        (d["x"][1], '{ "y": [0, 4), "z": [0, 5) }'),
        (d["x", "y"][1], '{ "z": [0, 5) }'),
        (d["z", "x"][1:2, 0].label["q"], '{ "y": [0, 4), "q": [1, 2) }'),
        (d["x", "z"][0:2], '{ "x": [0, 2), "y": [0, 4), "z": [0, 2) }'),
        (d["x", "y"][(1, 1) : (2, 3)], '{ "x": [1, 2), "y": [1, 3), "z": [0, 5) }'),
        (d["z"][[0, 1]].label["q"], '{ "x": [0, 3), "y": [0, 4), "q": [0, 2) }'),
        (d["z", "x"][[0, 1], [0, 1]].label["q"], '{ "y": [0, 4), "q": [0, 2) }'),
        (d["z", "x"].vindex[[0, 1], [0, 1]].label["q"], '{ "q": [0, 2), "y": [0, 4) }'),
        (
            d["z", "x"].oindex[[0, 1], [0, 1, 2]].label["q", "r"],
            '{ "r": [0, 3), "y": [0, 4), "q": [0, 2) }',
        ),
        (d["x", "z"][np.ones((3, 5), bool)].label["q"], '{ "q": [0, 15), "y": [0, 4) }'),
        (d["z"][True, :].label["q", "r"], '{ "q": [0, 1), "x": [0, 3), "y": [0, 4), "r": [0, 5) }'),
        (d[0, -1][None], '{ [0*, 1*), "x": [0, 3), "y": [0, 4), "z": [0, 5), [0*, 1*) }'),
        (
            d["x", 0][:, None].label["q", "n"],
            '{ "n": [0*, 1*), "q": [0, 3), "y": [0, 4), "z": [0, 5) }',
        ),
        (d["x", "y"].label["a", "b"].translate_by[5], '{ "a": [5, 8), "b": [5, 9), "z": [0, 5) }'),
        (
            d["y"].translate_to[7].translate_backward_by[1],
            '{ "x": [0, 3), "y": [6, 10), "z": [0, 5) }',
        ),
        (d["x", "z"].stride[-2, 3], '{ "x": [-1, 1), "y": [0, 4), "z": [0, 2) }'),
        (
            d["x"].mark_bounds_implicit[:True].stride[-1],
            '{ "x": [-2*, 1), "y": [0, 4), "z": [0, 5) }',
        ),
        (d["x", "z"].stride[None, 3], '{ "x": [0, 3), "y": [0, 4), "z": [0, 2) }'),
        (d["x", "z"].transpose[1, 0], '{ "z": [0, 5), "x": [0, 3), "y": [0, 4) }'),
        (d["x", "z"].transpose[-1], '{ "y": [0, 4), "x": [0, 3), "z": [0, 5) }'),
        (d[::-1].transpose[:], '{ "z": [0, 5), "y": [0, 4), "x": [0, 3) }'),
        (d["x", "z"].diagonal.label["q"], '{ "q": [0, 3), "y": [0, 4) }'),
        (d[()].diagonal, '{ (-inf*, +inf*), "x": [0, 3), "y": [0, 4), "z": [0, 5) }'),
        (d["x"].mark_bounds_implicit[:True], '{ "x": [0, 3*), "y": [0, 4), "z": [0, 5) }'),
        # TensorStore 0.1.86 forgets "z" here.
        (d[0, 1].translate_by[1][..., 2].label["a"], '{ "a": [1, 4), "z": [0, 5) }'),
    ],
)
def test_domains(expression: DimExpression, domain: str) -> None:
    assert str(XYZ[expression].domain) == domain
    assert str(XYZ.domain[expression]) == domain
    assert eval(repr(expression)) == expression
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert hash(eval(repr(expression))) == hash(expression)


def test_what_is_meant_follows_the_selection() -> None:
    assert XYZ[d["z", "x"][[4, 0], [2, 1]]]([3, 0]) == (2, 3, 4)
    assert XYZ[d["x", "y"].diagonal]([2, 4]) == (2, 2, 4)
    assert XYZ[d["z"].stride[2]]([1, 1, 2]) == (1, 1, 4)
    assert XYZ[d["z"].transpose[0]]([4, 2, 3]) == (2, 3, 4)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (d["x"], "at least one operation"),
        (d["q"][0], 'Label "q" does not match one of {"x", "y", "z"}'),
        (d[5][0], "outside valid range"),
        (d["x", "x"][0], "more than once"),
        (d["x", "y"][0,], "requires 1 dimensions but selection has 2"),
        (d["x"][0, 0], "requires 2 dimensions but selection has 1"),
        (d["x"][None], "cannot be specified by label"),
        (d[:][None], "not a valid specification for new dimensions"),
        (d["x"][7], "outside valid range"),
        (d["x"].stride[0], "non-zero"),
        (d["x", "y"].transpose["x", "y"], "Target dimensions cannot be specified by label"),
        (d["x", "y"].transpose[0, 0], "more than once"),
        (d["x", "y"].transpose[2], "outside valid range"),
        (d["x"].oindex[True, :], "Zero-rank bool"),
        (d["x", "y"].label["a"], "does not match number of labels"),
    ],
)
def test_wrong_expressions(expression: DimExpression, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        XYZ[expression]


def test_new_axes_only_at_the_beginning() -> None:
    with pytest.raises(IndexError, match="chained"):
        d[0].translate_by[1][None]


def test_selections_nest_and_compare() -> None:
    assert repr(d[0:1, 2, "x"]) == "d[0:1,2,'x']"
    assert d[[0, 1], d[2, 3]] == d[0, 1, 2, 3]
    assert d[0] != d[1]
    assert isinstance(d["x"], DimSelection)
    assert not isinstance(d["x"][0], DimSelection)
    wrong: list[Any] = [1.5, None, ...]
    for selection in wrong:
        with pytest.raises(TypeError):
            d[selection]

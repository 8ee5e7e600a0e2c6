"""Bounds at the moment when data is touched."""

from __future__ import annotations

import pytest

from asynctensor.errors import OutOfRange
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.propagate_bounds import check_index_arrays, propagate_bounds
from asynctensor.index_space.transform import IndexTransform

RESIZABLE = IndexTransform.identity([10, 20], implicit_upper_bounds=[True, True])


def resolved(transform: IndexTransform, upper: list[int], implicit: bool) -> IndexDomain:
    flags = [implicit] * len(upper)
    return propagate_bounds(transform, [0] * len(upper), upper, None, flags).domain


def test_implicit_bounds_follow_the_array() -> None:
    assert str(resolved(RESIZABLE, [30, 5], True)) == "{ [0, 30*), [0, 5*) }"
    assert str(resolved(RESIZABLE, [30, 5], False)) == "{ [0, 30), [0, 5) }"
    assert str(resolved(RESIZABLE[2:8], [30, 5], True)) == "{ [2, 8), [0, 5*) }"
    assert str(resolved(RESIZABLE[2:], [30, 5], True)) == "{ [2, 30*), [0, 5*) }"
    assert str(resolved(RESIZABLE[::2].translate_by[3, 0], [31, 5], True)) == (
        "{ [3, 19*), [0, 5*) }"
    )


def test_explicit_bounds_must_fit() -> None:
    view = RESIZABLE[5:15]
    assert str(resolved(view, [15, 20], False)) == "{ [5, 15), [0, 20) }"
    with pytest.raises(OutOfRange, match="Propagated bounds"):
        resolved(view, [14, 20], False)
    assert str(resolved(view, [14, 20], True)) == "{ [5, 15), [0, 20*) }"
    with pytest.raises(OutOfRange, match="constant output index map"):
        resolved(RESIZABLE[12], [12, 20], False)


def test_unbounded_views_become_finite() -> None:
    assert str(resolved(IndexTransform(2), [3, 4], False)) == "{ [0, 3), [0, 4) }"


def test_index_arrays_are_narrowed_and_checked() -> None:
    view = RESIZABLE[[2, 15], 3:]
    check_index_arrays(propagate_bounds(view, (0, 0), (16, 20)))
    narrowed = propagate_bounds(view, (0, 0), (15, 20))
    assert narrowed.maps[0].range == (0, 15)
    assert propagate_bounds(IndexTransform.identity([9])[[3, 4]], [-5], [20]).maps[0].range == (
        0,
        9,
    )
    assert propagate_bounds(IndexTransform.identity([9])[[3, 4]], [2], [20]).maps[0].range == (2, 9)
    with pytest.raises(OutOfRange, match="Index 15 is outside valid range \\[0, 15\\)"):
        check_index_arrays(narrowed)
    with pytest.raises(OutOfRange):
        check_index_arrays(IndexTransform.identity([10])[[3, -1]])

"""Alignment of a source to a target; the random cases stand beside TensorStore's."""

from __future__ import annotations

import pytest

from asynctensor.index_space.alignment import align_shape_to, align_to
from asynctensor.index_space.domain import IndexDomain


def test_without_labels_dimensions_match_from_the_right() -> None:
    target = IndexDomain(inclusive_min=[5, 6, 7], shape=[2, 3, 4])
    aligned = align_shape_to([3, 4], target)
    assert aligned.domain == target
    assert aligned([5, 6, 7]) == (0, 0)
    assert aligned([6, 8, 10]) == (2, 3)
    assert align_shape_to([1, 1, 3, 1], target)([6, 7, 9]) == (0, 0, 1, 0)
    assert align_shape_to([], target)([6, 7, 9]) == ()


def test_with_labels_they_match_by_label() -> None:
    source = IndexDomain(inclusive_min=[1, 2], shape=[4, 3], labels=["z", "y"])
    target = IndexDomain(shape=[2, 3, 4], labels=["x", "y", "z"])
    assert align_to(source, target)([1, 2, 3]) == (4, 4)


def test_unlabeled_dimensions_match_among_themselves() -> None:
    source = IndexDomain(shape=[4, 3], labels=["z", ""])
    target = IndexDomain(shape=[4, 3], labels=["", "z"])
    with pytest.raises(ValueError, match="source dimension 0"):
        align_to(source, target)
    fitting = IndexDomain(inclusive_min=[1, 1], shape=[3, 4], labels=["", "z"])
    assert align_to(source, fitting)([2, 3]) == (2, 1)


def test_errors_name_both_sides() -> None:
    with pytest.raises(ValueError, match="Error aligning dimensions") as caught:
        align_shape_to([3], IndexDomain(shape=[2]))
    assert str(caught.value) == (
        "Error aligning dimensions: source dimension 0 [0, 3) mismatch with target dimension 0 "
        "[0, 2)"
    )
    with pytest.raises(ValueError, match="unmatched source dimension 0 \\[0, 2\\)"):
        align_shape_to([2, 3], IndexDomain(shape=[3]))

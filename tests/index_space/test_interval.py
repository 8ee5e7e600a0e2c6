"""Interval arithmetic, against enumeration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import InvalidIndex
from asynctensor.index_space.interval import (
    MAX_FINITE_INDEX,
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    affine_domain,
    check_interval,
    format_interval,
    inf,
    strided_slice,
    translate,
)

SMALL = st.integers(-7, 7)
STRIDES = st.sampled_from([1, 2, 3, -1, -2, -3])


@given(SMALL, st.integers(1, 9), SMALL, STRIDES)
def test_affine_domain_is_the_preimage(lower: int, size: int, offset: int, stride: int) -> None:
    low, high = affine_domain(lower, lower + size, offset, stride)
    expected = [x for x in range(-60, 60) if lower <= offset + stride * x < lower + size]
    assert list(range(low, high)) == expected


@given(SMALL, st.integers(0, 12), SMALL, st.integers(0, 5), STRIDES)
def test_a_slice_takes_every_step_from_its_start(
    lower: int, size: int, start: int, count: int, step: int
) -> None:
    stop = start + step * count
    wanted = list(range(start, stop, step))
    bounds = (lower, lower + size, False, False)
    if not all(lower <= index < lower + size for index in (*wanted, stop + (-1, 1)[step < 0])):
        return
    low, high, ilo, ihi, offset = strided_slice(bounds, start, stop, step)
    assert [offset + step * x for x in range(low, high)] == wanted
    assert low == int(start / step)
    assert (ilo, ihi) == (False, False)


def test_unbounded_sides_survive() -> None:
    assert affine_domain(UNBOUNDED_MIN, 5, 1, 2) == (UNBOUNDED_MIN, 2)
    assert affine_domain(UNBOUNDED_MIN, 5, 1, -2) == (-1, UNBOUNDED_MAX)
    assert translate(UNBOUNDED_MIN, 5, 3) == (UNBOUNDED_MIN, 8)
    assert translate(0, UNBOUNDED_MAX, 3) == (3, UNBOUNDED_MAX)
    everything = (UNBOUNDED_MIN, UNBOUNDED_MAX, True, True)
    assert strided_slice(everything, None, None, 1)[:4] == everything
    assert strided_slice(everything, 3, None, -1) == (-3, UNBOUNDED_MAX, False, True, 0)
    assert strided_slice(everything, None, 3, -1) == (UNBOUNDED_MIN, -3, True, False, 0)
    assert strided_slice(everything, 2, None, 3) == (0, UNBOUNDED_MAX, False, True, 2)


def test_a_given_bound_becomes_explicit_and_a_negative_step_swaps_sides() -> None:
    bounds = (0, 10, False, True)
    assert strided_slice(bounds, 2, None, 1) == (2, 10, False, True, 0)
    assert strided_slice(bounds, 2, 200, 1) == (2, 200, False, False, 0)
    assert strided_slice(bounds, None, None, -1) == (-9, 1, True, False, 0)
    assert strided_slice(bounds, 8, None, -1) == (-8, 1, False, False, 0)
    assert strided_slice(bounds, None, 3, -1) == (-9, -3, True, False, 0)


@pytest.mark.parametrize(
    ("start", "stop", "step"),
    [(-1, 5, 1), (0, 11, 1), (5, 3, 1), (3, 5, -1), (0, 5, 0), (2**62, None, 1), (0, 2**62, 1)],
)
def test_wrong_slices_are_index_errors(start: int, stop: int | None, step: int) -> None:
    with pytest.raises(IndexError):
        strided_slice((0, 10, False, False), start, stop, step)


def test_infinite_ends_of_slices() -> None:
    everything = (UNBOUNDED_MIN, UNBOUNDED_MAX, True, True)
    assert strided_slice(everything, 0, inf, 1) == (0, UNBOUNDED_MAX, False, False, 0)
    assert strided_slice(everything, -inf, 5, 1) == (UNBOUNDED_MIN, 5, False, False, 0)
    with pytest.raises(InvalidIndex):
        strided_slice(everything, inf, None, 1)


def test_only_a_finite_start_can_be_stepped_from() -> None:
    with pytest.raises(InvalidIndex, match="finite start"):
        strided_slice((UNBOUNDED_MIN, 4, True, True), None, None, 2)


def test_bounds_end_at_the_finite_extremes() -> None:
    check_interval(UNBOUNDED_MIN, UNBOUNDED_MAX)
    check_interval(MAX_FINITE_INDEX, MAX_FINITE_INDEX + 1)
    assert translate(0, 1, MAX_FINITE_INDEX) == (MAX_FINITE_INDEX, MAX_FINITE_INDEX + 1)
    for lower, upper in [(inf, inf + 1), (0, 2**62 + 1), (-(2**62), 0), (3, 2), (-inf, -inf)]:
        with pytest.raises(ValueError, match="valid closed index interval"):
            check_interval(lower, upper)
    with pytest.raises(ValueError, match="outside valid range"):
        translate(0, 2, MAX_FINITE_INDEX)


def test_the_notation_marks_implicit_and_unbounded_sides() -> None:
    assert format_interval(0, 10) == "[0, 10)"
    assert format_interval(0, 10, False, True) == "[0, 10*)"
    assert format_interval(UNBOUNDED_MIN, UNBOUNDED_MAX, True, False) == "(-inf*, +inf)"

"""The three modes of indexing, against NumPy where both speak of the same thing."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidIndex, OutOfRange
from asynctensor.index_space.transform import IndexTransform

SHAPE = (4, 3, 5)
BASE = IndexTransform.identity(SHAPE)
NAMED = BASE.label["x", "y", "z"]
POSITIONS = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def values(transform: IndexTransform) -> np.ndarray[Any, Any]:
    """What reading POSITIONS through `transform` gives."""
    ranges = [
        range(lo, hi)
        for lo, hi in zip(transform.input_inclusive_min, transform.input_exclusive_max, strict=True)
    ]
    flat = [POSITIONS[transform(point)] for point in product(*ranges)]
    return np.array(flat, dtype=int).reshape(transform.input_shape)


def terms(size: int) -> st.SearchStrategy[Any]:
    """Terms that mean the same to NumPy."""
    inside = st.integers(0, size - 1)
    arrays = st.lists(inside, min_size=2, max_size=2).map(np.array)
    slices = st.tuples(inside, st.integers(0, size), st.integers(1, 3)).map(
        lambda t: slice(t[0], max(t[0], t[1]), t[2])
    )
    return st.one_of(inside, slices, arrays, st.just(slice(None)))


@settings(max_examples=150, deadline=None)
@given(st.tuples(*(terms(size) for size in SHAPE)), st.integers(0, 3))
def test_the_default_mode_is_numpys(key: tuple[Any, ...], length: int) -> None:
    key = key[:length]
    if any(isinstance(t, np.ndarray) for t in key) and any(isinstance(t, int) for t in key):
        # NumPy takes an integer beside an array for an array, TensorStore does not.
        key = tuple(slice(t, t + 1) if isinstance(t, int) else t for t in key)
    np.testing.assert_array_equal(values(BASE[key]), POSITIONS[key])


@settings(max_examples=100, deadline=None)
@given(st.tuples(*(terms(size) for size in SHAPE)))
def test_outer_indexing_is_one_dimension_after_the_other(key: tuple[Any, ...]) -> None:
    expected = POSITIONS
    for axis, term in reversed(list(enumerate(key))):
        expected = expected[(slice(None),) * axis + (term,)]
    np.testing.assert_array_equal(values(BASE.oindex[key]), expected)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*(terms(size) for size in SHAPE)), st.tuples(terms(2), terms(2)))
def test_indexing_what_was_indexed(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    once = BASE.oindex[first].translate_to[0]
    inner = tuple(term for term, size in zip(second, once.shape, strict=False) if size >= 2)
    if len(inner) < len([size for size in once.shape if size < 2]) or not inner:
        return
    if any(size < 2 for size in once.shape[: len(inner)]):
        return
    expected = values(once)
    for axis, term in reversed(list(enumerate(inner))):
        expected = expected[(slice(None),) * axis + (term,)]
    np.testing.assert_array_equal(values(once.oindex[inner]), expected)


@pytest.mark.parametrize(
    ("key", "domain"),
    [
        ((2,), '{ "y": [0, 3), "z": [0, 5) }'),
        ((slice(1, 3),), '{ "x": [1, 3), "y": [0, 3), "z": [0, 5) }'),
        ((slice(1, None, 2),), '{ "x": [0, 2), "y": [0, 3), "z": [0, 5) }'),
        ((slice(None, None, -1),), '{ "x": [-3, 1), "y": [0, 3), "z": [0, 5) }'),
        ((..., 2), '{ "x": [0, 4), "y": [0, 3) }'),
        ((None, 2, ..., None), '{ [0*, 1*), "y": [0, 3), "z": [0, 5), [0*, 1*) }'),
        (([0, 1], slice(None), [0, 1]), '{ [0, 2), "y": [0, 3) }'),
        ((slice(None), [0, 1], [0, 1]), '{ "x": [0, 4), [0, 2) }'),
        ((0, slice(None), [0, 1]), '{ "y": [0, 3), [0, 2) }'),
        (([0, 1], 0, [0, 1]), "{ [0, 2) }"),
        ((None, [0, 1], 0, [0, 1]), "{ [0*, 1*), [0, 2) }"),
        ((None, [0, 1], slice(None), [0, 1]), '{ [0, 2), [0*, 1*), "y": [0, 3) }'),
        (([0, 1], ...), '{ [0, 2), "y": [0, 3), "z": [0, 5) }'),
        ((slice(None), [0, 1], ..., [0, 1]), '{ [0, 2), "x": [0, 4) }'),
        (([[0, 1]], 0), '{ [0, 1), [0, 2), "z": [0, 5) }'),
        ((np.ones((4, 3), bool),), '{ [0, 12), "z": [0, 5) }'),
        ((True,), '{ [0, 1), "x": [0, 4), "y": [0, 3), "z": [0, 5) }'),
        ((False, 1), '{ [0, 0), "y": [0, 3), "z": [0, 5) }'),
        ((True, [0, 1]), '{ [0, 2), "y": [0, 3), "z": [0, 5) }'),
        ((slice([1, 1], [2, None]),), '{ "x": [1, 2), "y": [1, 3), "z": [0, 5) }'),
        ((range(3),), '{ [0, 3), "y": [0, 3), "z": [0, 5) }'),
        (([],), '{ [0, 0), "y": [0, 3), "z": [0, 5) }'),
    ],
)
def test_domains(key: Any, domain: str) -> None:
    assert str(NAMED[key].domain) == domain


def test_modes_differ_in_where_arrays_go() -> None:
    key = (slice(None), [0, 1], [0, 1])
    assert str(NAMED[key].domain) == '{ "x": [0, 4), [0, 2) }'
    assert str(NAMED.vindex[key].domain) == '{ [0, 2), "x": [0, 4) }'
    assert str(NAMED.oindex[key].domain) == '{ "x": [0, 4), [0, 2), [0, 2) }'


def test_a_list_is_an_array_and_a_tuple_is_terms() -> None:
    assert BASE[[1, 2]].ndim == 3
    assert BASE[1, 2].ndim == 1
    assert BASE[(1, 2),].ndim == 3


def test_a_new_axis_may_be_sliced_to_anything() -> None:
    assert str(BASE[None][-5:7].domain[0]) == "[-5, 7)"
    assert BASE[None][42] == BASE


def test_implicit_bounds_do_not_constrain_and_given_ones_become_explicit() -> None:
    resizable = IndexTransform.identity([10], implicit_upper_bounds=[True])
    assert str(resizable[5:].domain) == "{ [5, 10*) }"
    assert str(resizable[5:200].domain) == "{ [5, 200) }"
    assert str(resizable[[15, 3]].domain) == "{ [0, 2) }"
    assert resizable[15]([]) == (15,)
    with pytest.raises(OutOfRange):
        resizable[-1]


@pytest.mark.parametrize("key", [-1, 4, slice(-1, None), slice(0, 5), [[4]], (0, 0, 5)])
def test_outside_is_out_of_range(key: Any) -> None:
    with pytest.raises(OutOfRange) as caught:
        BASE[key]
    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((0, 0, 0, 0), "requires 4 dimensions"),
        ((..., ...), "single ellipsis"),
        (1.5, "Only integers, slices"),
        ("a", "Only integers, slices"),
        ([1.5], "Only integers, slices"),
        ([slice(None), 1], "Only integers, slices"),
        (np.zeros(2), "integer \\(or boolean\\) type"),
        (([0, 1], [0, 1, 2]), "Incompatible index array shapes: \\{3\\} vs \\{2\\}"),
        (slice(None, None, 0), "Invalid stride 0"),
        (slice((1, 1), (3, 4, 5)), "incompatible with"),
        (slice(2**62, None), "Invalid start"),
        ((None,) * 30, "Rank 33"),
        ((True, *[None] * 29), "Rank 33"),
    ],
)
def test_what_is_no_index(key: Any, message: str) -> None:
    with pytest.raises(InvalidIndex, match=message):
        BASE[key]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (slice(1.0, 2), TypeError),
        (np.array([1], np.uint64), TypeError),
        ([[1, 2], [3]], ValueError),
    ],
)
def test_wrong_types(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        BASE[key]


def test_an_empty_view_takes_any_index() -> None:
    # No index exists, so none can be outside.
    assert BASE[4:4, 99].shape == (0, 5)
    assert BASE[0:0, [99, 98]].maps[1].offset == 0


def test_arrays_are_checked_when_a_single_element_is_taken() -> None:
    view = BASE[[1, 99]]
    assert view[0, 0, 0]([]) == (1, 0, 0)
    with pytest.raises(OutOfRange):
        view[1]
    with pytest.raises(OutOfRange):
        BASE[[1, 2]][[0, 5]]

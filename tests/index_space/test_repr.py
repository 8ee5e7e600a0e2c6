"""``eval(repr(x)) == x`` for every class of the index space, whatever it holds."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from tests.index_space.strategies import KEYS, dim_steps, domains, expression, output_maps

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True)
NAMES = {
    name: getattr(ts, name)
    for name in ("Dim", "IndexDomain", "IndexTransform", "OutputIndexMap", "d")
}
#: Labels are any text.
LABELS = st.one_of(st.just(""), st.text(max_size=4), st.sampled_from(["'", '"', "\\", "a'b\"c\n"]))
BOUNDS = st.one_of(st.integers(-5, 5), st.integers(-(2**62) + 2, 2**62 - 2))


def back(value: Any) -> Any:
    """What its repr stands for, read by those who know NumPy and the names of the library."""
    return eval(repr(value), {**NAMES, "numpy": np, "np": np})


def made(call: Any) -> Any:
    try:
        return call()
    except (ValueError, IndexError, TypeError):
        return None


@st.composite
def dims(draw: Any) -> ts.Dim | None:
    bounds = sorted([draw(BOUNDS), draw(BOUNDS)])
    known = {"inclusive_min": bounds[0], "exclusive_max": bounds[1]}
    arguments: dict[str, Any] = {k: v for k, v in known.items() if draw(st.booleans())}
    if draw(st.booleans()):
        arguments |= {"implicit_lower": draw(st.booleans()), "implicit_upper": draw(st.booleans())}
    return made(lambda: ts.Dim(**arguments, label=draw(LABELS)))


@SETTINGS
@given(dims())
def test_dims(dim: ts.Dim | None) -> None:
    assert dim is None or back(dim) == dim == pickle.loads(pickle.dumps(dim))


@SETTINGS
@given(st.lists(dims(), max_size=4))
def test_domains(found: list[ts.Dim | None]) -> None:
    domain = made(lambda: ts.IndexDomain([dim for dim in found if dim is not None]))
    if domain is not None:
        assert back(domain) == domain
        assert hash(back(domain)) == hash(domain)


@SETTINGS
@given(domains(), KEYS, st.data())
def test_transforms_and_their_maps(
    arguments: dict[str, Any], key: Any, data: st.DataObject
) -> None:
    plain = made(lambda: ts.IndexTransform(**arguments))
    if plain is None:
        return
    maps = [
        ts.OutputIndexMap(**data.draw(output_maps(plain.input_shape)))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    for transform in (
        plain,
        made(lambda: plain[key]),
        made(lambda: plain.vindex[key]),
        made(lambda: ts.IndexTransform(**arguments, output=maps)),
    ):
        if transform is None:
            continue
        assert back(transform) == transform
        assert hash(back(transform)) == hash(transform)
        assert back(transform.domain) == transform.domain
        # There is no other way to make several at once than from a list.
        assert back(transform.output) == list(transform.output)
        for item in transform.output:
            assert back(item) == item == pickle.loads(pickle.dumps(item))


SELECTIONS = st.lists(
    st.one_of(
        st.integers(-3, 3),
        LABELS.filter(bool),
        st.builds(slice, *[st.none() | st.integers(-3, 3)] * 3),
        st.builds(slice, st.text(max_size=2), st.none() | st.text(max_size=2)),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@SETTINGS
@given(SELECTIONS)
def test_dimension_selections(selection: Any) -> None:
    selected = made(lambda: ts.d[selection])
    if selected is None:
        return
    assert back(selected) == selected
    assert repr(back(selected)) == repr(selected)


@SETTINGS
@given(SELECTIONS, st.lists(dim_steps(3), min_size=1, max_size=3))
def test_dimension_expressions(selection: Any, chain: Any) -> None:
    chained = made(lambda: expression(ts.d, selection, chain))
    if chained is None:
        return
    again = back(chained)
    assert repr(again) == repr(chained)
    # Expressions are equal to themselves only: what they do is compared.
    for labels in (["a", "b", "c", "d", "e"], [""] * 5):
        start = ts.IndexTransform(input_shape=[5] * 5, input_labels=labels)
        assert made(lambda s=start: s[again]) == made(lambda s=start: s[chained])


@pytest.mark.parametrize(
    "index",
    [
        np.zeros((0, 2), np.int64),
        np.zeros((2, 0), np.int64),
        np.zeros((0,), np.bool_),
        np.zeros((1, 0, 3), np.int64),
        np.array(3),
        np.array(True),
        np.arange(2000),
        np.arange(4, dtype=np.uint8),
    ],
)
def test_index_arrays_keep_their_shape(index: Any) -> None:
    start = ts.IndexTransform(input_shape=[3000])
    chained = ts.d[0].oindex[index] if index.dtype != bool or index.ndim else ts.d[0].vindex[index]
    assert made(lambda: start[back(chained)]) == made(lambda: start[chained])
    transform = made(lambda: start[index])
    if transform is not None:
        assert back(transform) == transform
        assert back(transform).shape == transform.shape

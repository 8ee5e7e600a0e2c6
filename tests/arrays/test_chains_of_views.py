"""Random chains of views of arrays, here and in TensorStore: values, domains, JSON, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from tests.index_space.strategies import apply, dim_steps, expression, family, outcome, steps

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)
SHAPE = (4, 5, 3)


def pair(kind: str) -> tuple[Any, Any]:
    """The same array in both."""
    made = []
    for library in (ts, tensorstore):
        data = np.arange(60, dtype=np.int32).reshape(SHAPE)
        if kind == "array":
            array = library.array(data)
        else:
            spec = {
                "driver": "zarr3",
                "kvstore": "memory://",
                "metadata": {
                    "shape": list(SHAPE),
                    "data_type": "int32",
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3, 2]}},
                    "dimension_names": ["a", "b", None],
                },
            }
            array = library.open(spec, create=True).result()
            array.write(data).result()
        made.append(array)
    return made[0], made[1]


def agree(ours: Any, theirs: Any) -> bool:
    """Whether both are views, and then alike."""
    if isinstance(theirs, Exception):
        assert isinstance(ours, family(theirs)), (ours, theirs)
        return False
    assert not isinstance(ours, Exception), (ours, theirs)
    assert str(ours.domain) == str(theirs.domain)
    if not any(ours.domain.implicit_lower_bounds):
        # TensorStore's spec opens a view whose lower bounds are explicit again.
        assert ours.spec().transform.to_json() == theirs.spec().transform.to_json()
    if not ours.size:
        # TensorStore looks at what an empty view would read, and writes beside arrays.
        assert theirs.size == 0
        return True
    mine, other = outcome(lambda: ours.read().result()), outcome(lambda: theirs.read().result())
    if isinstance(other, Exception):
        assert isinstance(mine, family(other)), (mine, other)
    else:
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype
    return True


KINDS = st.sampled_from(["array", "zarr3", "zarr3"])


@SETTINGS
@given(KINDS, st.lists(steps(), min_size=1, max_size=5), st.data())
def test_chains(kind: str, chain: list[tuple[str, Any]], data: st.DataObject) -> None:
    ours, theirs = pair(kind)
    whole = ours, theirs
    for operation, key in chain:
        mine = outcome(lambda v=ours, o=operation, k=key: apply(v, o, k))
        other = outcome(lambda v=theirs, o=operation, k=key: apply(v, o, k))
        if 0 in ours.shape or not agree(mine, other):
            return
        ours, theirs = mine, other
    read = outcome(lambda: ours.read().result())
    if data.draw(st.booleans()) and ours.size and not isinstance(read, Exception):
        source = np.arange(1, 1 + ours.size, dtype=np.int32).reshape(ours.shape)
        if len(np.unique(read)) == ours.size:
            # Where no element is named twice, it is said which value is stored.
            results = [outcome(lambda v=v: v.write(source).result()) for v in (ours, theirs)]
            assert isinstance(results[0], Exception) == isinstance(results[1], Exception)
    np.testing.assert_array_equal(whole[0].read().result(), whole[1].read().result())


@SETTINGS
@given(st.data())
def test_dimension_expressions(data: st.DataObject) -> None:
    ours, theirs = pair("zarr3")
    dims = data.draw(st.permutations([0, 1, 2, "a", "b"]))[: data.draw(st.integers(1, 3))]
    chain = data.draw(st.lists(dim_steps(len(dims)), min_size=1, max_size=3))
    mine = outcome(lambda: ours[expression(ts.d, tuple(dims), chain)])
    other = outcome(lambda: theirs[expression(tensorstore.d, tuple(dims), chain)])
    if isinstance(mine, IndexError) and "outside valid range" in str(mine):
        # An array that became a single element is checked here at once, there when it is read.
        return
    agree(mine, other)

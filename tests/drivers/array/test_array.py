"""Arrays in memory: like tensorstore's, in values, specs and refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import asynctensor as ts
from asynctensor.errors import (
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    OutOfRange,
    PermissionDenied,
    Unimplemented,
)


def both(values, **options) -> tuple:
    return ts.array(values, **options), tensorstore.array(values, **options)


def indexed(store, terms) -> object:
    """A chain of indexing operations, the same for either library."""
    for mode, term in terms:
        store = {"basic": store, "oindex": store.oindex, "vindex": store.vindex}[mode][term]
    return store


TERMS = st.lists(
    st.tuples(
        st.sampled_from(["basic", "oindex", "vindex"]),
        st.tuples(
            st.one_of(
                st.integers(0, 2),
                st.just(slice(None)),
                st.sampled_from([slice(1, None), slice(None, 2), slice(None, None, 2)]),
                st.sampled_from([slice(None, None, -1), slice(1, 1), slice(0, 1)]),
                st.lists(st.integers(0, 2), min_size=1, max_size=3),
                st.none(),
            ),
            st.just(...),
        ),
    ),
    # tensorstore 0.1.86 ends the process at some chains of three, and writes index arrays that
    # repeat each other in another form than alone.
    max_size=2,
)


@settings(max_examples=150, deadline=None)
@given(
    values=st_numpy.arrays(np.int32, st_numpy.array_shapes(max_dims=3, min_side=1, max_side=4)),
    terms=TERMS,
    transposed=st.booleans(),
)
def test_views_are_tensorstores(values, terms, transposed) -> None:
    ours, theirs = both(values.T if transposed else values)
    try:
        expected = indexed(theirs, terms)
        data = expected.read().result()
    except (IndexError, ValueError):
        with pytest.raises((IndexError, ValueError)):
            indexed(ours, terms).read().result()
        return
    found = indexed(ours, terms)
    np.testing.assert_array_equal(found.read().result(), data)
    if data.size or not any(found.domain.implicit_upper_bounds):
        # tensorstore cannot open its own spec of an empty view with implicit bounds.
        assert found.spec().to_json() == expected.spec().to_json()
    assert found.schema.to_json() == expected.schema.to_json()
    again = ts.open(found.spec()).result()
    np.testing.assert_array_equal(again.read().result(), data)
    assert (again.origin, again.shape) == (found.origin, found.shape)
    new = np.arange(data.size, dtype=np.int32).reshape(data.shape)
    copies = [np.array(values), np.array(values)]
    stores = ts.array(copies[0]), tensorstore.array(copies[1])
    for store in stores:
        if transposed:
            store = store.T
        view = indexed(store, terms)
        view.write(new).result()
    np.testing.assert_array_equal(copies[0], copies[1])


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (2, 1, 3), (1, 3), (3, 1), (1, 1), (0, 3), (3, 0), (2, 0, 3), (1, 0)],
)
def test_json_leaves_out_what_does_not_vary(shape) -> None:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    ours, theirs = both(values)
    assert ours.spec().to_json() == theirs.spec().to_json()
    again = ts.open(ours.spec().to_json()).result()
    np.testing.assert_array_equal(again.read().result(), values)
    repeated = np.broadcast_to(values, (4, *shape))
    ours, theirs = both(repeated)
    assert ours.spec().to_json() == theirs.spec().to_json()
    assert not ours.writable


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], "bool"),
        ([1, 2], "int4"),
        ([1.5, 2], "bfloat16"),
        (["abc", "d"], "ustring"),
        ([b"abc", b"d"], "string"),
        ([{"a": [1]}, None], "json"),
        ([1 + 2j, 3], "complex64"),
        ([np.nan, np.inf, -np.inf, 1.0], "float32"),
    ],
)
def test_every_kind_of_element_comes_back(values, dtype) -> None:
    store = ts.array(values, dtype=getattr(ts, dtype))
    json = store.spec().to_json()
    again = ts.open(json).result()
    assert again.dtype == dtype
    assert [repr(x) for x in again.read().result()] == [repr(x) for x in store.read().result()]
    assert pickle.loads(pickle.dumps(store)).spec() == store.spec()


def test_memory_is_shared_unless_it_cannot_be() -> None:
    values = np.arange(4)
    ts.array(values)[1] = 7
    assert values[1] == 7
    ts.array(values, copy=True)[1] = 8
    assert values[1] == 7
    with pytest.raises(InvalidArgument, match="copy"):
        ts.array([1, 2], copy=False)
    with pytest.raises(InvalidArgument, match="native byte order"):
        ts.array(values.astype(">i4"), copy=False)
    assert ts.array(values.astype(">i4")).read().result().tolist() == [0, 7, 2, 3]
    with pytest.raises(IncompatibleType, match="safe"):
        ts.array(values, dtype=ts.int8)
    with pytest.raises(InvalidArgument, match="texts"):
        ts.array(np.array([b"ab", b"c"]))


def test_it_is_writable_as_asked() -> None:
    frozen = np.arange(3)
    frozen.flags.writeable = False
    assert ts.array(frozen).mode == "r"
    assert ts.array(frozen, write=True).mode == "rw"
    assert ts.array(frozen, copy=True).mode == "rw"
    with pytest.raises(InvalidArgument, match="not writable"):
        ts.array(frozen, write=True, copy=False)
    store = ts.array(np.arange(3), write=False)
    with pytest.raises(PermissionDenied):
        store.write(5).result()


def test_large_ones_are_copied_by_workers() -> None:
    values = np.arange(2**20)
    store = ts.array(values)
    read = store[::2].read().result()
    np.testing.assert_array_equal(read, values[::2])
    store[:] = values[::-1].copy()
    assert values[0] == 2**20 - 1
    seen = []
    store.read(progress=seen.append).result()
    assert [(p.done, p.total) for p in seen] == [(1, 1)]


def test_it_has_no_transactions_and_one_shape() -> None:
    store = ts.array([1, 2, 3])
    with pytest.raises(Unimplemented, match="transactions"):
        store.with_transaction(ts.Transaction())
    json = store.spec().to_json()
    with pytest.raises(Unimplemented, match="transactions"):
        ts.open(json, transaction=ts.Transaction()).result()
    with pytest.raises(FailedPrecondition):
        store.resize(exclusive_max=[5]).result()
    statistics = store.storage_statistics(query_not_stored=True, query_fully_stored=True).result()
    assert (statistics.not_stored, statistics.fully_stored) == (False, True)
    with pytest.raises(OutOfRange):
        store[5].read().result()


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ({"array": [1]}, "dtype must be specified"),
        ({"dtype": "int8"}, 'member "array"'),
        ({"array": [[1, 2], [3]], "dtype": "int8"}, r"length 1 at position \{1\}"),
        ({"array": [[1, 2], 3], "dtype": "int8"}, r"non-array element 3 at position \{1\}"),
        ({"array": [[1, 2], [3, 400]], "dtype": "int8"}, r"position \{1, 1\}.*400"),
        ({"array": [1, [2]], "dtype": "int8"}, "position {1}"),
        ({"array": [[1]], "dtype": "int8", "rank": 1}, r"rank \(2\)"),
        ({"array": [1], "dtype": "int8", "schema": {"fill_value": 1}}, "fill_value"),
        ({"array": [1], "dtype": "int8", "schema": {"domain": {"shape": [2]}}}, "bounds"),
        (
            {"array": [1], "dtype": "int8", "schema": {"chunk_layout": {"chunk": {"shape": [1]}}}},
            "chunking",
        ),
        ({"array": [1], "dtype": "int8", "kvstore": "memory://"}, "kvstore"),
        ({"array": [1], "dtype": "int8", "base": {"driver": "array"}}, "base"),
    ],
)
def test_bad_specs_are_named(json, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ts.open({"driver": "array", **json}).result()


def test_units_are_kept_through_views() -> None:
    json = {
        "driver": "array",
        "array": [[1, 2], [3, 4]],
        "dtype": "uint8",
        "schema": {"dimension_units": ["4nm", None]},
    }
    store = ts.open(json).result()
    assert store.dimension_units == (ts.Unit("4nm"), None)
    again = ts.open(store[:, 1].spec().to_json()).result()
    assert again.dimension_units == (ts.Unit("4nm"),)

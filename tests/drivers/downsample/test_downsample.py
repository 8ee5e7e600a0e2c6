"""Downsampled views: every method, edge and view, against tensorstore."""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from fractions import Fraction
from statistics import median_low

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import (
    FailedPrecondition,
    InvalidArgument,
    OutOfRange,
    PermissionDenied,
)

METHODS = ["stride", "mean", "min", "max", "median", "mode"]
DTYPES = [
    "bool", "int4", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float8_e4m3fn",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


def numbers(dtype, shape, seed) -> np.ndarray:
    """Few distinct values, so that there are ties, and large ones, so that sums overflow."""
    random = np.random.default_rng(seed)
    wanted = ts.dtype(dtype).numpy_dtype
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype in ("int64", "uint64") and seed % 2:
        limits = np.iinfo(wanted)
        return random.integers(limits.min, limits.max, shape, dtype=wanted)
    low = 0 if dtype.startswith("u") else -7
    found = random.integers(low, 8, shape)
    if dtype.startswith("complex"):
        return (found + 1j * random.integers(0, 3, shape)).astype(wanted)
    if dtype == "int4":
        return found.astype(np.int8).astype(wanted)
    return found.astype(wanted)


@st.composite
def views(draw) -> tuple:
    rank = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(rank))
    factors = [draw(st.integers(1, 5)) for _ in range(rank)]
    origin = [draw(st.integers(-7, 7)) for _ in range(rank)]
    reverse = tuple(
        draw(st.sampled_from([slice(None), slice(None, None, -1)])) for _ in range(rank)
    )
    return shape, factors, origin, reverse


def prepared(module, values, dtype, view) -> tuple:
    _, factors, origin, reverse = view
    base = module.array(values, dtype=getattr(module, dtype))
    return base.translate_to[origin][reverse], factors


def close(found, expected, dtype) -> None:
    if "float" in dtype or "complex" in dtype:
        kind = np.complex128 if "complex" in dtype else np.float64
        np.testing.assert_allclose(found.astype(kind), expected.astype(kind), rtol=2e-2, atol=1e-2)
        exact = dtype in ("float64", "complex128")
        if exact:
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(found, expected)
    assert found.dtype == ts.dtype(dtype).numpy_dtype


def cut_twice(low, high, factor) -> bool:
    return low // factor == (high - 1) // factor and low % factor and high % factor


def of_cell(values, method, dtype) -> object:
    """What one cell becomes, in the plainest way."""
    if method == "stride":
        return values[0]
    if method == "mean" and dtype != "bool":
        if dtype.startswith(("int", "uint")):
            return round(Fraction(sum(map(int, values)), len(values)))
        return sum(v.astype(complex) for v in values) / len(values)
    if method in ("mean", "mode"):
        counts = Counter(values)
        order = (lambda v: (v.real, v.imag)) if dtype.startswith("complex") else (lambda v: v)
        return min(counts, key=lambda v: (-counts[v], order(v)))
    return {"min": min, "max": max, "median": median_low}[method](values)


def by_hand(base, factors, method) -> np.ndarray:
    """All cells of a small array, one by one."""
    values, dtype = base.read().result(), base.dtype.name
    places = []
    for low, high, factor in zip(base.origin, base.domain.exclusive_max, factors, strict=True):
        cells = range(low // factor, -(-high // factor))
        inside = [
            [p - low for p in range(c * factor, c * factor + factor) if low <= p < high]
            for c in cells
        ]
        if method == "stride":
            inside = [[c * factor - low] for c in cells if c * factor >= low]
        places.append(inside)
    found = np.empty([len(each) for each in places], values.dtype)
    for at in np.ndindex(*found.shape):
        cell = values[np.ix_(*(each[i] for each, i in zip(places, at, strict=True)))]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[at] = of_cell(list(cell.ravel()), method, dtype)
    return found


@settings(max_examples=120, deadline=None)
@given(
    view=views(),
    dtype=st.sampled_from(DTYPES),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_values_and_domains_are_tensorstores(view, dtype, method, seed, data) -> None:
    values = numbers(dtype, view[0], seed)
    base, factors = prepared(tensorstore, values, dtype, view)
    try:
        theirs = tensorstore.downsample(base, factors, method)
    except ValueError:
        base, factors = prepared(ts, values, dtype, view)
        with pytest.raises(InvalidArgument):
            ts.downsample(base, factors, method)
        return
    base, factors = prepared(ts, values, dtype, view)
    ours = ts.downsample(base, factors, method)
    assert ours.domain.to_json() == theirs.domain.to_json()
    expected = by_hand(base, factors, method)
    close(ours.read().result(), expected, dtype)
    twice = any(map(cut_twice, base.origin, base.domain.exclusive_max, factors))
    if not twice and not dtype.startswith("float8"):
        # Otherwise tensorstore gives what is not there.
        close(theirs.read().result(), expected, dtype)
    assert ours.mode == "r"
    # Views of it, by the same indices.
    # (Indices into tensorstore's whole: its views count elements at an edge twice, or fail.)
    terms, places = [], []
    for low, size in zip(theirs.origin, theirs.shape, strict=True):
        step = data.draw(st.sampled_from([1, -1, 2, 3]))
        if size == 0 or step == 1 or data.draw(st.booleans()):
            terms.append(slice(None, None, step))
            places.append(slice(None, None, step))
        else:
            places.append(data.draw(st.integers(0, size - 1)))
            terms.append(low + places[-1])
    close(ours[tuple(terms)].read().result(), expected[tuple(places)], dtype)
    if expected.size:
        index = [
            data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3)) for n in ours.shape
        ]
        moved = ours.translate_to[[0] * ours.rank]
        close(moved.oindex[tuple(index)].read().result(), expected[np.ix_(*index)], dtype)
        count = min(len(each) for each in index)
        points = tuple(each[:count] for each in index)
        close(moved.vindex[points].read().result(), expected[points], dtype)
        close(moved.T.read(order="F").result(), expected.T, dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [n for n in ts.__all__ if isinstance(getattr(ts, n), ts.dtype)])
def test_the_same_data_types_are_allowed(method, name) -> None:
    dtype = getattr(ts, name)
    values = np.zeros(3, dtype.numpy_dtype)
    values[:] = {"string": b"a", "ustring": "a"}.get(name, values[0])
    store = ts.array(values, dtype=dtype)
    theirs = tensorstore.array(values, dtype=getattr(tensorstore, name))
    try:
        tensorstore.downsample(theirs, [2], method)
    except ValueError:
        with pytest.raises(InvalidArgument, match=f'"{method}" does not support'):
            ts.downsample(store, [2], method)
    else:
        assert ts.downsample(store, [2], method).read().result().shape == (2,)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, "a", "a", None, {}, [1], True], "json"),
        ([{"b": 1}, {"a": 2}], "json"),
        ([[2], [1, 5], 3.5, False], "json"),
        ([b"b", b"a", b"b", b"c", b"a"], "string"),
        (["b", "a", "b", "c", "a"], "ustring"),
    ],
)
def test_the_mode_of_texts_and_json(values, dtype) -> None:
    given = np.empty(len(values), object)
    given[:] = values
    for factor in (2, 4, 9):
        ours = ts.downsample(ts.array(given, dtype=getattr(ts, dtype)), [factor], "mode")
        theirs = tensorstore.array(given, dtype=getattr(tensorstore, dtype))
        theirs = tensorstore.downsample(theirs, [factor], "mode")
        assert ours.read().result().tolist() == theirs.read().result().tolist()


def test_nan_is_the_greatest_and_no_extreme() -> None:
    store = ts.array([1.0, np.nan, np.nan, 3.0, np.nan, np.nan])
    assert ts.downsample(store, [2], "min").read().result()[:2].tolist() == [1, 3]
    assert ts.downsample(store, [2], "max").read().result()[:2].tolist() == [1, 3]
    assert ts.downsample(store, [2], "median").read().result()[:2].tolist() == [1, 3]
    assert np.isnan(ts.downsample(store, [2], "max").read().result()[2])
    assert np.isnan(ts.downsample(store, [2], "mean").read().result()).all()


def test_index_arrays_count_what_is_inside() -> None:
    view = ts.downsample(ts.array([0.0, 10, 20, 30, 40]), [3], "mean")
    assert view.vindex[[1, 0, 1]].read().result().tolist() == [35, 10, 35]


def both_stored(module) -> object:
    return module.open(
        {"driver": "zarr3", "kvstore": "memory://"},
        create=True,
        dtype=module.float32,
        shape=[10, 12],
        chunk_layout=module.ChunkLayout(chunk_shape=[4, 5], inner_order=[1, 0]),
        fill_value=2,
        dimension_units=["4nm", None],
    ).result()


@pytest.mark.parametrize("factors", [[2, 3], [4, 5], [1, 1], [20, 7]])
@pytest.mark.parametrize("origin", [0, 3, -3])
def test_schemas_are_tensorstores(factors, origin) -> None:
    for method in ("mean", "stride"):
        ours, theirs = (
            module.downsample(both_stored(module).translate_to[origin, 0], factors, method)
            for module in (ts, tensorstore)
        )
        assert ours.schema.to_json() == theirs.schema.to_json() | {"fill_value": 2.0}
        first = ours.origin[0]
        ours, theirs = ours[first:, ::2], theirs[first:, ::2]
        assert ours.chunk_layout.to_json() == theirs.chunk_layout.to_json()


def test_it_follows_its_base() -> None:
    base = both_stored(ts)
    view = ts.downsample(base, [2, 3], "mean")
    base.resize(exclusive_max=[20, 12]).result()
    assert view.domain.shape == (5, 4)
    assert view.resolve().result().domain.shape == (10, 4)
    assert view.read().result().shape == (10, 4)
    assert view[7:9].shape == (2, 4)
    with pytest.raises(OutOfRange):
        view[17].read().result()
    with pytest.raises((PermissionDenied, FailedPrecondition)):
        view.resize(exclusive_max=[3, 4]).result()
    asked = view.storage_statistics(query_not_stored=True, query_fully_stored=True).result()
    assert (asked.not_stored, asked.fully_stored) == (True, False)
    base[:4] = 1
    assert view[:2].storage_statistics(query_fully_stored=True).result().fully_stored
    assert not view[:3].storage_statistics(query_fully_stored=True).result().fully_stored


def test_its_base_is_what_it_shows() -> None:
    base = both_stored(ts)
    view = ts.downsample(base, [2, 3], "mean")
    assert view.base.domain == base.domain
    assert view[1:2, 0].base.domain.index_exp == (slice(2, 4), slice(0, 3))
    assert view[::-1, 3:].base.shape == (10, 3)
    assert view.kvstore.spec() == base.kvstore.spec()


def test_it_works_in_transactions() -> None:
    base = both_stored(ts)
    view = ts.downsample(base, [2, 3], "mean")
    with ts.Transaction() as txn:
        base.with_transaction(txn)[0:2, 0:3].write(8).result()
        staged = view.with_transaction(txn)
        assert staged.transaction is txn
        assert staged[0, 0].read().result() == 8
        assert view[0, 0].read().result() == 2
    assert view[0, 0].read().result() == 8


def test_much_is_read_in_pieces() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 255, (3001, 4003), dtype=np.uint8)
    spec = {"driver": "zarr3", "kvstore": "memory://", "dtype": "uint8"}
    layout = ts.ChunkLayout(chunk_shape=[512, 512])
    base = ts.open(spec, create=True, shape=values.shape, chunk_layout=layout).result()
    base.write(values).result()
    seen = []
    view = ts.downsample(base, [4, 8], "max")
    found = view.read(progress=seen.append).result()
    padded = np.zeros((3004, 4008), np.uint8)
    padded[:3001, :4003] = values
    np.testing.assert_array_equal(found, padded.reshape(751, 4, 501, 8).max(axis=(1, 3)))
    assert len(seen) > 1


def test_a_read_in_a_batch_waits_for_it() -> None:
    view = ts.downsample(both_stored(ts), [2, 3], "mean")
    with ts.Batch() as batch:
        futures = [view.read(batch=batch), view[0, 0].read(batch=batch)]
        assert not any(future.done() for future in futures)
    assert futures[0].result().shape == (5, 4)
    assert futures[1].result() == 2


def test_specs_open_it_again() -> None:
    base = both_stored(ts)
    base[3] = 9
    for method in METHODS:
        view = ts.downsample(base, [2, 3], method)[1:, ::-1]
        expected = view.read().result()
        unopened = ts.downsample(base.spec(), [2, 3], method)[1:, ::-1]
        for spec in (view.spec(), view.spec().to_json(), unopened):
            again = ts.open(spec, context=base.context).result()
            assert again.domain == view.domain
            np.testing.assert_array_equal(again.read().result(), expected)
        assert pickle.loads(pickle.dumps(view.spec())) == view.spec()
    spec = ts.downsample(base.spec(), [2, 3], "mean")
    assert (spec.dtype, spec.shape, spec.rank) == (ts.float32, (5, 4), 2)
    assert spec.base.shape == (10, 12)


BASE = {"driver": "array", "array": [1, 2, 4], "dtype": "int8"}
GOOD = {"base": BASE, "downsample_factors": [2], "downsample_method": "mean"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": None}, 'member "base"'),
        ({"downsample_factors": None}, "downsample_factors"),
        ({"downsample_factors": [2, 2]}, r"downsample factors \(2\).*rank \(1\)"),
        ({"downsample_factors": [0]}, "range"),
        ({"downsample_factors": ["a"]}, 'position 0.*"a"'),
        ({"downsample_factors": 3}, "Expected array"),
        ({"downsample_method": "foo"}, 'one of stride, .*"foo"'),
        ({"downsample_method": 5}, "one of stride"),
        ({"schema": {"fill_value": 3}}, "fill_value"),
        ({"schema": {"domain": {"shape": [9]}}}, "domain"),
        ({"array": [1]}, "array"),
        ({"dtype": "int16"}, "dtype"),
    ],
)
def test_bad_specs_are_named(change, message) -> None:
    json = {k: v for k, v in {"driver": "downsample", **GOOD, **change}.items() if v is not None}
    with pytest.raises(InvalidArgument, match=message):
        ts.open(json).result()


def test_bad_calls_are_named() -> None:
    base = ts.open(BASE).result()
    with pytest.raises(InvalidArgument, match="only"):
        ts.open({"driver": "downsample", **GOOD}, write=True).result()
    with pytest.raises(InvalidArgument, match="positive"):
        ts.downsample(base, [0], "mean")
    with pytest.raises(InvalidArgument, match="factors"):
        ts.downsample(base, [1, 2], "mean")
    with pytest.raises(InvalidArgument, match="one of"):
        ts.downsample(base, [1], "average")
    with pytest.raises(PermissionDenied):
        ts.downsample(base, [2], "mean").write(3).result()

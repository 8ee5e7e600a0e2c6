"""Stacks of layers, against tensorstore and a plain NumPy model."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import (
    IncompatibleType,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    Unimplemented,
)


@st.composite
def layered(draw) -> tuple:
    rank = draw(st.integers(1, 3))
    count = draw(st.integers(1, 4))
    layers = []
    for _ in range(count):
        shape = tuple(draw(st.integers(1, 5)) for _ in range(rank))
        layers.append((shape, [draw(st.integers(-4, 4)) for _ in range(rank)]))
    return rank, layers


def made(module, layers, base=0) -> list:
    found = []
    for number, (shape, origin) in enumerate(layers):
        values = np.arange(np.prod(shape)).reshape(shape) + 1000 * (number + 1) + base
        found.append(module.array(values).translate_to[origin])
    return found


def model(layers, domain) -> np.ndarray:
    """What is where, 0 in holes."""
    found = np.zeros(domain.shape, np.int64)
    for layer in layers:
        place = tuple(
            slice(low - first, low - first + size)
            for low, first, size in zip(layer.origin, domain.origin, layer.shape, strict=True)
        )
        found[place] = layer.read().result()
    return found


@settings(max_examples=150, deadline=None)
@given(case=layered(), data=st.data())
def test_overlays_read_as_tensorstores(case, data) -> None:
    rank, layers = case
    ours, theirs = ts.overlay(made(ts, layers)), tensorstore.overlay(made(tensorstore, layers))
    assert ours.domain.to_json() == theirs.domain.to_json()
    assert ours.spec().to_json() == theirs.spec().to_json()
    assert ours.schema.to_json() == theirs.schema.to_json()
    expected = model(made(ts, layers), ours.domain)
    terms, places = [], []
    for low, size in zip(ours.origin, ours.shape, strict=True):
        kind = data.draw(st.sampled_from(["all", "index", "part", "reverse", "step", "list"]))
        first = data.draw(st.integers(0, size - 1))
        last = data.draw(st.integers(first + 1, size))
        if kind == "index":
            terms.append(low + first)
            places.append(first)
        elif kind == "list":
            chosen = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
            terms.append([low + each for each in chosen])
            places.append(chosen)
        elif kind == "part":
            terms.append(slice(low + first, low + last))
            places.append(slice(first, last))
        else:
            step = {"all": 1, "reverse": -1, "step": 2}[kind]
            terms.append(slice(None, None, step))
            places.append(slice(None, None, step))
    lists = [each for each in places if isinstance(each, list)]
    # Orthogonally by ranges of indices in NumPy, which has no other way.
    grid = np.ix_(
        *(
            np.arange(size)[[each] if isinstance(each, int) else each]
            for each, size in zip(places, expected.shape, strict=True)
        )
    )
    wanted = expected[grid].reshape(
        [
            len(np.arange(size)[each])
            for each, size in zip(places, expected.shape, strict=True)
            if not isinstance(each, int)
        ]
    )
    view = ours.oindex[tuple(terms)]
    if not (wanted > 0).all():
        with pytest.raises(InvalidArgument, match="missing layer mapping") as caught:
            view.read().result()
        with pytest.raises(ValueError, match="missing layer mapping") as other:
            theirs.oindex[tuple(terms)].read().result()
        backwards = any(isinstance(each, slice) and each.step == -1 for each in places)
        # Of several holes, which one is named first is up to whoever looks for them.
        if not lists and rank == 1 and not backwards:
            mine = caught.value.message.partition(" missing")[0]
            assert mine == str(other.value).partition(" missing")[0]
        return
    np.testing.assert_array_equal(view.read().result(), wanted)
    np.testing.assert_array_equal(view.read(order="F").result(), wanted)
    if len(lists) > 1:
        count = min(map(len, lists))
        points = tuple(each[:count] if isinstance(each, list) else each for each in terms)
        here = theirs.vindex[points].read().result()
        np.testing.assert_array_equal(ours.vindex[points].read().result(), here)


@settings(max_examples=100, deadline=None)
@given(case=layered(), data=st.data())
def test_writes_go_where_tensorstores_go(case, data) -> None:
    _, layers = case
    mine, other = made(ts, layers), made(tensorstore, layers)
    ours, theirs = ts.overlay(mine), tensorstore.overlay(other)
    number = data.draw(st.integers(0, len(layers) - 1))
    # Inside one layer there are no holes.
    box = tuple(
        slice(low, low + size, step)
        for low, size, step in zip(
            mine[number].origin,
            mine[number].shape,
            data.draw(st.lists(st.sampled_from([1, 2]), min_size=3, max_size=3)),
            strict=False,
        )
    )
    for store in (ours, theirs):
        view = store[box]
        view.write(-np.arange(1, view.size + 1).reshape(view.shape)).result()
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_array_equal(a.read().result(), b.read().result())


@settings(max_examples=60, deadline=None)
@given(case=layered(), axis=st.integers(-4, 3))
def test_concat_and_stack_are_tensorstores(case, axis) -> None:
    _, layers = case
    for name in ("concat", "stack"):
        outcomes = []
        for module in (ts, tensorstore):
            try:
                store = getattr(module, name)(made(module, layers), axis)
                outcomes.append(store.spec().to_json())
            except ValueError:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]


def stored(module, context=None, dtype="float32", path="") -> object:
    return module.open(
        {"driver": "zarr3", "kvstore": f"memory://{path}"},
        create=True,
        open=True,
        dtype=getattr(module, dtype),
        shape=[10, 12],
        dimension_units=["4nm", None],
        context=context,
    ).result()


def test_it_holds_specs_and_opens_them_when_needed() -> None:
    context = ts.Context()
    base = stored(ts, context)
    base[:] = 5
    view = ts.overlay([base.spec(), base[:2].translate_to[10, 0]], context=context)
    assert view.shape == (12, 12)
    assert (view.read().result() == 5).all()
    view[9:11] = 7
    assert base[9, 0].read().result() == base[0, 0].read().result() == 7
    apart = ts.overlay([base.spec()])
    with pytest.raises(NotFound, match="While opening layer 0"):
        apart.read().result()
    with ts.Batch() as batch:
        future = view.read(batch=batch)
    assert future.result()[11, 0] == 5
    assert view.statistics()[0] is None


def test_modes_are_those_of_the_layers() -> None:
    base = stored(ts)
    frozen = ts.downsample(base, [1, 1], "mean")
    assert ts.overlay([frozen]).mode == "r"
    both = ts.overlay([frozen, base[:5]])
    assert both.mode == "rw"
    both[0] = 3
    with pytest.raises(PermissionDenied):
        both[5].write(3).result()
    with pytest.raises(PermissionDenied):
        both.write(3).result()
    assert ts.overlay([base], write=True).mode == "w"
    with pytest.raises(InvalidArgument, match="write=True"):
        ts.overlay([frozen], write=True)


def test_a_hole_is_found_before_anything_is_written() -> None:
    layers = made(ts, [((4,), [0]), ((4,), [6])])
    before = [layer.read().result() for layer in layers]
    with pytest.raises(InvalidArgument, match=r"origin=\{4\} missing layer mapping"):
        ts.overlay(layers)[2:8].write(0).result()
    for layer, values in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.read().result(), values)


def test_it_works_in_transactions() -> None:
    context = ts.Context()
    base = stored(ts, context)
    view = ts.overlay([base, base[:3].translate_to[10, 0], base.spec().translate_to[13, 0]],
                      context=context)  # fmt: skip
    txn = ts.Transaction()
    staged = view.with_transaction(txn)
    staged[8:11].write(4).result()
    assert staged[0, 0].read().result() == 4
    assert view[0, 0].read().result() == 0
    txn.commit_async().result()
    assert (base[8:].read().result() == 4).all()
    assert (base[0].read().result() == 4).all()
    txn = ts.Transaction()
    assert ts.overlay([base.with_transaction(txn)]).transaction is txn
    assert ts.overlay([base], transaction=txn).transaction is txn
    for layers in ([base.with_transaction(txn), base], [base, base.with_transaction(txn)]):
        with pytest.raises(InvalidArgument, match="Layer 1: Transaction mismatch"):
            ts.overlay(layers)
    with pytest.raises(InvalidArgument, match="Layer 0: Transaction mismatch"):
        ts.overlay([base.with_transaction(txn)], transaction=ts.Transaction())


def test_large_layers_are_read_in_pieces() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 255, (6000, 7000), dtype=np.uint8)
    view = ts.concat([ts.array(values), ts.array(values[:10])], axis=0)
    np.testing.assert_array_equal(
        view[:, 3:].read().result(), np.concatenate([values, values[:10]])[:, 3:]
    )


def test_constraints() -> None:
    layer = ts.array(np.arange(2, dtype=np.uint32))
    assert ts.overlay([layer], shape=[5]).domain == ts.IndexDomain(shape=[5])
    assert ts.overlay([layer], shape=[1]).read().result().tolist() == [0]
    assert ts.overlay([layer], dimension_units=["4nm"]).dimension_units == (ts.Unit("4nm"),)
    assert ts.overlay([stored(ts)]).dimension_units == (ts.Unit("4nm"), None)
    for wrong, message in (
        ({"dtype": ts.int8}, "Layer 0.*int8"),
        ({"rank": 2}, "rank"),
        ({"schema": ts.Schema(fill_value=3)}, "fill value"),
        ({"schema": ts.Schema(chunk_layout=ts.ChunkLayout(chunk_shape=[2]))}, "chunk layout"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            ts.overlay([layer], **wrong)
    with pytest.raises(IncompatibleType):
        ts.overlay([layer], codec=3)
    with pytest.raises(IncompatibleType, match="Layer 1"):
        ts.overlay([layer, 3])


@pytest.mark.parametrize("layers", [3, None, ts.array([1]), ts.array([1]).spec()])
@pytest.mark.parametrize("function", [ts.overlay, ts.stack, partial(ts.concat, axis=0)])
def test_layers_come_in_a_list(function: Any, layers: Any) -> None:
    with pytest.raises(IncompatibleType, match="in a list, but received"):
        function(layers)
    assert function(iter([ts.array([1])])).size == 1


def test_labels() -> None:
    plain = ts.array([[1, 2, 3], [4, 5, 6]])
    both = [plain.label["x", "y"], plain]
    assert ts.overlay(both).domain.labels == ("x", "y")
    assert ts.concat(both, axis="y").read().result().tolist() == [
        [1, 2, 3, 1, 2, 3],
        [4, 5, 6, 4, 5, 6],
    ]
    with pytest.raises(InvalidArgument, match="'z'"):
        ts.concat(both, axis="z")
    with pytest.raises(InvalidArgument, match=r"Layer 1.*label"):
        ts.overlay([plain.label["x", "y"], plain.label["y", "x"]])


def test_what_it_does_not_do() -> None:
    view = ts.overlay([stored(ts)])
    assert (view.fill_value, view.codec, view.kvstore, view.base) == (None,) * 4
    with pytest.raises((Unimplemented, ValueError)):
        view.resize(exclusive_max=[20, 12]).result()
    with pytest.raises(OutOfRange):
        view[10].read().result()
    asked = view.storage_statistics(query_not_stored=True).result()
    assert asked.not_stored


def test_specs_open_it_again() -> None:
    context = ts.Context()
    base = stored(ts, context)
    base[:] = np.arange(120, dtype=np.float32).reshape(10, 12)
    view = ts.stack([base, base.spec(), ts.cast(base, ts.float32)], axis=1, context=context)
    expected = view.read().result()
    for spec in (view.spec(), view.spec().to_json()):
        again = ts.open(spec, context=context).result()
        assert (again.domain, again.dtype) == (view.domain, ts.float32)
        np.testing.assert_array_equal(again.read().result(), expected)
    part = view[::2, 1, 3:]
    again = ts.open(part.spec(), context=context).result()
    np.testing.assert_array_equal(again.read().result(), part.read().result())
    assert pickle.loads(pickle.dumps(view.spec())) == view.spec()


ONE = {"driver": "array", "array": [1, 2], "dtype": "int8"}


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ({}, 'member "layers"'),
        ({"layers": 5}, "Expected array, but received: 5"),
        ({"layers": []}, "without any layer"),
        ({"layers": [ONE, {"driver": "nothing"}]}, '"layers".*position 1.*not a registered'),
        ({"layers": [ONE, {**ONE, "dtype": "int16"}]}, "Layer 1.*int16"),
        ({"layers": [ONE, {**ONE, "array": [[1]]}]}, "Layer 1.*rank 2"),
        ({"layers": [{"driver": "zarr3", "kvstore": "memory://"}]}, "Layer 0: Domain must"),
        ({"layers": [ONE], "dtype": "int16"}, "Layer 0"),
        ({"layers": [ONE], "schema": {"fill_value": 3}}, "fill value"),
        ({"layers": [ONE], "base": ONE}, "base"),
        (
            {"layers": [{"driver": "zarr3", "kvstore": "memory://",
                         "schema": {"domain": {"shape": [3]}}}]},
            "dtype must be specified",
        ),
    ],
)  # fmt: skip
def test_bad_specs_are_named(json, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ts.open({"driver": "stack", **json}).result()


def test_no_layers_but_a_domain() -> None:
    json = {
        "driver": "stack",
        "layers": [],
        "dtype": "int8",
        "schema": {"domain": {"shape": [3]}},
    }
    store = ts.open(json).result()
    assert store.shape == (3,)
    with pytest.raises(InvalidArgument, match="missing layer mapping"):
        store.read().result()

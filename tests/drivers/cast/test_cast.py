"""Arrays seen with another data type."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import InvalidArgument, PermissionDenied
from asynctensor.schema.conversion import can_convert

OPTIONS = {
    "dtype": "float32",
    "shape": [10, 12],
    "fill_value": 1.5,
    "dimension_units": ["4nm", None],
}


@pytest.fixture
def stored() -> ts.TensorStore:
    layout = ts.ChunkLayout(chunk_shape=[4, 5])
    spec = {"driver": "zarr3", "kvstore": "memory://"}
    return ts.open(spec, create=True, chunk_layout=layout, **OPTIONS).result()


def their_stored() -> tensorstore.TensorStore:
    layout = tensorstore.ChunkLayout(chunk_shape=[4, 5])
    spec = {"driver": "zarr3", "kvstore": "memory://"}
    return tensorstore.open(spec, create=True, chunk_layout=layout, **OPTIONS).result()


def test_it_looks_as_theirs(stored) -> None:
    ours, theirs = ts.cast(stored, ts.int16), tensorstore.cast(their_stored(), tensorstore.int16)
    assert ours.schema.to_json() == theirs.schema.to_json()
    for view in (slice(None), (slice(2, 5), 3), (slice(None), slice(None, None, 3))):
        mine, other = ours[view].spec().to_json(), theirs[view].spec().to_json()
        for json in (mine, other):
            # Which defaults are spelled out is a matter of the format.
            json["base"].pop("metadata")
        assert mine == other
    assert ours.base.spec() == stored.spec()
    assert ours[1].base.spec() == stored[1].spec()
    assert ours.kvstore.spec() == stored.kvstore.spec()
    assert ours.mode == "rw"
    assert repr(ours).startswith("TensorStore({\n  'base': {")


def test_it_reads_and_writes_the_base(stored) -> None:
    view = stored.astype(ts.int16)
    view[2:5, 3:].write(np.arange(27).reshape(3, 9).astype(np.int16)).result()
    assert stored[3, 4].read().result() == 10.0
    assert view.read().result()[4, 11] == 26
    assert view.read().result()[0, 0] == 1
    assert view.read(order="F").result().flags.f_contiguous
    stored[0, 0] = -7.9
    assert view[0, 0].read().result() == -7
    view[1] = np.int8(3)
    assert (stored[1].read().result() == 3).all()


def test_large_ones_go_in_pieces() -> None:
    shape = [3000, 3000]
    spec = {"driver": "zarr3", "kvstore": "memory://", "dtype": "int32"}
    base = ts.open(spec, create=True, shape=shape).result()
    view = ts.cast(base, ts.float64)
    values = np.arange(9_000_000, dtype=np.float64).reshape(shape)
    view.write(values).result()
    np.testing.assert_array_equal(base.read().result(), values)
    np.testing.assert_array_equal(view[1:, ::-1].read().result(), values[1:, ::-1])


def test_a_read_in_a_batch_waits_for_it(stored) -> None:
    view = stored.astype(ts.int8)
    with ts.Batch() as batch:
        future = view.read(batch=batch)
        assert not future.done()
    assert future.result()[0, 0] == 1


def test_directions_follow_from_the_data_types() -> None:
    texts = ts.array([b"1", b"2"], dtype=ts.string)
    view = ts.cast(texts, ts.int8)
    assert view.mode == "w"
    with pytest.raises(PermissionDenied):
        view.read().result()
    view[0] = 12
    assert texts.read().result().tolist() == [b"12", b"2"]
    assert ts.cast(ts.array([1.5]), ts.ustring).mode == "r"
    with pytest.raises(InvalidArgument, match="Cannot convert bool <-> string"):
        ts.cast(ts.array([True]), ts.string)
    with pytest.raises(InvalidArgument, match=r"Cannot convert json -> complex64"):
        ts.array([1], dtype=ts.json, write=False).astype(ts.complex64)


def test_an_element_that_cannot_be_converted_fails_the_read() -> None:
    view = ts.cast(ts.array([1, "x"], dtype=ts.json), ts.int8)
    assert view[0].read().result() == 1
    with pytest.raises(InvalidArgument, match='received: "x"'):
        view.read().result()


def test_resize_and_statistics_are_the_bases(stored) -> None:
    view = stored.astype(ts.int16)
    assert view.resize(exclusive_max=[20, 20]).result().shape == (20, 20)
    assert stored.resolve().result().shape == (20, 20)
    asked = view.storage_statistics(query_not_stored=True).result()
    assert asked.not_stored


def test_it_works_in_transactions(stored) -> None:
    view = stored.astype(ts.int64)
    with ts.Transaction() as txn:
        staged = view.with_transaction(txn)
        staged.write(np.full((10, 12), 7)).result()
        assert (staged.read().result() == 7).all()
        assert staged.transaction is txn
        assert view[0, 0].read().result() == 1
    assert (stored.read().result() == 7).all()


def test_specs_open_it_again(stored) -> None:
    view = stored.astype(ts.int16)[3:, ts.newaxis]
    context = stored.context
    for spec in (view.spec(), view.spec().to_json(), ts.cast(stored.spec(), ts.int16)[3:, None]):
        again = ts.open(spec, context=context).result()
        assert (again.dtype, again.domain) == (view.dtype, view.domain)
    assert pickle.loads(pickle.dumps(view.spec())) == view.spec()


def test_its_url(stored) -> None:
    url = stored.astype(ts.int16).url
    assert url == "memory://|zarr3:|cast:int16"
    assert ts.open(url, context=stored.context).result().dtype == ts.int16
    spec = ts.Spec("memory://a/|zarr3:|cast:int8|cast:float32")
    theirs = tensorstore.Spec("memory://a/|zarr3:|cast:int8|cast:float32")
    assert spec.to_json() == theirs.to_json()
    assert spec.url == theirs.url
    for wrong in ("memory://|cast:int8", "memory://|zarr3:|cast:", "memory://|zarr3:|zarr3:"):
        with pytest.raises(InvalidArgument):
            ts.Spec(wrong)
    with pytest.raises(InvalidArgument, match="no URL"):
        ts.cast(ts.array([1]), ts.int8).url  # noqa: B018


def test_creating_through_it() -> None:
    base = ts.Spec({"driver": "zarr3", "kvstore": "memory://", "dtype": "float32"})
    spec = ts.cast(base, ts.int16)
    spec.update(shape=[5], fill_value=3)
    assert spec.base.schema.fill_value == 3
    assert spec.base.dtype == ts.float32
    assert (spec.dtype, spec.shape) == (ts.int16, (5,))
    store = ts.open(spec, create=True, open=True).result()
    assert store.base.dtype == ts.float32
    assert store.read().result().tolist() == [3] * 5


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ({"dtype": "int8"}, 'member "base"'),
        ({"base": {"driver": "array", "array": [1], "dtype": "int8"}}, "dtype must be specified"),
        ({"base": {"driver": "nothing"}, "dtype": "int8"}, '"base".*not a registered'),
        ({"base": 5, "dtype": "int8"}, '"base".*Expected object'),
        (
            {"base": {"driver": "array", "array": [1], "dtype": "int8"}, "dtype": "byte"},
            "Cannot convert int8 <-> byte",
        ),
        (
            {"base": {"driver": "array", "array": [1], "dtype": "int8"}, "dtype": "int8",
             "create": True},
            "create",
        ),
    ],
)  # fmt: skip
def test_bad_specs_are_named(json, message) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ts.open({"driver": "cast", **json}).result()


def test_every_pair_of_data_types_opens_or_says_why() -> None:
    names = [n for n in ts.__all__ if isinstance(getattr(ts, n), ts.dtype)]
    for source in names:
        dtype = getattr(ts, source)
        values = np.zeros(2, dtype.numpy_dtype)
        if source in ("string", "ustring"):
            values[:] = dtype.type()
        base = ts.array(values, dtype=dtype)
        for target in names:
            other = getattr(ts, target)
            ways = can_convert(dtype, other), can_convert(other, dtype)
            if any(ways):
                view = ts.cast(base, other)
                assert ("r" in view.mode, "w" in view.mode) == ways
            else:
                with pytest.raises(InvalidArgument):
                    ts.cast(base, other)

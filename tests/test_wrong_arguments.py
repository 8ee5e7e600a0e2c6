"""Arguments of a wrong type are refused at once, with an error of the library's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument, NotFound

SPEC = {"driver": "zarr3", "kvstore": "memory://"}


def made() -> at.TensorStore:
    return at.open(SPEC, create=True, dtype="int8", shape=[2]).result()


def store() -> at.KvStore:
    return at.KvStore.open("memory://").result()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: at.open(SPEC, context=5), "Invalid context: Expected Context"),
        (lambda: at.open(SPEC, transaction=5), "Invalid transaction: Expected Transaction"),
        (lambda: at.open(SPEC, batch=5), "Invalid batch: Expected Batch"),
        (lambda: at.open(SPEC, open_mode=5), "Invalid open_mode"),
        (lambda: at.open(SPEC, shape=5), "Invalid shape"),
        (lambda: at.open(SPEC, dtype=object()), "Invalid dtype"),
        (lambda: made().with_transaction(5), "Invalid transaction: Expected Transaction"),
        (lambda: made().read(batch=5), "Invalid batch: Expected Batch"),
        (lambda: made().read(order="X"), "`order` must be one of"),
        (lambda: made().resize(exclusive_max=5), "exclusive_max must be a sequence"),
        (lambda: made().astype(5), "Expected a data type"),
        (lambda: made().write(np.ones(2)), "Cannot cast array data"),
        (lambda: at.KvStore.open("memory://", context=5), "Invalid context: Expected Context"),
        (lambda: at.KvStore.open("memory://", transaction=5), "Invalid transaction"),
        (lambda: store().with_transaction(5), "Invalid transaction: Expected Transaction"),
        (lambda: setattr(store(), "transaction", 5), "Invalid transaction: Expected Transaction"),
        (lambda: store().read(5), "a key is str or bytes"),
        (lambda: store().write("a", 5), "a value is str, bytes"),
        (lambda: store().list(5), "a range is a KvStore.KeyRange"),
        (lambda: at.Schema(shape=5), "Invalid shape"),
        (lambda: at.Schema(rank="a"), "Invalid rank: Expected an integer"),
        (lambda: at.ChunkLayout(chunk_shape=5), "Invalid chunk_shape"),
        (lambda: at.ChunkLayout.Grid(shape=5), "Invalid shape"),
        (lambda: at.Spec(SPEC).update(chunk_layout=5), "Invalid chunk_layout"),
        (lambda: at.cast(5, "int8"), "Expected TensorStore or Spec"),
        (lambda: at.stack([5]), "Layer 0: Expected TensorStore or Spec"),
        (lambda: at.virtual_chunked(5, dtype="int8", shape=[2]), "read_function must be"),
        (lambda: at.dtype(5), "Expected a data type"),
        (lambda: at.Unit(object()), "Expected a unit"),
        (lambda: at.KvStore.KeyRange(5), "expected str or bytes"),
        (lambda: at.IndexDomain(2).hull(at.IndexTransform(2)), "expected an IndexDomain to hull"),
        (lambda: at.IndexDomain(2).intersect(5), "expected an IndexDomain to intersect"),
        (lambda: at.Dim(2).hull(at.IndexDomain(2)), "expected a Dim, got"),
        (lambda: at.Dim(2).intersect(5), "expected a Dim, got"),
        (lambda: at.Promise(), "use Promise.new"),
        (lambda: at.open(SPEC, fillvalue=5), "'fillvalue'; did you mean 'fill_value'"),
        (lambda: at.Spec(SPEC).update(chunklayout=5), "did you mean 'chunk_layout'"),
        (lambda: at.stack([at.array([1])], axes=5), "Unexpected keyword argument 'axes'"),
    ],
)
def test_wrong_types(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(IncompatibleType, match=text) as caught:
        call()
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("spec", ["memry://a", {"driver": "zar"}, 5, {**SPEC, "bogus": 1}])
def test_wrong_specs_are_refused_before_there_is_a_future(spec: Any) -> None:
    for opens in (at.open, at.KvStore.open, at.Spec, at.KvStore.Spec):
        with pytest.raises(InvalidArgument):
            opens(spec)


def test_a_kvstore_opens_as_itself() -> None:
    first = store()
    first["a"] = b"1"
    assert at.KvStore.open(first.spec(retain_context=True)).result()["a"] == b"1"


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(NotFound, match="no-such-key") as caught:
        store()["no-such-key"]
    assert isinstance(caught.value, KeyError)


def test_a_negative_index_is_explained() -> None:
    with pytest.raises(IndexError, match="does not count from the end"):
        made()[-1]


def test_a_path_in_a_text_is_explained() -> None:
    with pytest.raises(InvalidArgument, match=r"file:///path, or a pathlib\.Path"):
        at.open("/data/image.zarr")


def test_a_schema_of_unknown_rank_can_be_transposed() -> None:
    for library in (at, tensorstore):
        schema = library.Schema(dtype=library.uint8)
        assert schema == schema.T
        assert library.Schema(shape=[2, 3]).T.shape == (3, 2)


async def test_what_is_not_known_is_a_value_error_as_in_tensorstore() -> None:
    context = at.Context()
    array = await at.open(SPEC, create=True, dtype="int8", shape=[2], context=context)
    document = json.loads((await array.kvstore.read("zarr.json")).value)
    for change in ({"codecs": ["\ud800"]}, {"data_type": "int7"}, {"chunk_grid": "none"}):
        await array.kvstore.write("zarr.json", json.dumps({**document, **change}).encode())
        with pytest.raises(ValueError) as caught:
            await at.open(SPEC, context=context)
        assert isinstance(caught.value, NotImplementedError)
        assert str(caught.value).encode()

"""Arguments of a wrong type are refused at once, with an error of the library's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import IncompatibleType, InvalidArgument

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

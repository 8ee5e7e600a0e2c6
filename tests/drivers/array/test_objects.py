"""Arrays in memory of JSON values, texts, times and records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import IncompatibleType, InvalidArgument

LIBRARIES = [ts, tensorstore]
A_SET: Any = {1, 2}


def objects(*values: Any) -> np.ndarray[Any, Any]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_json_values_are_its_own(library: Any) -> None:
    given = {"a": [1]}
    store = library.array(given, dtype=library.json)
    given["a"].append(2)
    assert store.read().result().item() == {"a": [1]}
    store.read().result().item()["a"].append(3)
    assert store.read().result().item() == {"a": [1]}
    many = library.array(objects({"a": [1]}, 2))
    source = objects({"b": [1]})
    many[0:1].write(source).result()
    source[0]["b"].append(2)
    many.read().result()[0]["b"].append(3)
    assert many.read().result().tolist() == [{"b": [1]}, 2]


@pytest.mark.parametrize(
    "values",
    [(1, (2, 3)), [[1, 2], [3]], objects({1: 2}), objects(np.int64(3), (1, 2)), np.arange(3)],
)
def test_json_values_are_plain(values: Any) -> None:
    ours, theirs = (
        library.array(values, dtype=library.json).read().result() for library in LIBRARIES
    )
    assert ours.tolist() == theirs.tolist()
    assert [type(each) for each in ours.flat] == [type(each) for each in theirs.flat]


def test_numbers_that_are_not_finite_stay() -> None:
    found = ts.array(objects(float("nan"), [float("inf")])).read().result()
    assert np.isnan(found[0])
    assert found[1] == [np.inf]


@pytest.mark.parametrize(
    "call",
    [
        lambda library: library.array(object()),
        lambda library: library.array(objects(object())),
        lambda library: library.array(objects({"a": A_SET})),
        lambda library: library.array([1], dtype=library.json).write(objects(A_SET)).result(),
        lambda library: library.array(5, dtype=library.json).write(A_SET).result(),
        lambda library: library.array([5], dtype=library.ustring),
        lambda library: library.array([None], dtype=library.ustring),
        lambda library: library.array([5], dtype=library.string),
        lambda library: library.array(objects(b"a", "x"), dtype=library.string),
    ],
)
def test_what_is_no_such_element_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        call(tensorstore)
    with pytest.raises(IncompatibleType):
        call(ts)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["json", "ustring"])
def test_they_are_not_shared(library: Any, kind: str) -> None:
    values = objects("a", "b")
    store = library.array(values, dtype=getattr(library, kind))
    values[0] = "c"
    assert store.read().result().tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="copy"):
        library.array(values, dtype=getattr(library, kind), copy=False)


@pytest.mark.parametrize(
    ("values", "json"),
    [
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array(["2020-01-01", "NaT"], "M8[D]"), [18262, -(2**63)]),
        (np.array([5, -3], "m8[10s]"), [5, -3]),
        (
            np.array([(1, [2, np.inf])], [("x", "i4"), ("y", "f4", 2)]),
            [{"x": 1, "y": [2.0, "Infinity"]}],
        ),
    ],
)
def test_types_that_tensorstore_lacks_have_json(values: np.ndarray, json: Any) -> None:
    store = ts.array(values)
    spec = store.spec().to_json()
    assert (spec["array"] if values.size > 1 else [spec["array"]]) == json
    again = ts.open(spec).result()
    assert again.dtype == store.dtype
    np.testing.assert_array_equal(again.read().result(), values)
    assert repr(store).startswith("TensorStore({")


def test_conversions_of_types_that_tensorstore_lacks() -> None:
    texts = ts.array(np.array(["a", "bc"]))
    assert texts.astype(ts.ustring).read().result().tolist() == ["a", "bc"]
    assert texts.astype(ts.string).read().result().tolist() == [b"a", b"bc"]
    assert texts.astype(ts.json).read().result().tolist() == ["a", "bc"]
    target = ts.array(["", ""], dtype=ts.ustring)
    target.write(texts).result()
    assert target.read().result().tolist() == ["a", "bc"]
    days = ts.array(np.array(["2020-01-01"], "M8[D]"))
    for other in (ts.int64, ts.float32, ts.json):
        with pytest.raises(InvalidArgument, match="datetime64"):
            days.astype(other)
    with pytest.raises(IncompatibleType, match="no conversion"):
        ts.array(np.array(["2020-01-01"], "M8[s]")).write(days).result()

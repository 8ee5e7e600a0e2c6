"""JSON Pointers: RFC 6901, and TensorStore's rules for writing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.drivers.json.pointer import ABSENT, find, format_pointer, parse_pointer, put
from asynctensor.drivers.json.text import parse, serialize
from asynctensor.errors import DataLoss, Error, InvalidArgument
from asynctensor.schema.json_element import MAX_DEPTH, copied

#: RFC 6901, section 5.
RFC = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6,
    " ": 7, "m~n": 8,
}  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", "0", "-", "~/"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
tokens = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "01", "~/", ""]), max_size=4)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", RFC), ("/foo", RFC["foo"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_the_examples_of_the_rfc(pointer: str, found: Any) -> None:
    assert find(RFC, parse_pointer(pointer)) == found
    assert format_pointer(parse_pointer(pointer)) == pointer


@pytest.mark.parametrize("pointer", ["x", "/~", "/~2", "/a~", " /a", "~0"])
def test_no_pointers(pointer: str) -> None:
    with pytest.raises(InvalidArgument, match="JSON Pointer"):
        parse_pointer(pointer)


@given(values, tokens, values)
@settings(deadline=None)
def test_what_is_put_is_found(document: Any, path: list[str], value: Any) -> None:
    before = copy.deepcopy(document)
    try:
        after = put(copy.deepcopy(document), tuple(path), value)
    except Error:
        untouched = copy.deepcopy(before)
        with pytest.raises(Error):
            put(untouched, tuple(path), value)
        assert untouched == before
        return
    if "-" not in path:
        assert find(after, tuple(path)) == value


@given(tokens)
@settings(deadline=None)
def test_into_nothing(path: list[str]) -> None:
    assert find(put(ABSENT, tuple(path), 5), tuple(path)) == 5


def test_huge_indices() -> None:
    for index in ("9" * 10**6, "1" + "0" * 30):
        with pytest.raises(Error, match="out-of-range"):
            find([1], (index,))


@given(values)
@settings(deadline=None)
def test_documents_are_read_as_they_are_written(value: Any) -> None:
    assert parse(serialize(copied(value))) == value
    mine = copied(value)
    assert mine == value
    assert mine is not value or not isinstance(value, (list, dict))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[1,]", b"nul", b"NaN", b"[Infinity]", b"\xff", b'"\\ud800"', b"1 2",
        b"[" * 10**5, b"[" * (MAX_DEPTH + 5) + b"]" * (MAX_DEPTH + 5), b"1" * 10_000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000, "é".encode("latin-1"),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_document(data: bytes) -> None:
    with pytest.raises(DataLoss):
        parse(data)


def test_values_that_are_too_deep() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 2):
        deep = [deep]
    with pytest.raises(InvalidArgument, match="deep"):
        copied(deep)
    deep.append(deep)
    with pytest.raises(InvalidArgument, match="deep"):
        copied(deep)

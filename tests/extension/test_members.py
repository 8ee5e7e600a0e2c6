"""Members of specs, declared by parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from asynctensor.errors import InvalidArgument
from asynctensor.extension.members import Members


def even(value: int) -> int:
    if value % 2:
        raise ValueError("expected an even number")
    return value // 2


def everything(
    text: str,
    number: int,
    ratio: float = 0.5,
    flag: bool = False,
    items: list[str] | None = None,
    object_: dict[str, Any] | None = None,
    choice: Literal["a", "b", 3] = "a",
    perhaps: int | None = None,
    half: Annotated[int, even] = 0,
    anything: Any = None,
    bare=7,
) -> None: ...


MEMBERS = Members.of(everything)
GIVEN = {"text": "a", "number": 1}


def test_names_and_defaults() -> None:
    assert MEMBERS.names == set(everything.__code__.co_varnames)
    assert MEMBERS.defaults["ratio"] == 0.5
    assert "text" not in MEMBERS.defaults


@pytest.mark.parametrize(
    ("member", "value", "read"),
    [
        ("number", 3.0, 3),
        ("ratio", 2, 2.0),
        ("items", ("x",), ["x"]),
        ("items", None, None),
        ("object_", {"a": 1}, {"a": 1}),
        ("choice", 3, 3),
        ("perhaps", None, None),
        ("half", 8, 4),
        ("anything", [{}], [{}]),
        ("bare", "x", "x"),
    ],
)
def test_values(member: str, value: Any, read: Any) -> None:
    assert MEMBERS.arguments(GIVEN | {member: value})[member] == read


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("text", 3),
        ("text", None),
        ("number", "3"),
        ("number", True),
        ("number", 0.5),
        ("ratio", "x"),
        ("flag", 1),
        ("items", "abc"),
        ("object_", []),
        ("choice", "c"),
        ("choice", True),
        ("perhaps", "x"),
        ("half", 7),
        ("half", "x"),
    ],
)
def test_wrong_values_are_named(member: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f'object member "{member}": .*received'):
        MEMBERS.arguments(GIVEN | {member: value})


def test_missing_and_unknown_members() -> None:
    with pytest.raises(InvalidArgument, match='"number": member is missing'):
        MEMBERS.arguments({"text": "a"})
    with pytest.raises(InvalidArgument, match='extra members: "tekst"'):
        MEMBERS.arguments(GIVEN | {"tekst": 1})


def test_class_without_constructor() -> None:
    class Empty: ...

    assert Members.of(Empty).names == frozenset()


@pytest.mark.parametrize("function", [lambda *args: None, lambda **kwargs: None, lambda a, /: None])
def test_parameters_without_a_name(function: Any) -> None:
    with pytest.raises(InvalidArgument, match="no name"):
        Members.of(function)


def test_types_that_no_json_has() -> None:
    def function(a: bytes) -> None: ...

    with pytest.raises(InvalidArgument, match="which no JSON has"):
        Members.of(function)

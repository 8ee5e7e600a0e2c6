"""Keyword arguments that come as a typed dictionary: which are given, and of what type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from asynctensor.errors import Error, IncompatibleType
from asynctensor.near_names import near
from asynctensor.schema.json_value import annotated


def given_keywords(options: Any, known: Any) -> Iterator[tuple[str, Any]]:
    """Keywords that are not None, in the order of their declaration, in which they apply.

    Args:
        options: The keywords of a call.
        known: The `TypedDict` that declares them.

    Raises:
        IncompatibleType: One of them is not declared.
    """
    for name in options.keys() - known.__annotations__.keys():
        raise unexpected_keyword(name, known)
    for name in known.__annotations__:
        if options.get(name) is not None:
            yield name, options[name]


def unexpected_keyword(name: str, known: type) -> IncompatibleType:
    """The error for a keyword that a call does not have; `known` declares those that it has."""
    return IncompatibleType(
        f"Unexpected keyword argument {name!r}{near(name, known.__annotations__)}"
    )


@contextmanager
def in_keyword(name: str) -> Iterator[None]:
    """Errors of the body name the keyword; a value of a wrong type is an `IncompatibleType`."""
    with annotated(f"Invalid {name}"):
        try:
            yield
        except TypeError as error:
            if isinstance(error, Error):
                raise
            raise IncompatibleType(str(error)) from error


def optional_type(value: Any, cls: type[Any], name: str) -> Any:
    """`value`, if it is None or an instance of `cls`; `name` is what the caller calls it.

    Raises:
        IncompatibleType: It is neither.
    """
    with annotated(f"Invalid {name}"):
        return None if value is None else checked_type(value, cls)


def refuse_both(options: Mapping[str, Any]) -> None:
    """Refuses keywords beside JSON.

    Raises:
        IncompatibleType: There are any.
    """
    if options:
        raise IncompatibleType("Give either JSON or keywords, not both; add the others by update()")


def checked_type(value: Any, cls: type[Any]) -> Any:
    """`value`, if it is an instance of `cls`.

    Raises:
        IncompatibleType: It is none.
    """
    if not isinstance(value, cls):
        raise IncompatibleType(f"Expected {cls.__qualname__}, but received {value!r:.200}")
    return value


def rank_of(value: Any) -> int | None:
    """A rank as given by a keyword; -1 is how TensorStore says "unspecified".

    Raises:
        IncompatibleType: It is no integer.
    """
    if not hasattr(value, "__index__"):
        raise IncompatibleType(f"Expected an integer, but received {value!r:.200}")
    rank = int(value.__index__())
    return None if rank == -1 else rank

"""Reading JSON values with errors that name the path to what is wrong.

The texts are TensorStore's: ``Error parsing object member "chunk": Error parsing object member
"shape": Expected array, but received: 3``.
"""

from __future__ import annotations

import json
import numbers
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

from asynctensor.errors import Error, InvalidArgument
from asynctensor.index_space.interval import MAX_RANK
from asynctensor.near_names import extra_members
from asynctensor.schema.contradiction import below

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"

T = TypeVar("T")


def dump(value: object) -> str:
    """`value` as compact JSON, members sorted; what JSON cannot express, as its repr."""
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True, default=repr)
    except (TypeError, ValueError):
        # Names of members that are no strings, or a value within itself.
        return repr(value)


@contextmanager
def annotated(prefix: str) -> Iterator[None]:
    """Puts ``prefix: `` before the message of an `Error` that leaves the body."""
    try:
        yield
    except Error as error:
        error.message = f"{prefix}: {error.message}"
        error.args = (error.message,)
        raise


@contextmanager
def in_member(name: str) -> Iterator[None]:
    """Where one member of an object is read: `annotated`, and paths begin with the member."""
    with annotated(f"Error parsing object member {dump(name)}"), below(name):
        yield


@contextmanager
def at_position(position: int) -> Iterator[None]:
    """The same where one element of an array is read."""
    with annotated(f"Error parsing value at position {position}"), below(f"[{position}]"):
        yield


def merging(name: str) -> Any:
    """Where what a member says meets what was said before: contradictions give their own paths."""
    return annotated(f"Error parsing object member {dump(name)}")


def expected(what: str, value: object) -> InvalidArgument:
    """The error to raise for a value of the wrong type or range."""
    return InvalidArgument(f"Expected {what}, but received: {dump(value)}")


#: Levels of arrays and objects within each other. No spec needs a tenth of it, and what reads it
#: goes down with it.
_MAX_DEPTH = 64


def check_document(value: object) -> None:
    """Checks that `value` can be JSON, before anything looks at what it says.

    NumPy's numbers and arrays pass for numbers and arrays, and opened kvstores and their specs
    (whatever has a `bound_spec`) for JSON of kvstores.

    Raises:
        InvalidArgument: A value of another type is in it, a member's name is no string, a string
            is no Unicode, or it is nested too deeply; the message gives the path.
    """
    _check_value(value, _MAX_DEPTH)


def _check_value(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, Mapping):
        _check_depth(depth)
        for name, item in value.items():
            if not isinstance(name, str):
                raise expected("string as the name of a member", name)
            _check_text(name)
            with in_member(name):
                _check_value(item, depth - 1)
    elif isinstance(value, (list, tuple)):
        _check_depth(depth)
        for position, item in enumerate(value):
            with at_position(position):
                _check_value(item, depth - 1)
    elif isinstance(value, (bytes, bytearray, set, frozenset)) or not (
        value is None
        or (isinstance(value, numbers.Number) and not isinstance(value, complex))
        or hasattr(value, "__array__")
        or hasattr(value, "bound_spec")
    ):
        raise expected("JSON", value)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise expected("Unicode string", text) from None


def _check_depth(depth: int) -> None:
    if depth == 0:
        raise InvalidArgument(f"Expected JSON of at most {_MAX_DEPTH} levels")


def is_readable(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Whether JSON has no more levels than what is read may have."""
    below: Iterable[object] = ()
    if isinstance(value, Mapping):
        below = value.values()
    elif isinstance(value, list | tuple):
        below = value
    else:
        return True
    return depth > 0 and all(is_readable(each, depth - 1) for each in below)


def members(value: object, known: Sequence[str] | None = None) -> dict[str, Any]:
    """A copy of the object `value`.

    Args:
        value: Parsed JSON.
        known: The only members allowed; None: any.

    Raises:
        InvalidArgument: It is no object, a member's name is no string, or a member is unknown.
    """
    if not isinstance(value, Mapping):
        raise expected("object", value)
    for name in value:
        if not isinstance(name, str):
            raise expected("string as the name of a member", name)
    if known is not None:
        reject_extra(value, known)
    return dict(value)


def reject_extra(names: Iterable[str], known: Collection[str]) -> None:
    """Raises the error for members that nobody knows, if there are any.

    Args:
        names: Those that are there.
        known: Those that there may be.

    Raises:
        InvalidArgument: Some of `names` are not `known`.
    """
    extra = set(names).difference(known)
    if extra:
        raise InvalidArgument(extra_members(extra, known))


def array(value: object, item: Callable[[Any], T]) -> tuple[T, ...]:
    """The items of the array `value`, each read by `item`.

    Raises:
        InvalidArgument: It is no array, or `item` refuses one of its items.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise expected("array", value)
    items: list[T] = []
    for position, each in enumerate(value):
        with at_position(position):
            items.append(item(each))
    return tuple(items)


def integer(value: object) -> int:
    """A 64-bit signed integer; an integral float counts as one, a bool does not.

    Raises:
        InvalidArgument: It is none.
    """
    number: int | None = None
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif not isinstance(value, bool) and isinstance(value, numbers.Integral):
        number = operator.index(value)
    if number is None or not -(2**63) <= number < 2**63:
        raise expected("64-bit signed integer", value)
    return number


def rank_value(value: object) -> int:
    """A number of dimensions.

    Raises:
        InvalidArgument: It is none.
    """
    number = -1
    with suppress(InvalidArgument):
        number = integer(value)
    if not 0 <= number <= MAX_RANK:
        raise expected(f"integer in the range [0, {MAX_RANK}]", value)
    return number


def floating(value: object) -> float:
    """A number; a bool is none.

    Raises:
        InvalidArgument: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise expected("64-bit floating-point number", value)
    return float(value)


def string(value: object) -> str:
    """A string.

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(value, str):
        raise expected("string", value)
    return value


def boolean(value: object) -> bool:
    """A boolean.

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(value, bool):
        raise expected("boolean", value)
    return value


def optional(item: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Reads null as None, all else with `item`."""
    return lambda value: None if value is None else item(value)

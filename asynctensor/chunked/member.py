"""Reading JSON documents that nobody vouches for, with errors that name the member."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.storage.kvstore import Json

#: TensorStore's limit, and NumPy 1's.
MAX_RANK = 32
#: TensorStore's largest finite index, exclusive: bounds beyond it mean infinity.
MAX_SIZE = 2**62 - 1
#: Deeper documents could be read, but not always be written again: Python's stack is finite.
_MAX_DEPTH = 200
_SHOWN = 60


class Member:
    """A value in a JSON document, and its path there.

    Every method raises `InvalidArgument`, naming the path, unless the value is what it reads.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    def error(self, expected: str) -> InvalidArgument:
        """The error that says what was expected here instead."""
        shown = json.dumps(self.value, default=str)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        return InvalidArgument(f'member "{self.path}": expected {expected}, got {shown}')

    def at(self, key: str, value: Any) -> Member:
        """The member `key` of this one."""
        return Member(value, f"{self.path}.{key}" if self.path else key)

    def object(
        self, known: Collection[str] | None = None, required: Collection[str] = ()
    ) -> dict[str, Member]:
        """An object's members, none but the `known` and all of the `required` ones."""
        found = self.mapping()
        for key in required:
            if key not in found:
                raise InvalidArgument(f'member "{self.at(key, None).path}": it is missing')
        if known is not None:
            for key in found:
                if key not in known:
                    names = ", ".join(sorted(known)) or "none"
                    raise self.error(f'no member "{key}" (known are: {names})')
        return {key: self.at(key, value) for key, value in found.items()}

    def mapping(self) -> dict[str, Any]:
        """An object as it is, whose members nobody looks at here: there may be very many."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return self.value

    def array(self, length: int | None = None, said_by: Member | None = None) -> list[Member]:
        """A list's elements; of `length` if given, which the list `said_by` has."""
        if not isinstance(self.value, list) or length not in (None, len(self.value)):
            error = self.error("a list" if length is None else f"a list of length {length}")
            if said_by is not None and isinstance(self.value, list):
                error.contradicting = (self.path, said_by.path)
            raise error
        return [Member(value, f"{self.path}[{i}]") for i, value in enumerate(self.value)]

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included; ``7.0`` is read as one."""
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(f"an integer from {low} to {high}")
        return value

    def string(self, choices: Collection[str] | None = None) -> str:
        """A string, one of `choices` if given."""
        if not isinstance(self.value, str) or (choices and self.value not in choices):
            raise self.error(" or ".join(f'"{c}"' for c in choices) if choices else "a string")
        return self.value

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def sizes(
        self, low: int, rank: int | None = None, said_by: Member | None = None
    ) -> tuple[int, ...]:
        """A shape with sizes of at least `low`, of `rank` if given and of a legal one anyway."""
        elements = self.array(rank, said_by)
        if len(elements) > MAX_RANK:
            raise self.error(f"at most {MAX_RANK} dimensions")
        return tuple(element.integer(low, MAX_SIZE - 1) for element in elements)


def load_document(data: bytes) -> Member:
    """The object that a stored document holds.

    Raises:
        DataLoss: It is not JSON, or no object.
    """
    try:
        value = json.loads(bytes(data).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataLoss(f"the document is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataLoss("the document is not a JSON object")
    _check_depth(value)
    return Member(value, "")


def _check_depth(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise DataLoss(f"the document is nested more than {_MAX_DEPTH} levels deep")


def dump_document(document: dict[str, Json]) -> bytes:
    """The document as it is stored."""
    return json.dumps(document, separators=(",", ":")).encode()

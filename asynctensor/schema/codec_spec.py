"""How chunks are encoded, as constraints that only their driver understands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from asynctensor.errors import InvalidArgument
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import (
    annotated,
    check_document,
    dump,
    in_member,
    members,
    string,
)

#: Merges the driver-specific members of two specs of one driver.
#: Raises `InvalidArgument` where they contradict each other.
MergeMembers: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def merge_members(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merges member by member: one that only one side has is taken from there.

    Raises:
        InvalidArgument: A member is in both, with different values.
    """
    for name in sorted(first.keys() & second.keys()):
        if first[name] != second[name]:
            raise InvalidArgument(f"{dump(name)} does not match")
    return {**first, **second}


class CodecSpec:
    """Encoding parameters: the name of a driver, and members that this driver defines.

    Immutable; equal by value. The members are kept as they are: the driver checks them when an
    array is opened or created.
    """

    __slots__ = ("_json", "_merge")

    def __init__(self, json: Any, *, merge: MergeMembers | None = None) -> None:
        """Makes a codec spec from its JSON.

        Args:
            json: An object with the member ``driver``.
            merge: How the driver merges its members, where it knows better than `merge_members`.

        Raises:
            InvalidArgument: It is no such object.
        """
        check_document(json)
        found = members(json)
        with in_member("driver"):
            if "driver" not in found:
                raise InvalidArgument("Expected string, but member is missing")
            string(found["driver"])
        self._json: dict[str, Any] = copy.deepcopy(found)
        self._merge = merge

    @property
    def driver(self) -> str:
        """The driver whose members these are (``"zarr3"``; of zarr2: ``"zarr"``)."""
        driver: str = self._json["driver"]
        return driver

    @property
    def members(self) -> dict[str, Any]:
        """A copy of the members that `driver` defines."""
        return {k: copy.deepcopy(v) for k, v in self._json.items() if k != "driver"}

    def merged(self, other: CodecSpec) -> CodecSpec:
        """What satisfies both.

        Raises:
            InvalidArgument: Nothing does; the text has both.
        """
        merge = self._merge or other._merge or merge_members
        with annotated(f"Cannot merge codec spec {dump(self._json)} with {dump(other._json)}"):
            if self.driver != other.driver:
                raise InvalidArgument(f"driver {self.driver} is not {other.driver}")
            found = merge(self.members, other.members)
        return CodecSpec({"driver": self.driver, **found}, merge=self._merge or other._merge)

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON; `include_defaults` changes nothing, as the defaults are the driver's."""
        return {k: copy.deepcopy(self._json[k]) for k in sorted(self._json)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CodecSpec):
            return NotImplemented
        return self._json == other._json

    def __hash__(self) -> int:
        return hash(dump(self._json))

    def __copy__(self) -> CodecSpec:
        return self

    def __repr__(self) -> str:
        return f"CodecSpec({json_repr(self.to_json())})"

"""How chunks are encoded, as constraints that only their driver understands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.errors import InvalidArgument
from asynctensor.schema.contradiction import contradiction
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


@dataclass(frozen=True, slots=True)
class CodecRules:
    """What a driver knows of its codec specs.

    Attributes:
        driver: The driver's name in them.
        read: Checks the driver's members, and gives them with all defaults that do not depend on
            an array spelled out. Raises `InvalidArgument` or `Unimplemented` where they are wrong.
        merge: Merges them.
    """

    driver: str
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    merge: MergeMembers


#: Gives the rules of a driver; None for one that has none.
FindRules: TypeAlias = Callable[[str], CodecRules | None]
_finders: list[FindRules] = []


def find_rules_with(find: FindRules) -> None:
    """Says where the rules of drivers are found: this floor of the house knows no driver.

    For the registry, once.
    """
    _finders[:] = [find]


def _rules(driver: str) -> CodecRules | None:
    return _finders[0](driver) if _finders else None


def _sorted(value: Any) -> Any:
    """A copy of a document, with members in order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list | tuple) else value


def merge_members(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merges member by member: one that only one side has is taken from there.

    Raises:
        InvalidArgument: A member is in both, with different values.
    """
    for name in sorted(first.keys() & second.keys()):
        if first[name] != second[name]:
            raise contradiction(f"{dump(name)} does not match", name, name)
    return {**first, **second}


class CodecSpec:
    """Encoding parameters: the name of a driver, and members that this driver defines.

    Immutable; equal by value. Members are checked, and defaults spelled out, where the driver is
    one that is registered; else they are kept as they are.

    >>> codec = at.CodecSpec({"driver": "n5", "compression": {"type": "bzip2"}})
    >>> codec.to_json()["compression"]
    {'blockSize': 9, 'type': 'bzip2'}
    >>> codec == at.CodecSpec({"driver": "n5", "compression": {"type": "bzip2", "blockSize": 9}})
    True
    """

    __slots__ = ("_json", "_merge")

    def __init__(self, json: Any, *, merge: MergeMembers | None = None) -> None:
        """Makes a codec spec from its JSON.

        Args:
            json: An object with the member ``driver``.
            merge: How the driver merges its members, where it knows better than `merge_members`.

        Raises:
            InvalidArgument: It is no such object, or has members that the driver does not know.
            Unimplemented: A codec is not known.
        """
        check_document(json)
        found = members(json)
        with in_member("driver"):
            if "driver" not in found:
                raise InvalidArgument("Expected string, but member is missing")
            string(found["driver"])
        rules = None if merge is not None else _rules(found["driver"])
        if rules is not None:
            own = {name: value for name, value in found.items() if name != "driver"}
            found = {"driver": rules.driver, **rules.read(own)}
            merge = rules.merge
        self._json: dict[str, Any] = _sorted(found)
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
                message = f"driver {self.driver} is not {other.driver}"
                raise contradiction(message, "driver", "driver")
            found = merge(self.members, other.members)
        return CodecSpec({"driver": self.driver, **found}, merge=self._merge or other._merge)

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON; `include_defaults` changes nothing, as the defaults are the driver's."""
        return copy.deepcopy(self._json)

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

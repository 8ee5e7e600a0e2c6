"""What kinds of resources a `Context` can hold: values, put together in `resources`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.near_names import extra_members, near


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource.

    Attributes:
        name: Its name in JSON (``"cache_pool"``).
        default_json: The specification of the default resource.
        parse: Checks a specification and gives its validated configuration; raises
            `InvalidArgument`.
        make: Makes the object from the configuration. Cheap and without effect: threads, files
            and connections come with first use; it may be called twice, one result dropped.
        to_json: The specification of a configuration; members that have their default value are
            left out unless the second argument is true.
        is_value: Whether it is nothing but its configuration, so that sharing it means nothing.
        is_quiet: Whether specs name it only where it says something, as those that TensorStore
            calls experimental.
        is_ours: Whether TensorStore has none of this name; what holds resources of all kinds then
            names it only where it says something.
    """

    name: str
    default_json: Any
    parse: Callable[[Any], Any]
    make: Callable[[Any], Any]
    to_json: Callable[[Any, bool], Any]
    is_value: bool = False
    is_quiet: bool = False
    is_ours: bool = False


class ResourceRegistry:
    """The kinds of resources that a `Context` knows, by name. Immutable.

    Args:
        types: The kinds.
        restore: A module-level function that gives an equal registry when one is unpickled;
            without it contexts of this registry cannot be pickled.
    """

    __slots__ = ("_restore", "_types")

    def __init__(
        self,
        types: Iterable[ResourceType],
        *,
        restore: Callable[[], ResourceRegistry] | None = None,
    ) -> None:
        self._types: Mapping[str, ResourceType] = {t.name: t for t in types}
        self._restore = restore

    def of_key(self, key: str) -> ResourceType:
        """The kind named by ``"<type>"`` or ``"<type>#<id>"``.

        Raises:
            InvalidArgument: There is no such kind.
        """
        name = key.partition("#")[0]
        found = self._types.get(name)
        if found is None:
            raise InvalidArgument(
                f"Invalid context resource identifier: {quoted(name)}{near(name, self._types)}"
            )
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __reduce__(self) -> tuple[object, ...]:
        if self._restore is None:
            raise InvalidArgument("this registry of resources was made without restore=")
        return (self._restore, ())

    def __repr__(self) -> str:
        return f"ResourceRegistry({sorted(self._types)})"


def quoted(value: object) -> str:
    """`value` as it stands in an error message: as JSON, where it is."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)


def members(value: object, *known: str) -> dict[str, Any]:
    """The members of a JSON object.

    Raises:
        InvalidArgument: `value` is not an object, or has members other than `known`.
    """
    if not isinstance(value, dict):
        raise InvalidArgument(f"Expected object, but received: {quoted(value)}")
    extra = [str(name) for name in value if name not in known]
    if extra:
        raise InvalidArgument(extra_members(extra, known))
    return value


def typed_members(
    value: object, known: Mapping[str, tuple[str, ...]]
) -> tuple[str, dict[str, Any]]:
    """The member ``type`` of a JSON object that may hold secrets, and all its members.

    Args:
        value: The object.
        known: The members of each type, beside ``type``.

    Raises:
        InvalidArgument: `value` is no object, of no type that is known, or has other members. Of
            what is no object nothing is shown: whatever it is, it may be a secret.
    """
    if not isinstance(value, dict):
        raise InvalidArgument(f"Expected object, but received: {type(value).__name__}")
    kind = value.get("type")
    if not isinstance(kind, str):
        what = "member is missing" if "type" not in value else f"received: {quoted(kind)}"
        raise InvalidArgument(f'Error parsing object member "type": Expected string, but {what}')
    if kind not in known:
        raise InvalidArgument(
            'Error parsing object member "type": Failed to parse tag name, expected one of: '
            f"{', '.join(known)}, but received: {kind}"
        )
    return kind, members(value, "type", *known[kind])


def wrong_member(name: str, expected: str, value: object) -> InvalidArgument:
    """The error that says that member `name` should have been `expected`."""
    return InvalidArgument(
        f"Error parsing object member {quoted(name)}: Expected {expected}, "
        f"but received: {quoted(value)}"
    )

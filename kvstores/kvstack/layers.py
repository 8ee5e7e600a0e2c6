"""What the ``layers`` of a ``kvstack`` mean: which range of keys is whose."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from asynctensor.errors import InvalidArgument
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.json_value import (
    array,
    dump,
    expected,
    in_member,
    integer,
    members,
    string,
)
from asynctensor.storage.key_range import KeyRange

T = TypeVar("T")
_MEMBERS = ("base", "prefix", "exact", "inclusive_min", "exclusive_max", "strip_prefix")


@dataclass(frozen=True, slots=True)
class Layer(Generic[T]):
    """A range of keys, and where they are.

    Attributes:
        base: Whatever stands for the kvstore below.
        key_range: The keys.
        strip: How many bytes at the beginning of each key are left out below; all keys of the
            range share them.
    """

    base: T
    key_range: KeyRange
    strip: int

    def stripped(self, key: str) -> str:
        """What follows the path of the base in the key below that `key` stands for."""
        return _from_bytes(_to_bytes(key)[self.strip :])

    @property
    def lost(self) -> str:
        """What is put before such a rest to get the key back."""
        return _from_bytes(_to_bytes(self.key_range.inclusive_min)[: self.strip])

    def stripped_range(self, key_range: KeyRange) -> KeyRange:
        """`key_range`, which lies within the layer, below the path of the base."""
        high = key_range.exclusive_max
        # Where the upper bound does not share the prefix, it is the first key after all that do.
        shares = high.startswith(self.lost)
        return KeyRange(
            self.stripped(key_range.inclusive_min), self.stripped(high) if shares else ""
        )


def check_members(options: dict[str, Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The members of a spec with the layers checked, and their bases in normal form.

    Args:
        options: The members.
        form: Gives the normal form of a kvstore's JSON.

    Raises:
        InvalidArgument: A layer is wrong; the message gives its path.
    """

    def one(json: Any) -> dict[str, Any]:
        found = members(json, _MEMBERS)
        with in_member("base"):
            if "base" not in found:
                raise InvalidArgument("Expected object, but member is missing")
            base = form(found["base"])
        return dict(sorted({"base": base, **layer_json(parse_layer(found, None))}.items()))

    with in_member("layers"):
        if "layers" not in options:
            raise InvalidArgument("Expected array, but member is missing")
        return {**options, "layers": list(array(options["layers"], one))}


def parse_layer(json: dict[str, Any], base: T) -> Layer[T]:
    """The layer that its JSON describes, with `base` for what is below.

    Raises:
        InvalidArgument: It is not described well.
    """
    given = {}
    for name in _MEMBERS[1:5]:
        if name in json:
            with in_member(name):
                given[name] = string(json[name])
    if len(given) > 1 and not given.keys() <= {"inclusive_min", "exclusive_max"}:
        raise contradiction(
            f"At most one of {', '.join(map(dump, sorted(given)))} members is allowed; the bounds "
            "inclusive_min and exclusive_max go together, without the others",
            *list(given)[:2],
        )
    if "prefix" in given:
        key_range = KeyRange.prefix(given["prefix"])
    elif "exact" in given:
        key_range = KeyRange.singleton(given["exact"])
    else:
        low, high = given.get("inclusive_min", ""), given.get("exclusive_max", "")
        key_range = KeyRange(low, high)
        if key_range.empty and low != high:
            raise InvalidArgument("Invalid inclusive_min/exclusive_max in range")
    strip = _most_strip(key_range)
    if "strip_prefix" in json:
        with in_member("strip_prefix"):
            strip = integer(json["strip_prefix"])
            if strip < 0:
                raise expected("64-bit unsigned integer", strip)
        if strip > _most_strip(key_range):
            raise contradiction(
                f"Invalid strip_prefix of {strip} for {_described(key_range)}",
                "strip_prefix",
                next(iter(given), "base"),
            )
    return Layer(base, key_range, strip)


def resolved(layers: Iterable[Layer[T]]) -> tuple[Layer[T], ...]:
    """Disjoint layers in the order of their keys, in which the last of `layers` won each key."""
    found: list[Layer[T]] = []
    for layer in layers:
        if layer.key_range.empty:
            continue
        rest = [piece for each in found for piece in _without(each, layer.key_range)]
        found = [*rest, layer]
    return tuple(sorted(found, key=lambda each: each.key_range.inclusive_min))


def layer_of(layers: Sequence[Layer[T]], key: str) -> Layer[T] | None:
    """The one of `layers`, which are `resolved`, that has `key`."""
    place = bisect_right(layers, key, key=lambda each: each.key_range.inclusive_min)
    if place == 0 or key not in layers[place - 1].key_range:
        return None
    return layers[place - 1]


def within(layers: Sequence[Layer[T]], key_range: KeyRange) -> list[tuple[Layer[T], KeyRange]]:
    """The layers that share keys with a range, each with the range of these."""
    found = ((each, each.key_range.intersection(key_range)) for each in layers)
    return [(layer, part) for layer, part in found if not part.empty]


def layer_json(layer: Layer[Any]) -> dict[str, Any]:
    """The members that describe a layer, without its base."""
    low, high = layer.key_range.inclusive_min, layer.key_range.exclusive_max
    found: dict[str, Any] = {}
    if layer.key_range == KeyRange.singleton(low):
        found["exact"] = low
    elif layer.key_range == KeyRange.prefix(low):
        found |= {"prefix": low} if low else {}
    else:
        found |= {"inclusive_min": low} if low else {}
        found |= {"exclusive_max": high} if high else {}
    if layer.strip != _most_strip(layer.key_range):
        found["strip_prefix"] = layer.strip
    return found


def _without(layer: Layer[T], gone: KeyRange) -> list[Layer[T]]:
    """What is left of a layer, in up to two pieces."""
    whole = layer.key_range
    parts = []
    if gone.inclusive_min:
        parts.append(whole.intersection(KeyRange("", gone.inclusive_min)))
    if gone.exclusive_max:
        parts.append(whole.intersection(KeyRange(gone.exclusive_max, "")))
    return [replace(layer, key_range=part) for part in parts if not part.empty]


def _most_strip(key_range: KeyRange) -> int:
    """How many bytes all keys of a range share: the default, and the most that can be stripped."""
    low = key_range.inclusive_min
    shared = low if key_range == KeyRange.singleton(low) else key_range.common_prefix
    return len(_to_bytes(shared))


def _described(key_range: KeyRange) -> str:
    low, high = key_range.inclusive_min, key_range.exclusive_max
    if key_range == KeyRange.singleton(low):
        return f"exact {dump(low)}"
    if key_range == KeyRange.prefix(low):
        return f"prefix {dump(low)}"
    return f"range [{dump(low)}, {dump(high)})"


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")

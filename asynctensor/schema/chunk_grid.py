"""Constraints on the grid of chunks of one usage (write, read, codec), as an immutable value."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.schema.constraint import (
    Constraint,
    PerDimension,
    merged,
    merged_per_dimension,
    per_dimension,
    softened,
    values_of,
)
from asynctensor.schema.json_value import array, floating, in_member, integer, members, optional

#: What of a grid can be constrained.
Kind: TypeAlias = Literal["shape", "aspect_ratio", "elements"]

KINDS: Final[tuple[Kind, ...]] = ("shape", "aspect_ratio", "elements")
#: The members of a grid in JSON, and its keywords: each kind, hard and soft.
MEMBERS: Final[Mapping[str, tuple[Kind, bool]]] = {
    kind + suffix: (kind, hard)
    for kind in KINDS
    for suffix, hard in (("", True), ("_soft_constraint", False))
}


@dataclass(frozen=True, slots=True)
class GridConstraints:
    """What is wanted of the chunks of one usage.

    Attributes:
        shape: Chunk size per dimension; ``-1`` stands for the whole extent of the domain.
        aspect_ratio: Relative size per dimension, for dimensions without a size.
        elements: Target for the number of elements.
    """

    shape: PerDimension[int] = ()
    aspect_ratio: PerDimension[float] = ()
    elements: Constraint[int] | None = None

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None where nothing tells."""
        return len(self.shape) or len(self.aspect_ratio) or None

    def merged(self, new: GridConstraints) -> GridConstraints:
        """What holds after `new` has been added; both have the same rank, where they have one.

        Raises:
            InvalidArgument: Hard constraints differ.
        """
        return GridConstraints(
            merged_per_dimension(self.shape, new.shape),
            merged_per_dimension(self.aspect_ratio, new.aspect_ratio),
            merged(self.elements, new.elements),
        )

    def softened(self) -> GridConstraints:
        """The same values as preferences."""
        return GridConstraints(
            softened(self.shape),
            softened(self.aspect_ratio),
            self.elements and self.elements.softened(),
        )

    def only(self, *kinds: Kind) -> GridConstraints:
        """The constraints of these kinds alone."""
        return replace(GridConstraints(), **{kind: getattr(self, kind) for kind in kinds})

    def normalized(self) -> GridConstraints:
        """Equal for equal meaning: vectors that constrain nothing become empty."""
        return GridConstraints(unset(self.shape), unset(self.aspect_ratio), self.elements)

    def to_json(self) -> dict[str, Any]:
        """The members of its JSON that say something, sorted."""
        found: dict[str, Any] = {}
        for name, (kind, hard) in sorted(MEMBERS.items()):
            if kind == "elements":
                if self.elements is not None and self.elements.hard is hard:
                    found[name] = self.elements.value
                continue
            vector: PerDimension[Any] = self.shape if kind == "shape" else self.aspect_ratio
            values = values_of(vector, hard)
            if any(value is not None for value in values):
                found[name] = list(values)
        return found


def unset(constraints: PerDimension[Any]) -> PerDimension[Any]:
    """`constraints`, or () if none of them is set."""
    return constraints if any(each is not None for each in constraints) else ()


def grid_of(kind: Kind, hard: bool, value: Any) -> GridConstraints:
    """Constraints of one kind, from the plain value of a keyword.

    Raises:
        InvalidArgument: A size below -1, a negative ratio or number.
        IncompatibleType: The value is of another type.
    """
    if kind == "elements":
        return GridConstraints(elements=Constraint(_elements(value), hard))
    if kind == "shape":
        return GridConstraints(shape=per_dimension(value, hard, _size, always_soft=-1))
    return GridConstraints(aspect_ratio=per_dimension(value, hard, _ratio))


def grid_from_json(json: object) -> dict[str, GridConstraints]:
    """The members of a grid's JSON, in the order in which they apply.

    Raises:
        InvalidArgument: It is not the JSON of a grid; the message gives the path.
    """
    found = {}
    given = members(json, tuple(MEMBERS))
    for name, (kind, hard) in MEMBERS.items():
        if name not in given:
            continue
        with in_member(name):
            value: Any = given[name]
            if kind == "elements":
                value = integer(value)
            else:
                read = integer if kind == "shape" else floating
                value = array(value, optional(read))
            found[name] = grid_of(kind, hard, value)
    return found


def _size(value: int) -> int | None:
    size = operator.index(value)
    if not -1 <= size < 2**63:
        raise ValueError
    return size or None


def _ratio(value: Any) -> float | None:
    if not isinstance(value, numbers.Real):
        raise TypeError
    ratio = float(value)
    if math.isnan(ratio) or ratio < 0:
        raise ValueError
    return ratio or None


def _elements(value: Any) -> int:
    try:
        elements = operator.index(value)
    except TypeError:
        raise IncompatibleType(f"Expected a number of elements, but received {value!r}") from None
    if elements < 0:
        raise InvalidArgument(f"Invalid value: {elements}")
    return elements

"""Hard and soft constraints, alone and one per dimension, and the one rule that merges them.

A soft constraint is a preference: it yields to whatever is set already, and a hard one that comes
later replaces it. Two hard ones must agree (TensorStore, ``chunk_layout.h``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from asynctensor.errors import IncompatibleType, InvalidArgument

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Constraint(Generic[T]):
    """A wanted value.

    Attributes:
        value: The value.
        hard: Whether it is required, not merely preferred.
    """

    value: T
    hard: bool = True

    def softened(self) -> Constraint[T]:
        """The same value as a preference."""
        return replace(self, hard=False)


#: One constraint, or None, per dimension; () where the rank is unknown or nothing is constrained.
PerDimension: TypeAlias = "tuple[Constraint[T] | None, ...]"


def merged(
    existing: Constraint[T] | None, new: Constraint[T] | None, where: str = ""
) -> Constraint[T] | None:
    """What holds after `new` has been added to `existing`.

    Args:
        existing: What was constrained before.
        new: What is added.
        where: Stands behind the new value in the error's text (``" for dimension 0"``).

    Raises:
        InvalidArgument: Both are hard, and differ.
    """
    if existing is None or new is None:
        return existing or new
    if not new.hard:
        return existing
    if existing.hard and existing.value != new.value:
        raise InvalidArgument(
            f"New hard constraint ({text(new.value)}){where} "
            f"does not match existing hard constraint ({text(existing.value)})"
        )
    return new


def merged_per_dimension(existing: PerDimension[T], new: PerDimension[T]) -> PerDimension[T]:
    """`merged` for each dimension; both have the same rank, or are empty.

    Raises:
        InvalidArgument: Hard constraints for one dimension differ.
    """
    if not existing or not new:
        return existing or new
    return tuple(
        merged(old, each, f" for dimension {dim}")
        for dim, (old, each) in enumerate(zip(existing, new, strict=True))
    )


def per_dimension(
    values: Iterable[T | None],
    hard: bool,
    check: Callable[[T], T | None],
    *,
    always_soft: T | None = None,
) -> PerDimension[T]:
    """Constraints made of plain values.

    Args:
        values: One per dimension; None: no constraint.
        hard: Whether they are hard.
        check: Returns the value to keep, or None for "no constraint"; raises `ValueError` for a
            value that is not allowed, `TypeError` for one of the wrong type.
        always_soft: A value that never makes a hard constraint.

    Raises:
        InvalidArgument: A value is not allowed.
        IncompatibleType: `values` is not iterable, or a value has the wrong type.
    """
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise IncompatibleType(f"Expected one value or None per dimension, but received {values!r}")
    given = tuple(values)
    found: list[Constraint[T] | None] = []
    for dim, each in enumerate(given):
        try:
            kept = None if each is None else check(each)
        except ValueError:
            raise InvalidArgument(f"Invalid value for dimension {dim}: {text(given)}") from None
        except TypeError:
            raise IncompatibleType(f"Wrong type of value for dimension {dim}: {each!r}") from None
        is_hard = hard and kept != always_soft
        found.append(None if kept is None else Constraint(kept, is_hard))
    return tuple(found)


def softened(constraints: PerDimension[T]) -> PerDimension[T]:
    """The same values as preferences."""
    return tuple(each and each.softened() for each in constraints)


def values_of(constraints: PerDimension[T], hard: bool) -> tuple[T | None, ...]:
    """The values of the hard or of the soft constraints, None for every other dimension."""
    return tuple(
        each.value if each is not None and each.hard is hard else None for each in constraints
    )


def text(value: object) -> str:
    """A value in messages: sequences as ``{1, 2}``, as TensorStore prints them."""
    if isinstance(value, tuple):
        return "{" + ", ".join(map(str, value)) + "}"
    return str(value)

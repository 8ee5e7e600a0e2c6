"""One dimension: an interval of indices with implicit bits and a label."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Final, SupportsIndex

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.interval import (
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    check_interval,
    format_interval,
)
from asynctensor.index_space.labels import merge_label

#: `size=None` says something: from zero on, without end.
_UNSET: Final = object()


class Dim:
    """Interval ``[inclusive_min, exclusive_max)`` of one dimension, with a label.

    As in TensorStore the bounds are fixed and the flags and the label may be set.

    >>> dim = at.Dim(inclusive_min=2, exclusive_max=5, label="x")
    >>> dim.size, list(dim), 4 in dim, str(dim)
    (3, [2, 3, 4], True, '"x": [2, 5)')
    >>> dim.hull(at.Dim(9)), at.Dim()
    (Dim(inclusive_min=0, exclusive_max=9, label="x"), Dim())

    Args:
        *args: ``label``; or ``size``; or ``inclusive_min, exclusive_max``.
        label: Label of the dimension, empty or None for none.
        size: Number of indices, from `inclusive_min` or 0 on; None for no upper bound.
        inclusive_min: Lower bound, unbounded if not given and no size is.
        exclusive_max: Upper bound, the first index outside.
        inclusive_max: Upper bound, the last index inside.
        implicit_lower: Whether the lower bound is implicit, by default if it is not given.
        implicit_upper: Whether the upper bound is implicit, by default if it is not given.

    Raises:
        InvalidArgument: If the bounds are no interval.
        IncompatibleType: If the arguments are none of these forms.
    """

    __slots__ = (
        "_exclusive_max",
        "_inclusive_min",
        "implicit_lower",
        "implicit_upper",
        "label",
    )

    implicit_lower: bool
    implicit_upper: bool
    label: str

    def __init__(
        self,
        *args: Any,
        label: str | None = None,
        size: Any = _UNSET,
        inclusive_min: SupportsIndex | None = None,
        exclusive_max: SupportsIndex | None = None,
        inclusive_max: SupportsIndex | None = None,
        implicit_lower: bool | None = None,
        implicit_upper: bool | None = None,
    ) -> None:
        if len(args) > 2:
            raise IncompatibleType("Dim takes a label, a size, or a lower and an upper bound")
        if args and (isinstance(args[-1], str) or (len(args) == 2 and args[1] is None)):
            label, args = args[-1] or label, args[:-1]
        if len(args) == 1 and args[0] is not None:
            size = args[0]
        elif len(args) == 2:
            inclusive_min, exclusive_max = args
        sized = size is not _UNSET
        size = size if sized else None
        uppers = [x is not None for x in (size, exclusive_max, inclusive_max)]
        if sum(uppers) > 1:
            raise IncompatibleType(
                "at most one of size, exclusive_max and inclusive_max may be given"
            )
        lower = 0 if sized else UNBOUNDED_MIN
        if inclusive_min is not None:
            lower = operator.index(inclusive_min)
        if size is not None:
            upper = lower + operator.index(size)
        elif exclusive_max is not None:
            upper = operator.index(exclusive_max)
        else:
            upper = UNBOUNDED_MAX if inclusive_max is None else operator.index(inclusive_max) + 1
        check_interval(lower, upper)
        self._inclusive_min = lower
        self._exclusive_max = upper
        self.implicit_lower = (
            (inclusive_min is None and not sized)
            if implicit_lower is None
            else bool(implicit_lower)
        )
        self.implicit_upper = not any(uppers) if implicit_upper is None else bool(implicit_upper)
        self.label = label or ""

    @classmethod
    def make(cls, lower: int, upper: int, ilo: bool, ihi: bool, label: str) -> Dim:
        """A `Dim` of these parts, taken as they are."""
        dim = cls.__new__(cls)
        dim._inclusive_min = lower
        dim._exclusive_max = upper
        dim.implicit_lower = ilo
        dim.implicit_upper = ihi
        dim.label = label
        return dim

    @property
    def inclusive_min(self) -> int:
        """Lower bound, ``-inf`` if there is none."""
        return self._inclusive_min

    @property
    def exclusive_max(self) -> int:
        """First index above the interval, ``inf + 1`` if there is none."""
        return self._exclusive_max

    @property
    def inclusive_max(self) -> int:
        """Last index of the interval, ``inf`` if there is none."""
        return self._exclusive_max - 1

    @property
    def exclusive_min(self) -> int:
        """Last index below the interval."""
        return self._inclusive_min - 1

    @property
    def size(self) -> int:
        """Number of indices; without meaning if the interval is not finite."""
        return self._exclusive_max - self._inclusive_min

    @property
    def empty(self) -> bool:
        """Whether no index is in the interval."""
        return self._exclusive_max == self._inclusive_min

    @property
    def finite(self) -> bool:
        """Whether both bounds are finite."""
        return self._inclusive_min != UNBOUNDED_MIN and self._exclusive_max != UNBOUNDED_MAX

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return not self.empty

    def __iter__(self) -> Iterator[int]:
        if not self.finite:
            raise InvalidArgument(f"Cannot iterate over infinite interval {self}")
        return iter(range(self._inclusive_min, self._exclusive_max))

    def __contains__(self, other: SupportsIndex | Dim) -> bool:
        if isinstance(other, Dim):
            return other.empty or (
                self._inclusive_min <= other._inclusive_min
                and other._exclusive_max <= self._exclusive_max
            )
        return self._inclusive_min <= operator.index(other) < self._exclusive_max

    def hull(self, other: Dim) -> Dim:
        """The smallest interval that holds both; each bound brings its implicit bit.

        Raises:
            InvalidArgument: If both have labels and they differ.
            IncompatibleType: If `other` is no `Dim`.
        """
        bounds = hull(self._key(), _dim(other)._key())
        return Dim.make(*bounds, merge_label(self.label, other.label))

    def intersect(self, other: Dim) -> Dim:
        """What is in both; each bound brings its implicit bit.

        Raises:
            InvalidArgument: If both have labels and they differ.
            IncompatibleType: If `other` is no `Dim`.
        """
        bounds = intersect(self._key(), _dim(other)._key())
        return Dim.make(*bounds, merge_label(self.label, other.label))

    def _key(self) -> tuple[int, int, bool, bool]:
        return (
            self._inclusive_min,
            self._exclusive_max,
            self.implicit_lower,
            self.implicit_upper,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dim):
            return NotImplemented
        return self._key() == other._key() and self.label == other.label

    __hash__ = None  # type: ignore[assignment]  # mutable: its flags and label may be set

    def __copy__(self) -> Dim:
        """An independent copy."""
        return Dim.make(*self._key(), self.label)

    def __deepcopy__(self, memo: dict[int, Any]) -> Dim:
        """An independent copy."""
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Dim.make, (*self._key(), self.label))

    def __str__(self) -> str:
        label = f'"{self.label}": ' if self.label else ""
        return label + format_interval(*self._key())

    def __repr__(self) -> str:
        parts: list[str] = []
        lower, upper, ilo, ihi = self._key()
        if lower != UNBOUNDED_MIN:
            parts.append(f"inclusive_min={lower}")
        if upper != UNBOUNDED_MAX:
            parts.append(f"exclusive_max={upper}")
        if ilo != (lower == UNBOUNDED_MIN):
            parts.append(f"implicit_lower={ilo}")
        if ihi != (upper == UNBOUNDED_MAX):
            parts.append(f"implicit_upper={ihi}")
        if self.label:
            parts.append(f"label={_quoted(self.label)}")
        return f"Dim({', '.join(parts)})"


def _dim(other: object) -> Dim:
    if not isinstance(other, Dim):
        raise IncompatibleType(f"expected a Dim, got {other!r:.80}")
    return other


def _quoted(label: str) -> str:
    plain = label.isprintable() and '"' not in label and "\\" not in label
    return f'"{label}"' if plain else repr(label)


Bounds = tuple[int, int, bool, bool]


def hull(a: Bounds, b: Bounds) -> Bounds:
    """The hull of two intervals with implicit bits; equal bounds are implicit if both are.

    An empty interval adds nothing to the other.
    """
    if a[0] == a[1]:
        lower, upper = b[:2]
    elif b[0] == b[1]:
        lower, upper = a[:2]
    else:
        lower, upper = min(a[0], b[0]), max(a[1], b[1])
    ilo = all(x[2] for x in (a, b) if x[0] == lower)
    ihi = all(x[3] for x in (a, b) if x[1] == upper)
    return lower, upper, ilo, ihi


def intersect(a: Bounds, b: Bounds) -> Bounds:
    """The intersection of two intervals with implicit bits."""
    ilo = a[2] and b[2] if a[0] == b[0] else (a if a[0] > b[0] else b)[2]
    ihi = a[3] and b[3] if a[1] == b[1] else (a if a[1] < b[1] else b)[3]
    lower = max(a[0], b[0])
    return lower, max(lower, min(a[1], b[1])), ilo, ihi

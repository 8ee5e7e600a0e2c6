"""Dimensions chosen by index, slice or label, in any order."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import SupportsIndex, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument, InvalidIndex
from asynctensor.index_space.integers import is_index
from asynctensor.index_space.labels import find_label

#: What chooses dimensions: an index, a label, a slice, a `DimSelection`, or a sequence of these.
DimSelectionLike: TypeAlias = (
    "SelectionTerms | SupportsIndex | str | bytes | slice | Sequence[DimSelectionLike]"
)
#: One item of a selection as it is kept.
Term = int | str | slice


class SelectionTerms:
    """What holds a parsed selection, so that selections nest."""

    __slots__ = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        """What was chosen, flat."""
        raise NotImplementedError


def parse_selection(selection: object) -> tuple[Term, ...]:
    """Flattens ints, labels, slices, selections and sequences of them.

    Raises:
        IncompatibleType: If something else is among them.
    """
    if isinstance(selection, SelectionTerms):
        return selection.terms
    if isinstance(selection, str):
        return (selection,)
    if isinstance(selection, bytes):
        return (selection.decode(),)
    if isinstance(selection, slice):
        parts = (selection.start, selection.stop, selection.step)
        return (slice(*(None if x is None else operator.index(x) for x in parts)),)
    if is_index(selection):
        return (operator.index(selection),)
    if isinstance(selection, Iterable) and not isinstance(selection, dict):
        return tuple(term for item in selection for term in parse_selection(item))
    raise IncompatibleType(
        "a dimension selection holds integers, labels, slices or sequences of them, "
        f"not {selection!r}"
    )


def slice_text(item: slice) -> str:
    """A slice as it is written in brackets."""
    start, stop, step = ("" if x is None else str(x) for x in (item.start, item.stop, item.step))
    return f"{start}:{stop}" + (f":{step}" if step else "")


def normalize_dimension(index: int, rank: int) -> int:
    """The dimension at `index`, counted from the end if negative.

    Raises:
        InvalidIndex: If there is none.
    """
    if not -rank <= index < rank:
        raise InvalidIndex(f"Dimension index {index} is outside valid range [-{rank}, {rank})")
    return index + rank if index < 0 else index


def _stop_dimension(index: int, rank: int) -> int:
    if not -rank - 1 <= index <= rank:
        raise InvalidIndex(
            f"Dimension exclusive stop index {index} is outside valid range [-{rank + 1}, {rank}]"
        )
    return index + rank if index < 0 else index


def _slice_dimensions(term: slice, rank: int) -> Iterable[int]:
    step = 1 if term.step is None else term.step
    if step == 0:
        raise InvalidIndex("step must not be 0")
    if term.start is None:
        start = 0 if step > 0 else rank - 1
    else:
        start = normalize_dimension(term.start, rank)
    end = rank if step > 0 else -1
    stop = end if term.stop is None else _stop_dimension(term.stop, rank)
    if (stop - start) * (1 if step > 0 else -1) < 0:
        raise InvalidIndex(f"{slice_text(term)} is not a valid range")
    return range(start, stop, step)


def resolve_selection(
    terms: Iterable[Term], labels: Sequence[str], *, distinct: bool = True
) -> tuple[int, ...]:
    """The dimensions that `terms` mean in a space with these labels.

    Args:
        terms: What `parse_selection` returned.
        labels: One label per dimension of the space.
        distinct: Whether a dimension may be chosen only once.

    Raises:
        InvalidIndex: If a dimension or label does not exist, or a dimension is chosen twice.
    """
    rank = len(labels)
    dims: list[int] = []
    for term in terms:
        if isinstance(term, str):
            dims.append(find_label(term, labels))
        elif isinstance(term, slice):
            dims.extend(_slice_dimensions(term, rank))
        else:
            dims.append(normalize_dimension(term, rank))
    if distinct and len(set(dims)) != len(dims):
        twice = sorted({dim for dim in dims if dims.count(dim) > 1})
        listed = ", ".join(str(dim) for dim in twice)
        raise InvalidIndex(f"Input dimensions {{{listed}}} specified more than once")
    return tuple(dims)


def resolve_permutation(axes: object, labels: Sequence[str]) -> tuple[int, ...]:
    """The permutation of all dimensions that `axes` means; None reverses them.

    Raises:
        InvalidArgument: If it is no permutation.
    """
    rank = len(labels)
    if axes is None:
        return tuple(range(rank - 1, -1, -1))
    dims = resolve_selection(parse_selection(axes), labels, distinct=False)
    if sorted(dims) != list(range(rank)):
        listed = ", ".join(str(dim) for dim in dims)
        raise InvalidArgument(
            f"Source dimension list {{{listed}}} is not a valid dimension permutation "
            f"for rank {rank}"
        )
    return dims

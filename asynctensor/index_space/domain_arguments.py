"""The forms in which a domain may be given, to its constructor or that of a transform."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.integers import is_index
from asynctensor.index_space.interval import (
    UNBOUNDED_MAX,
    UNBOUNDED_MIN,
    check_interval,
    check_rank,
)
from asynctensor.index_space.json import parse_domain
from asynctensor.index_space.labels import check_unique, parse_labels
from asynctensor.index_space.representation import TransformRep

IntVector = Iterable[SupportsIndex]


def domain_rep(
    *,
    rank: object = None,
    prefix: str = "",
    inclusive_min: IntVector | None = None,
    implicit_lower_bounds: Iterable[object] | None = None,
    exclusive_max: IntVector | None = None,
    inclusive_max: IntVector | None = None,
    shape: IntVector | None = None,
    implicit_upper_bounds: Iterable[object] | None = None,
    labels: Iterable[str | None] | None = None,
) -> TransformRep:
    """A transform without outputs over the domain that these vectors mean.

    Raises:
        InvalidArgument: If ranks differ, bounds are no intervals, or labels occur twice.
    """
    form, vector = _upper_bounds(
        prefix, {"exclusive_max": exclusive_max, "inclusive_max": inclusive_max, "shape": shape}
    )
    lower = None if inclusive_min is None else [operator.index(x) for x in inclusive_min]
    ilo = None if implicit_lower_bounds is None else [bool(x) for x in implicit_lower_bounds]
    ihi = None if implicit_upper_bounds is None else [bool(x) for x in implicit_upper_bounds]
    names = None if labels is None else list(labels)
    vectors = {
        f"{prefix}inclusive_min": lower,
        f"{prefix}{form}": vector,
        "implicit_lower_bounds": ilo,
        "implicit_upper_bounds": ihi,
        f"{prefix}labels": names,
    }
    count = _common_rank(prefix, None if rank is None else _rank_index(rank), vectors)
    low = lower or [0 if form == "shape" else UNBOUNDED_MIN] * count
    high = _exclusive(prefix, low, form, vector)
    bounds = (
        tuple(low),
        tuple(high),
        tuple(ilo if ilo is not None else [lower is None and form != "shape"] * count),
        tuple(ihi if ihi is not None else [vector is None] * count),
    )
    return TransformRep.make(bounds, parse_labels(names or [""] * count), ())


def _upper_bounds(
    prefix: str, forms: Mapping[str, IntVector | None]
) -> tuple[str | None, list[int] | None]:
    """Which of the three kinds of upper bounds is given, and what it says."""
    given = {form: vector for form, vector in forms.items() if vector is not None}
    if len(given) > 1:
        names = " and ".join(f"`{prefix}{form}`" for form in given)
        raise InvalidArgument(f"Cannot specify both {names}")
    for form, vector in given.items():
        return form, [operator.index(x) for x in vector]
    return None, None


def _exclusive(
    prefix: str, low: Sequence[int], form: str | None, vector: Sequence[int] | None
) -> list[int]:
    """The upper bounds as first indices outside, checked against the lower ones."""
    if vector is None:
        high = [UNBOUNDED_MAX] * len(low)
    elif form == "shape":
        sizes = zip(low, vector, strict=True)
        high = [size if size == UNBOUNDED_MAX else lo + size for lo, size in sizes]
    else:
        high = [hi + (form == "inclusive_max") for hi in vector]
    for lo, hi in zip(low, high, strict=True):
        try:
            check_interval(lo, hi)
        except InvalidArgument as error:
            error.contradicting = (f"{prefix}{form}", f"{prefix}inclusive_min")
            raise
    return high


def _rank_index(rank: object) -> int:
    if not is_index(rank):
        raise IncompatibleType(f"rank must be an integer, not {rank!r}")
    return rank.__index__()


def _common_rank(prefix: str, rank: int | None, vectors: dict[str, Any]) -> int:
    source = f"{prefix}rank"
    for name, vector in vectors.items():
        if vector is None:
            continue
        if rank is not None and len(vector) != rank:
            error = InvalidArgument(
                f"Rank specified by `{name}` ({len(vector)}) does not match rank specified by "
                f"`{source}` ({rank})"
            )
            error.contradicting = (name, source)
            raise error
        if rank is None:
            rank, source = len(vector), name
    if rank is None:
        raise InvalidArgument(f"Must specify `{prefix}rank`")
    check_rank(rank)
    return rank


def rep_from_dims(dims: object) -> TransformRep:
    """A transform without outputs over the domain of these `Dim` objects.

    Raises:
        InvalidArgument: If there are too many, or labels occur twice.
        IncompatibleType: If something else is among them.
    """
    if not isinstance(dims, Iterable):
        raise IncompatibleType(f"expected Dim objects, not {dims!r}")
    listed = list(dims)
    check_rank(len(listed))
    for dim in listed:
        if not isinstance(dim, Dim):
            raise IncompatibleType(f"expected Dim objects, not {dim!r}")
    labels = tuple(dim.label for dim in listed)
    check_unique(labels)
    bounds = (
        tuple(dim.inclusive_min for dim in listed),
        tuple(dim.exclusive_max for dim in listed),
        tuple(dim.implicit_lower for dim in listed),
        tuple(dim.implicit_upper for dim in listed),
    )
    return TransformRep.make(bounds, labels, ())


def rep_from_json(json: object, prefix: str = "", what: str = "domain") -> TransformRep:
    """A transform without outputs over the domain that this JSON means.

    Raises:
        InvalidArgument: If it means none.
    """
    arguments = parse_domain(json, prefix, what)
    try:
        return domain_rep(prefix=prefix, **arguments)
    except InvalidArgument as error:
        refused = InvalidArgument(f"Error parsing index {what} from JSON: {error.message}")
        refused.contradicting = error.contradicting
        raise refused from None


def constructor_arguments(rep: TransformRep, prefix: str) -> list[str]:
    """The arguments of a constructor call that gives the domain of `rep` back."""
    if rep.input_rank == 0:
        return [f"{prefix}rank=0"]
    lower, upper = list(rep.input_inclusive_min), list(rep.input_exclusive_max)
    arguments: list[str] = []
    bounded_below = any(lo != UNBOUNDED_MIN for lo in lower)
    bounded_above = any(hi != UNBOUNDED_MAX for hi in upper)
    if bounded_below:
        arguments.append(f"{prefix}inclusive_min={lower}")
    if bounded_above:
        arguments.append(f"{prefix}exclusive_max={upper}")
    if rep.implicit_lower_bounds != (not bounded_below,) * rep.input_rank:
        arguments.append(f"implicit_lower_bounds={list(rep.implicit_lower_bounds)}")
    if rep.implicit_upper_bounds != (not bounded_above,) * rep.input_rank:
        arguments.append(f"implicit_upper_bounds={list(rep.implicit_upper_bounds)}")
    if any(rep.input_labels):
        arguments.append(f"{prefix}labels={list(rep.input_labels)}")
    elif not arguments or not (bounded_below or bounded_above):
        arguments.insert(0, f"{prefix}rank={rep.input_rank}")
    return arguments

"""Merging two constraints on a domain."""

from __future__ import annotations

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN
from asynctensor.index_space.labels import merge_label
from asynctensor.schema.contradiction import colliding, contradiction
from asynctensor.schema.json_value import annotated


def merge_domains(existing: IndexDomain | None, new: IndexDomain | None) -> IndexDomain | None:
    """The domain that both describe.

    Bounds must be equal, but for an infinite implicit one, which stands for "unknown"; of two
    equal bounds the result is implicit only if both are. Labels must be equal where both have one.

    Raises:
        InvalidArgument: They contradict; the text names the dimension and has both domains.
    """
    if existing is None or new is None:
        return existing or new
    with annotated(f"Cannot merge index domain {existing} with index domain {new}"):
        if existing.rank != new.rank:
            raise contradiction("Ranks do not match", "domain", "domain")
        dims = []
        for number, (old, each) in enumerate(zip(existing, new, strict=True)):
            with annotated(f"Mismatch in dimension {number}"), colliding("domain"):
                dims.append(_merge_dims(old, each))
    return IndexDomain(dims)


def _merge_dims(a: Dim, b: Dim) -> Dim:
    with colliding("domain.labels"):
        label = merge_label(a.label, b.label)
    lower = _merge_bounds(
        (a.inclusive_min, a.implicit_lower), (b.inclusive_min, b.implicit_lower), UNBOUNDED_MIN
    )
    if lower is None:
        raise InvalidArgument("Lower bounds do not match")
    upper = _merge_bounds(
        (a.exclusive_max, a.implicit_upper), (b.exclusive_max, b.implicit_upper), UNBOUNDED_MAX
    )
    if upper is None:
        raise InvalidArgument("Upper bounds do not match")
    return Dim(
        inclusive_min=lower[0],
        exclusive_max=upper[0],
        implicit_lower=lower[1],
        implicit_upper=upper[1],
        label=label,
    )


def _merge_bounds(
    a: tuple[int, bool], b: tuple[int, bool], unbounded: int
) -> tuple[int, bool] | None:
    if a[0] == b[0]:
        return a[0], a[1] and b[1]
    if a == (unbounded, True):
        return b
    if b == (unbounded, True):
        return a
    return None

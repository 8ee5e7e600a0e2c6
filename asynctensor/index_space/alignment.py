"""Alignment: which element of a source goes where in a target, in reads, writes and copies.

Dimensions match by label if both domains have labels, the rest from right to left; origins are
translated; a source dimension of size 1, or one that is missing, is broadcast. (TensorStore's
document "Index space: domain alignment".)
"""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain, dim_text
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform


def align_to(source: IndexDomain, target: IndexDomain) -> IndexTransform:
    """The transform from `target` to `source`, to compose a source with before it is copied.

    Args:
        source: The domain that is read.
        target: The domain that is written.

    Raises:
        InvalidArgument: If a matched dimension has another size than 1 or its target's, or an
            unmatched one has another size than 1.
    """
    matches = _match(source.labels, target.labels)
    problems: list[str] = []
    maps: list[OutputIndexMap] = []
    for dim, match in enumerate(matches):
        size = source.shape[dim]
        origin = source.inclusive_min[dim]
        maps.append(OutputIndexMap.constant(origin))
        if match is None:
            if size != 1:
                problems.append(
                    f"unmatched source dimension {dim} {_text(source, dim)} does not have a "
                    "size of 1"
                )
        elif size == target.shape[match]:
            maps[-1] = OutputIndexMap.single(match, origin - target.inclusive_min[match], 1)
        elif size != 1:
            problems.append(
                f"source dimension {dim} {_text(source, dim)} mismatch with target dimension "
                f"{match} {_text(target, match)}"
            )
    if problems:
        raise InvalidArgument(f"Error aligning dimensions: {', '.join(problems)}")
    return IndexTransform.make(target.rep.bounds, target.labels, tuple(maps))


def align_shape_to(shape: Sequence[int], target: IndexDomain) -> IndexTransform:
    """The transform from `target` to a NumPy array of this shape, as `align_to`.

    Raises:
        InvalidArgument: If the shape cannot be broadcast to the target.
    """
    return align_to(IndexDomain(shape=shape), target)


def _match(source: Sequence[str], target: Sequence[str]) -> list[int | None]:
    """The target dimension of each source dimension."""
    by_label = any(source) and any(target)
    matches: list[int | None] = [None] * len(source)
    rest_source, rest_target = list(range(len(source))), list(range(len(target)))
    if by_label:
        for dim in rest_source:
            if source[dim] and source[dim] in target:
                matches[dim] = target.index(source[dim])
        rest_source = [dim for dim in rest_source if not source[dim]]
        rest_target = [dim for dim in rest_target if not target[dim]]
    # One of the two may be longer: what is left over on the left is unmatched.
    for dim, match in zip(reversed(rest_source), reversed(rest_target), strict=False):
        matches[dim] = match
    return matches


def _text(domain: IndexDomain, dim: int) -> str:
    label = domain.labels[dim]
    text = dim_text(domain, dim)
    return f'"{label}": {text}' if label else text

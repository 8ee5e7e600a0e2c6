"""Operations on chosen dimensions that dimension expressions alone offer."""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.errors import InvalidIndex
from asynctensor.index_space import operations
from asynctensor.index_space.composition import compose_maps
from asynctensor.index_space.dim import Bounds, intersect
from asynctensor.index_space.dim_selection import Term, normalize_dimension, resolve_selection
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN, affine_domain, check_rank
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.representation import R


def stride(rep: R, dims: Sequence[int], strides: object) -> R:
    """Makes ``x`` of each dimension mean what ``x * stride`` meant, counting from zero.

    Raises:
        InvalidIndex: If there is not one stride for each of `dims`, or one is zero.
    """
    lower, upper = list(rep.input_inclusive_min), list(rep.input_exclusive_max)
    ilo, ihi = list(rep.implicit_lower_bounds), list(rep.implicit_upper_bounds)
    maps = [OutputIndexMap.single(dim, 0, 1) for dim in range(rep.input_rank)]
    for dim, given in zip(dims, operations.as_vector(strides, len(dims)), strict=True):
        factor = 1 if given is None else given
        if factor == 0:
            raise InvalidIndex(f"Applying stride to input dimension {dim}: Stride must be non-zero")
        lower[dim], upper[dim] = affine_domain(lower[dim], upper[dim], 0, factor)
        if factor < 0:
            ilo[dim], ihi[dim] = ihi[dim], ilo[dim]
        maps[dim] = OutputIndexMap.single(dim, 0, factor)
    bounds = (tuple(lower), tuple(upper), tuple(ilo), tuple(ihi))
    return rep.make(bounds, rep.input_labels, compose_maps(rep, maps, bounds))


def move_dims(
    rep: R, dims: Sequence[int], targets: int | Sequence[Term]
) -> tuple[R, tuple[int, ...]]:
    """Moves the chosen dimensions to `targets`; the others fill the rest in their order.

    Args:
        rep: The transform.
        dims: The chosen dimensions.
        targets: One position for each; or one number, where they begin if it is not negative,
            and where they end, counted from the end, if it is.

    Returns:
        The transform, and the chosen dimensions, which are at their targets.

    Raises:
        InvalidIndex: If there is not one target for each, one is given twice or as a label.
    """
    rank = rep.input_rank
    if isinstance(targets, int):
        begin = 0
        if dims:
            begin = normalize_dimension(targets, rank - len(dims) + 1)
        places = tuple(range(begin, begin + len(dims)))
    else:
        if any(isinstance(term, str) for term in targets):
            raise InvalidIndex("Target dimensions cannot be specified by label")
        places = resolve_selection(targets, [""] * rank, distinct=False)
    if len(places) != len(dims):
        raise InvalidIndex(
            f"Number of selected dimensions ({len(dims)}) must equal number of target dimensions "
            f"({len(places)})"
        )
    for place in places:
        if places.count(place) > 1:
            raise InvalidIndex(f"Target dimension {place} occurs more than once")
    source = dict(zip(places, dims, strict=True))
    rest = iter([dim for dim in range(rank) if dim not in source.values()])
    order = [source[place] if place in source else next(rest) for place in range(rank)]
    return operations.transpose(rep, order), places


def diagonal(rep: R, dims: Sequence[int]) -> tuple[R, tuple[int, ...]]:
    """Replaces the chosen dimensions by one along which all of them move, and puts it first.

    Its bounds are the intersection of theirs, and implicit only where all of theirs are.
    """
    lower, upper, ilo, ihi = rep.bounds
    box: Bounds = (UNBOUNDED_MIN, UNBOUNDED_MAX, True, True)
    for dim in dims:
        low, high, _, _ = intersect(box, (lower[dim], upper[dim], ilo[dim], ihi[dim]))
        box = (low, high, box[2] and ilo[dim], box[3] and ihi[dim])
    rest = [dim for dim in range(rep.input_rank) if dim not in dims]
    check_rank(len(rest) + 1)
    new_of = {dim: new + 1 for new, dim in enumerate(rest)}
    maps = [OutputIndexMap.single(new_of.get(dim, 0), 0, 1) for dim in range(rep.input_rank)]
    bounds = (
        (box[0], *(lower[dim] for dim in rest)),
        (box[1], *(upper[dim] for dim in rest)),
        (box[2], *(ilo[dim] for dim in rest)),
        (box[3], *(ihi[dim] for dim in rest)),
    )
    labels = ("", *(rep.input_labels[dim] for dim in rest))
    return rep.make(bounds, labels, compose_maps(rep, maps, bounds)), (0,)

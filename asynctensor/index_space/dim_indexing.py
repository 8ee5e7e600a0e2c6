"""NumPy-style indexing of chosen dimensions, as dimension expressions do it.

Terms consume the chosen dimensions in the order in which these were chosen, and must consume
all of them; the other dimensions stay as they are. (TensorStore's document "Dimension
expressions: NumPy-style indexing".)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from asynctensor.errors import InvalidIndex
from asynctensor.index_space.array_indexing import ArrayIndexing, joint_shape
from asynctensor.index_space.dim_selection import Term as SelectionTerm
from asynctensor.index_space.dim_selection import resolve_selection, slice_text
from asynctensor.index_space.index_terms import ArrayTerm, Term
from asynctensor.index_space.numpy_indexing import IndexingMode
from asynctensor.index_space.representation import R

_FULL = slice(None)


def fill_terms(terms: Sequence[Term], count: int, scalar: bool) -> list[Term]:
    """One term for each of `count` chosen dimensions (an array may consume several).

    Args:
        terms: The parsed terms.
        count: Number of chosen dimensions.
        scalar: Whether a single term was given outside a tuple, which then applies to each.

    Raises:
        InvalidIndex: If the terms consume more or fewer dimensions.
    """
    if scalar:
        return list(terms) * count
    consumed = sum(consumption(term) for term in terms)
    if consumed > count or (consumed < count and ... not in terms):
        raise InvalidIndex(
            f"Indexing expression requires {consumed} dimensions but selection has {count} "
            "dimensions"
        )
    filled: list[Term] = []
    for term in terms:
        filled.extend([_FULL] * (count - consumed) if term is ... else [term])
    return filled


def consumption(term: Term) -> int:
    """How many chosen dimensions a term consumes; a new axis is chosen, too."""
    if isinstance(term, ArrayTerm):
        return len(term.arrays)
    return 0 if term is ... else 1


def place_new_axes(
    rep: R, selection: Sequence[SelectionTerm], terms: Sequence[Term], scalar: bool
) -> tuple[R, tuple[int, ...], list[Term]]:
    """Resolves a selection, adding the dimensions that new-axis terms ask for.

    Positions in the selection count in the domain with the new dimensions; labels name old ones.

    Args:
        rep: The transform.
        selection: The selection as it was written.
        terms: The parsed terms.
        scalar: As in `fill_terms`.

    Returns:
        The transform with the new dimensions, the chosen dimensions, and one term for each.

    Raises:
        InvalidIndex: If dimensions do not exist, are chosen twice, or a new one is named by
            label.
    """
    if None not in terms:
        dims = resolve_selection(selection, rep.input_labels)
        return rep, dims, fill_terms(terms, len(dims), scalar)
    added = sum(term is None for term in terms)
    if scalar:
        added = sum(_fixed_length(item) for item in selection)
    rank = rep.input_rank + added
    chosen: list[tuple[int, bool]] = []
    for item in selection:
        if isinstance(item, str):
            chosen.append((resolve_selection([item], rep.input_labels)[0], True))
        else:
            chosen.extend((dim, False) for dim in resolve_selection([item], [""] * rank))
    filled = fill_terms(terms, len(chosen), scalar)
    places = _chosen_by_new_axes(chosen, filled)
    old_at = [dim for dim in range(rank) if dim not in places]
    dims = tuple(old_at[dim] if by_label else dim for dim, by_label in chosen)
    if len(set(dims)) != len(dims):
        twice = next(dim for dim in dims if dims.count(dim) > 1)
        raise InvalidIndex(f"Dimension {twice} specified more than once")
    work = ArrayIndexing(rep)
    old = 0
    for dim in range(rank):
        if dim in places:
            work.add_new_axis()
        else:
            work.add_slice(old, _FULL)
            old += 1
    return work.apply(rep), dims, [_FULL if term is None else term for term in filled]


def _chosen_by_new_axes(chosen: Sequence[tuple[int, bool]], filled: Sequence[Term]) -> set[int]:
    places: set[int] = set()
    at = 0
    for term in filled:
        if term is None:
            dim, by_label = chosen[at]
            if by_label:
                raise InvalidIndex("New dimensions cannot be specified by label")
            if dim in places:
                raise InvalidIndex(f"Dimension {dim} specified more than once")
            places.add(dim)
        at += consumption(term)
    return places


def _fixed_length(item: SelectionTerm) -> int:
    """How many dimensions an item of a selection means, whatever the rank is."""
    if not isinstance(item, slice):
        return 1
    step = 1 if item.step is None else item.step
    start = 0 if item.start is None and step > 0 else item.start
    if start is None or item.stop is None or (start < 0) != (item.stop < 0) or step == 0:
        raise InvalidIndex(f"`{slice_text(item)}` is not a valid specification for new dimensions")
    return len(range(start, item.stop, step))


def index_dims(
    rep: R, dims: Sequence[int], filled: Sequence[Term], mode: IndexingMode, front: bool
) -> tuple[R, tuple[int, ...]]:
    """Indexes the chosen dimensions, and says which are chosen then.

    Args:
        rep: The transform.
        dims: The chosen dimensions.
        filled: Terms that consume exactly `dims`, without ellipsis and new axes.
        mode: What index arrays mean.
        front: Whether dimensions that arrays share come first, not in the place of the first.

    Raises:
        InvalidIndex: If arrays do not broadcast, or a boolean scalar is indexed orthogonally.
        OutOfRange: If an index or slice is outside the explicit bounds.
    """
    orthogonal = mode is IndexingMode.OINDEX
    spans = list(_spans(dims, filled))
    arrays = [(term, own) for term, own in spans if isinstance(term, ArrayTerm)]
    if orthogonal and not all(own for _, own in arrays):
        raise InvalidIndex(
            "Zero-rank bool array incompatible with outer indexing of a dimension selection"
        )
    joint = () if orthogonal or not arrays else joint_shape(filled)
    work = ArrayIndexing(rep)
    if front:
        work.add_dims(joint)
    shapes = {own[0]: term.shape for term, own in arrays} if orthogonal else {}
    if arrays and not orthogonal and not front:
        shapes = {arrays[0][1][0]: joint}
    placed = _place(work, rep.input_rank, spans, shapes)
    selected: list[int] = list(range(len(joint))) if front else []
    joint_begin = 0
    for term, own in spans:
        here = placed[own[0]] if own else range(0)
        selected.extend(here)
        if isinstance(term, ArrayTerm):
            if own and own[0] in shapes:
                joint_begin = here.start
            begin = joint_begin + (0 if orthogonal else len(joint) - len(term.shape))
            for dim, array in zip(own, term.arrays, strict=True):
                work.add_array(dim, array, begin)
    return work.apply(rep), tuple(selected)


def _spans(dims: Sequence[int], filled: Sequence[Term]) -> Iterator[tuple[Term, Sequence[int]]]:
    """Each term with the dimensions that it consumes."""
    at = 0
    for term in filled:
        width = consumption(term)
        yield term, dims[at : at + width]
        at += width


def _place(
    work: ArrayIndexing,
    rank: int,
    spans: Sequence[tuple[Term, Sequence[int]]],
    shapes: Mapping[int, tuple[int, ...]],
) -> list[range]:
    """Adds what comes in the place of each old dimension, and says where that is.

    Args:
        work: What is added to.
        rank: Number of old dimensions.
        spans: Terms with the old dimensions that they consume.
        shapes: What arrays add, by the old dimension in whose place.
    """
    by_dim = {dim: term for term, own in spans for dim in own}
    placed: list[range] = []
    for dim in range(rank):
        term = by_dim.get(dim, _FULL)
        begin = len(work.dims)
        if isinstance(term, slice):
            work.add_slice(dim, term)
        elif isinstance(term, int):
            work.add_index(dim, term)
        else:
            work.add_dims(shapes.get(dim, ()))
        placed.append(range(begin, len(work.dims)))
    return placed

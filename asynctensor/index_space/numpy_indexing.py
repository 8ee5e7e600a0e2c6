"""NumPy-style indexing of transforms in three modes: ``[]``, ``.oindex[]``, ``.vindex[]``.

Indices are positions: a negative one is below zero, not from the end, and a slice outside the
explicit bounds is an error (TensorStore's document "Python: NumPy-style indexing").
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from asynctensor.errors import InvalidIndex, OutOfRange
from asynctensor.index_space.array_indexing import (
    ArrayIndexing,
    check_new_rank,
    joint_shape,
    while_slicing,
)
from asynctensor.index_space.composition import check_constant, compose_maps
from asynctensor.index_space.index_terms import ArrayTerm, Term, parse_terms
from asynctensor.index_space.interval import effective, inf, is_explicitly_empty, strided_slice
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.representation import BoxBounds, R, TransformRep

_FULL = slice(None)


class IndexingMode(enum.Enum):
    """Where the dimensions of index arrays go, and whether they are broadcast together."""

    DEFAULT = "[]"
    OINDEX = ".oindex[]"
    VINDEX = ".vindex[]"


def index_transform(transform: R, indices: object, mode: IndexingMode = IndexingMode.DEFAULT) -> R:
    """The transform indexed as a NumPy array would be.

    Args:
        transform: The transform whose domain is indexed.
        indices: One term or a tuple of terms.
        mode: What index arrays mean.

    Raises:
        InvalidIndex: If the expression does not fit the rank, or a term cannot be an index.
        OutOfRange: If an index or slice is outside the explicit bounds.
    """
    quick = _index_plain(transform, indices if type(indices) is tuple else (indices,))
    if quick is not None:
        return quick
    terms = parse_terms(indices)
    plain = _index_plain(transform, terms)
    return _index_with_arrays(transform, terms, mode) if plain is None else plain


def _fill_ellipsis(terms: tuple[object, ...], consumed: int, rank: int) -> tuple[object, ...]:
    """The terms with full slices for the ellipsis, or at the end where there is none."""
    if consumed > rank:
        raise InvalidIndex(
            f"Indexing expression requires {consumed} dimensions, and cannot be applied to a "
            f"domain of rank {rank}"
        )
    fill = (_FULL,) * (rank - consumed)
    for at, term in enumerate(terms):
        if term is Ellipsis:
            return (*terms[:at], *fill, *terms[at + 1 :])
    return (*terms, *fill)


def _plain_consumption(terms: tuple[object, ...]) -> int:
    """How many dimensions ints and slices consume; -1 if there are terms of other types."""
    consumed = ellipses = 0
    for term in terms:
        if type(term) is int:
            consumed += 1
        elif isinstance(term, slice):
            consumed += 1
            for bound in (term.start, term.stop, term.step):
                if bound is not None and type(bound) is not int:
                    return -1
        elif term is Ellipsis:
            ellipses += 1
        elif term is not None:
            return -1
    return consumed if ellipses < 2 else -1


def _index_plain(transform: R, terms: tuple[object, ...]) -> R | None:
    """Indexes by ints, slices of ints, new axes and one ellipsis; None if there is more.

    This is the path of nearly every read, so it stays with plain ints and tuples.
    """
    consumed = _plain_consumption(terms)
    if consumed < 0:
        return None
    rank = len(transform.input_inclusive_min)
    if consumed != len(terms) or consumed != rank:
        terms = _fill_ellipsis(terms, consumed, rank)
    rows: list[tuple[int, int, bool, bool, str]] = []
    inputs: list[_Input] = []
    columns = zip(*transform.bounds, transform.input_labels, strict=True)
    moved, outside = False, -1
    for term in terms:
        if term is None:
            rows.append(_NEW_AXIS)
            moved = True
            continue
        low, high, ilo, ihi, label = next(columns)
        if isinstance(term, slice):
            step = 1 if term.step is None else term.step
            try:
                low, high, ilo, ihi, offset = strided_slice(
                    (low, high, ilo, ihi), term.start, term.stop, step
                )
            except (InvalidIndex, OutOfRange) as error:
                raise while_slicing(error, len(inputs)) from None
            inputs.append((len(rows), offset, step))
            rows.append((low, high, ilo, ihi, label))
            moved = moved or step != 1
        else:
            assert isinstance(term, int)
            if not ((low <= term or ilo) and (term < high or ihi) and -inf < term < inf):
                outside = len(inputs)
            inputs.append((-1, term, 0))
            moved = True
    lower, upper, implicit_lower, implicit_upper, labels = (
        zip(*rows, strict=True) if rows else _NONE
    )
    bounds = (lower, upper, implicit_lower, implicit_upper)
    check_new_rank(len(rows))
    if outside >= 0 and not is_explicitly_empty(*bounds):
        _refuse(transform, outside, inputs[outside][1])
    return transform.make(bounds, labels, _move_maps(transform, inputs, moved, bounds))


_NEW_AXIS: Final = (0, 1, True, True, "")
_NONE: Final[tuple[tuple[()], ...]] = ((), (), (), (), ())


def _refuse(transform: TransformRep, dim: int, index: int) -> None:
    lower, upper, ilo, ihi = transform.bounds
    check_constant(dim, index, effective(lower[dim], upper[dim], ilo[dim], ihi[dim]))


#: Where an old dimension comes from: new dimension (-1 for none), offset, stride.
_Input = tuple[int, int, int]


def _move_maps(
    transform: TransformRep, inputs: Sequence[_Input], moved: bool, bounds: BoxBounds
) -> tuple[OutputIndexMap, ...]:
    """The output maps after each old dimension became what `inputs` says."""
    if not moved and all([item.index_array is None for item in transform.maps]):
        return transform.maps
    maps: list[OutputIndexMap] = []
    for item in transform.maps:
        if item.index_array is not None:
            return compose_maps(transform, [_input_map(*source) for source in inputs], bounds)
        dim = item.input_dimension
        if dim is None:
            maps.append(item)
            continue
        new, offset, stride = inputs[dim]
        factor = item.stride or 0
        if new < 0:
            maps.append(OutputIndexMap.constant(item.offset + factor * offset))
        elif new == dim and stride == 1:
            maps.append(item)
        else:
            maps.append(OutputIndexMap.single(new, item.offset + factor * offset, factor * stride))
    return tuple(maps)


def _input_map(new: int, offset: int, stride: int) -> OutputIndexMap:
    if new < 0:
        return OutputIndexMap.constant(offset)
    return OutputIndexMap.single(new, offset, stride)


def joint_position(terms: Sequence[object], mode: IndexingMode) -> int | None:
    """The term where jointly broadcast dimensions go: -1 for the front, None if orthogonal.

    In the default mode they go in place if nothing but integers separates the arrays, as in
    NumPy; an ellipsis separates even where it stands for nothing.
    """
    if mode is IndexingMode.OINDEX:
        return None
    at = [i for i, term in enumerate(terms) if isinstance(term, ArrayTerm)]
    if mode is IndexingMode.VINDEX:
        return -1
    between = terms[at[0] : at[-1]]
    consecutive = all(isinstance(term, (ArrayTerm, int)) for term in between)
    return at[0] if consecutive else -1


def _index_with_arrays(transform: R, terms: Sequence[Term], mode: IndexingMode) -> R:
    consumed = sum(
        len(term.arrays) if isinstance(term, ArrayTerm) else term is not None and term is not ...
        for term in terms
    )
    # Whether arrays stand side by side is judged before the ellipsis vanishes.
    position = joint_position(terms, mode)
    joint = () if position is None else joint_shape(terms)
    at = terms.index(...) if ... in terms else len(terms)
    filled = _fill_ellipsis(tuple(terms), consumed, transform.input_rank)
    if position is not None and position > at:
        position += len(filled) - len(terms)
    work = ArrayIndexing(transform)
    joint_at = 0
    if position == -1:
        work.add_dims(joint)
    dim = 0
    for i, term in enumerate(filled):
        if i == position:
            joint_at = len(work.dims)
            work.add_dims(joint)
        if isinstance(term, ArrayTerm):
            begin = joint_at + len(joint) - len(term.shape)
            if position is None:
                begin = len(work.dims)
                work.add_dims(term.shape)
            for array in term.arrays:
                work.add_array(dim, array, begin)
                dim += 1
        elif term is None:
            work.add_new_axis()
        elif isinstance(term, int):
            work.add_index(dim, term)
            dim += 1
        else:
            assert isinstance(term, slice)
            work.add_slice(dim, term)
            dim += 1
    return work.apply(transform)

"""NumPy-style indexing of transforms in three modes: ``[]``, ``.oindex[]``, ``.vindex[]``.

Indices are positions: a negative one is below zero, not from the end, and a slice outside the
explicit bounds is an error (TensorStore's document "Python: NumPy-style indexing").
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from asynctensor.errors import Error, OutOfRange
from asynctensor.index_space.composition import check_constant, compose_maps
from asynctensor.index_space.index_terms import ArrayTerm, Term, parse_terms
from asynctensor.index_space.interval import (
    MAX_FINITE_INDEX,
    MIN_FINITE_INDEX,
    InvalidIndex,
    check_rank,
    effective,
    is_explicitly_empty,
    strided_slice,
)
from asynctensor.index_space.output_map import UNBOUNDED_RANGE, IndexArray, OutputIndexMap
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


def _is_plain(terms: tuple[object, ...]) -> int:
    """How many dimensions ints and slices consume; -1 if there are other terms."""
    consumed = ellipses = 0
    for term in terms:
        kind = type(term)
        if kind is int:
            consumed += 1
        elif kind is slice:
            consumed += 1
            for bound in (term.start, term.stop, term.step):  # type: ignore[attr-defined]
                if bound is not None and type(bound) is not int:
                    return -1
        elif term is Ellipsis:
            ellipses += 1
        elif term is not None:
            return -1
    return consumed if ellipses < 2 else -1


def _index_plain(transform: R, terms: tuple[object, ...]) -> R | None:
    """Indexes by ints, slices of ints, new axes and one ellipsis; None if there is more.

    This is the path of nearly every read, so it spells everything out over plain ints.
    """
    lo_in, hi_in = transform.input_inclusive_min, transform.input_exclusive_max
    ilo_in, ihi_in = transform.implicit_lower_bounds, transform.implicit_upper_bounds
    consumed = _is_plain(terms)
    if consumed < 0:
        return None
    if consumed != len(terms) or consumed != len(lo_in):
        terms = _fill_ellipsis(terms, consumed, len(lo_in))
    lower: list[int] = []
    upper: list[int] = []
    ilo: list[bool] = []
    ihi: list[bool] = []
    labels: list[str] = []
    inputs: list[_Input] = []
    moved = False
    outside = -1
    dim = 0
    for term in terms:
        if term is None:
            lower.append(0)
            upper.append(1)
            ilo.append(True)
            ihi.append(True)
            labels.append("")
            moved = True
            continue
        if type(term) is int:
            low, high = lo_in[dim], hi_in[dim]
            if not (
                (low <= term or ilo_in[dim])
                and (term < high or ihi_in[dim])
                and MIN_FINITE_INDEX <= term <= MAX_FINITE_INDEX
            ):
                outside = dim
            inputs.append((-1, term, 0))
            moved = True
        else:
            assert type(term) is slice
            step = 1 if term.step is None else term.step
            try:
                low, high, keep_low, keep_high, offset = strided_slice(
                    (lo_in[dim], hi_in[dim], ilo_in[dim], ihi_in[dim]),
                    term.start,
                    term.stop,
                    step,
                )
            except (InvalidIndex, OutOfRange) as error:
                raise _while_slicing(error, dim) from None
            inputs.append((len(lower), offset, step))
            moved = moved or step != 1
            lower.append(low)
            upper.append(high)
            ilo.append(keep_low)
            ihi.append(keep_high)
            labels.append(transform.input_labels[dim])
        dim += 1
    bounds = (tuple(lower), tuple(upper), tuple(ilo), tuple(ihi))
    if outside >= 0 and not is_explicitly_empty(*bounds):
        allowed = effective(lo_in[outside], hi_in[outside], ilo_in[outside], ihi_in[outside])
        check_constant(outside, inputs[outside][1], allowed)
    maps = _move_maps(transform, inputs, moved, bounds)
    return transform.make(bounds, tuple(labels), maps)


#: Where an old dimension comes from: new dimension (-1 for none), offset, stride.
_Input = tuple[int, int, int]


def _while_slicing(error: InvalidIndex | OutOfRange, dim: int) -> Error:
    return type(error)(f"Computing interval slice for dimension {dim}: {error.message}")


def _move_maps(
    transform: TransformRep, inputs: Sequence[_Input], moved: bool, bounds: BoxBounds
) -> tuple[OutputIndexMap, ...]:
    """The output maps after each old dimension became what `inputs` says."""
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
    return tuple(maps) if moved else transform.maps


def _input_map(new: int, offset: int, stride: int) -> OutputIndexMap:
    if new < 0:
        return OutputIndexMap.constant(offset)
    return OutputIndexMap.single(new, offset, stride)


class _ArrayIndexing:
    """The pieces of an indexing expression with arrays, collected term by term."""

    def __init__(self, transform: TransformRep, mode: IndexingMode) -> None:
        self.transform = transform
        self.mode = mode
        self.dims: list[tuple[int, int, bool, bool, str]] = []
        self.maps: dict[int, OutputIndexMap] = {}
        # Old dimension, its array, and where the dimensions of the array begin.
        self.arrays: list[tuple[int, IndexArray, int]] = []

    def add_dims(self, shape: Sequence[int], at: int) -> None:
        self.dims[at:at] = [(0, size, False, False, "") for size in shape]

    def add_slice(self, dim: int, term: slice) -> None:
        source = self.transform
        lower, upper, implicit_lower, implicit_upper = source.bounds
        bounds = (lower[dim], upper[dim], implicit_lower[dim], implicit_upper[dim])
        step = 1 if term.step is None else term.step
        try:
            low, high, ilo, ihi, offset = strided_slice(bounds, term.start, term.stop, step)
        except (InvalidIndex, OutOfRange) as error:
            raise _while_slicing(error, dim) from None
        self.maps[dim] = OutputIndexMap.single(len(self.dims), offset, step)
        self.dims.append((low, high, ilo, ihi, source.input_labels[dim]))

    def finish(self) -> tuple[list[OutputIndexMap], BoxBounds, tuple[str, ...]]:
        rank = len(self.dims)
        check_rank(rank)
        columns = list(zip(*self.dims, strict=True)) or [()] * 5
        lower, upper, ilo, ihi, labels = columns
        empty = is_explicitly_empty(lower, upper, ilo, ihi)
        for dim, array, at in [] if empty else self.arrays:
            shape = (1,) * at + array.shape + (1,) * (rank - at - array.ndim)
            self.maps[dim] = OutputIndexMap.array(array.reshape(shape), 0, 1, UNBOUNDED_RANGE)
        maps = [self.maps[dim] for dim in range(len(self.maps))]
        return maps, (lower, upper, ilo, ihi), labels


def _joint_position(terms: Sequence[object], mode: IndexingMode) -> int | None:
    """The term where jointly broadcast dimensions go: -1 for the front, None if orthogonal."""
    if mode is IndexingMode.OINDEX:
        return None
    at = [i for i, term in enumerate(terms) if isinstance(term, ArrayTerm)]
    if mode is IndexingMode.VINDEX:
        return -1
    between = terms[at[0] : at[-1]]
    consecutive = all(isinstance(term, (ArrayTerm, int)) for term in between)
    return at[0] if consecutive else -1


def _joint_shape(terms: Sequence[object]) -> tuple[int, ...]:
    shapes = [term.shape for term in terms if isinstance(term, ArrayTerm)]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " vs ".join("{" + ", ".join(map(str, s)) + "}" for s in reversed(shapes))
        raise InvalidIndex(f"Incompatible index array shapes: {listed}") from None


def _index_with_arrays(transform: R, terms: Sequence[Term], mode: IndexingMode) -> R:
    consumed = sum(
        len(term.arrays) if isinstance(term, ArrayTerm) else term is not None and term is not ...
        for term in terms
    )
    # Whether arrays stand side by side is judged before the ellipsis vanishes.
    position = _joint_position(terms, mode)
    joint = () if position is None else _joint_shape(terms)
    at = terms.index(...) if ... in terms else len(terms)
    filled = _fill_ellipsis(tuple(terms), consumed, transform.input_rank)
    if position is not None and position > at:
        position += len(filled) - len(terms)
    work = _ArrayIndexing(transform, mode)
    joint_at = 0
    if position == -1:
        work.add_dims(joint, 0)
    dim = 0
    for i, term in enumerate(filled):
        if i == position:
            joint_at = len(work.dims)
            work.add_dims(joint, joint_at)
        if isinstance(term, ArrayTerm):
            begin = joint_at + len(joint) - len(term.shape)
            if position is None:
                begin = len(work.dims)
                work.add_dims(term.shape, begin)
            for array in term.arrays:
                work.arrays.append((dim, array, begin))
                work.maps[dim] = OutputIndexMap.constant(0)
                dim += 1
        elif term is None:
            work.dims.append((0, 1, True, True, ""))
        elif isinstance(term, int):
            work.maps[dim] = OutputIndexMap.constant(term)
            dim += 1
        else:
            assert isinstance(term, slice)
            work.add_slice(dim, term)
            dim += 1
    maps, bounds, labels = work.finish()
    _check_constants(transform, maps, bounds)
    return transform.make(bounds, labels, compose_maps(transform, maps, bounds))


def _check_constants(
    transform: TransformRep, maps: Sequence[OutputIndexMap], bounds: BoxBounds
) -> None:
    if is_explicitly_empty(*bounds):
        return
    for dim, item in enumerate(maps):
        if item.input_dimension is None and item.index_array is None:
            allowed = effective(
                transform.input_inclusive_min[dim],
                transform.input_exclusive_max[dim],
                transform.implicit_lower_bounds[dim],
                transform.implicit_upper_bounds[dim],
            )
            check_constant(dim, item.offset, allowed)

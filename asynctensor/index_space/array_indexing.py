"""Indexing by arrays: what several terms do to a domain, collected and then applied at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asynctensor.errors import Error, InvalidIndex, OutOfRange
from asynctensor.index_space.composition import check_constant, compose_maps
from asynctensor.index_space.index_terms import ArrayTerm
from asynctensor.index_space.interval import MAX_RANK, effective, is_explicitly_empty, strided_slice
from asynctensor.index_space.output_map import UNBOUNDED_RANGE, IndexArray, OutputIndexMap
from asynctensor.index_space.representation import BoxBounds, R, TransformRep


class ArrayIndexing:
    """The pieces of an indexing expression with arrays, collected term by term.

    Attributes:
        dims: The new dimensions so far: lower and upper bound, implicit bits, label.
        maps: What each old dimension becomes; a placeholder where it is an array.
        arrays: Old dimension, its index array, and the new dimension where the array begins.
    """

    def __init__(self, transform: TransformRep) -> None:
        self.transform = transform
        self.dims: list[tuple[int, int, bool, bool, str]] = []
        self.maps: dict[int, OutputIndexMap] = {}
        self.arrays: list[tuple[int, IndexArray, int]] = []

    def add_dims(self, shape: Sequence[int]) -> None:
        """Appends the dimensions that an index array adds."""
        self.dims.extend([(0, size, False, False, "") for size in shape])

    def add_new_axis(self) -> None:
        """Appends an inert dimension."""
        self.dims.append((0, 1, True, True, ""))

    def add_index(self, dim: int, index: int) -> None:
        """Replaces the old dimension `dim` by one index; it is checked at the end."""
        self.maps[dim] = OutputIndexMap.constant(index)

    def add_array(self, dim: int, array: IndexArray, begin: int) -> None:
        """Replaces `dim` by an array over the new dimensions from `begin` on."""
        self.arrays.append((dim, array, begin))
        self.maps[dim] = OutputIndexMap.constant(0)

    def add_slice(self, dim: int, term: slice) -> None:
        """Appends what a slice leaves of the old dimension `dim`.

        Raises:
            InvalidIndex: If it is no slice.
            OutOfRange: If it leaves the explicit bounds.
        """
        source = self.transform
        lower, upper, implicit_lower, implicit_upper = source.bounds
        bounds = (lower[dim], upper[dim], implicit_lower[dim], implicit_upper[dim])
        step = 1 if term.step is None else term.step
        try:
            low, high, ilo, ihi, offset = strided_slice(bounds, term.start, term.stop, step)
        except (InvalidIndex, OutOfRange) as error:
            raise while_slicing(error, dim) from None
        self.maps[dim] = OutputIndexMap.single(len(self.dims), offset, step)
        self.dims.append((low, high, ilo, ihi, source.input_labels[dim]))

    def apply(self, transform: R) -> R:
        """The transform indexed by what was collected.

        Raises:
            OutOfRange: If an integer is outside the explicit bounds.
        """
        maps, bounds, labels = self._finish()
        _check_constants(transform, maps, bounds)
        return transform.make(bounds, labels, compose_maps(transform, maps, bounds))

    def _finish(self) -> tuple[list[OutputIndexMap], BoxBounds, tuple[str, ...]]:
        rank = len(self.dims)
        check_new_rank(rank)
        columns = list(zip(*self.dims, strict=True)) or [()] * 5
        lower, upper, ilo, ihi, labels = columns
        empty = is_explicitly_empty(lower, upper, ilo, ihi)
        for dim, array, at in [] if empty else self.arrays:
            shape = (1,) * at + array.shape + (1,) * (rank - at - array.ndim)
            self.maps[dim] = OutputIndexMap.array(array.reshape(shape), 0, 1, UNBOUNDED_RANGE)
        maps = [self.maps[dim] for dim in range(len(self.maps))]
        return maps, (lower, upper, ilo, ihi), labels


def joint_shape(terms: Sequence[object]) -> tuple[int, ...]:
    """The shape that all index arrays among `terms` broadcast to.

    Raises:
        InvalidIndex: If they do not.
    """
    shapes = [term.shape for term in terms if isinstance(term, ArrayTerm)]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " vs ".join("{" + ", ".join(map(str, s)) + "}" for s in reversed(shapes))
        raise InvalidIndex(f"Incompatible index array shapes: {listed}") from None


def check_new_rank(rank: int) -> None:
    """Refuses indexing that adds too many dimensions.

    Raises:
        InvalidIndex: If the rank is not one.
    """
    if rank > MAX_RANK:
        raise InvalidIndex(f"Rank {rank} is outside valid range [0, {MAX_RANK}]")


def while_slicing(error: InvalidIndex | OutOfRange, dim: int) -> Error:
    """The error of a slice, with the dimension named."""
    return type(error)(f"Computing interval slice for dimension {dim}: {error.message}")


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

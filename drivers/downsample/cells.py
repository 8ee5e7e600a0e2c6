"""Where the cells of a downsampled dimension are: pure arithmetic.

Cell ``i`` of a dimension ``[low, high)`` holds the positions ``[i * factor, (i + 1) * factor)``
that are inside; with the method ``"stride"``, ``i * factor`` alone, where that is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.drivers.downsample.methods import reduced
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_transform import transformed


def cell_bounds(low: int, high: int, factor: int, method: str) -> tuple[int, int]:
    """The cells of a dimension: from the first to before the last."""
    first = low if low == UNBOUNDED_MIN else low // factor
    last = high if high == UNBOUNDED_MAX else -(-high // factor)
    if method == "stride" and low != UNBOUNDED_MIN:
        first = -(-low // factor)
    elif low == high:
        last = first
    return first, max(first, last)


def strided(domain: IndexDomain, factors: tuple[int, ...], method: str) -> IndexTransform:
    """From cells to the first positions of cells, over the downsampled domain."""
    bounds = [
        cell_bounds(low, high, factor, method)
        for low, high, factor in zip(
            domain.inclusive_min, domain.exclusive_max, factors, strict=True
        )
    ]
    over = IndexDomain(
        inclusive_min=[low for low, _ in bounds],
        exclusive_max=[high for _, high in bounds],
        implicit_lower_bounds=domain.implicit_lower_bounds,
        implicit_upper_bounds=domain.implicit_upper_bounds,
        labels=domain.labels,
    )
    maps = tuple(OutputIndexMap.single(dim, 0, factor) for dim, factor in enumerate(factors))
    return IndexTransform.make(over.rep.bounds, over.labels, maps)


def downsampled_schema(base: Schema, to_base: IndexTransform) -> Schema:
    """A base's schema, seen from the cells; a fill value that varies is left out."""
    state = base.state
    if state.fill_value is not None and state.fill_value.ndim:
        state = replace(state, fill_value=None)
    return Schema.from_state(replace(transformed(state, to_base), domain=to_base.domain))


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """The cells that are wanted of one dimension, in their order.

    Attributes:
        cells: int64, rank 1.
        low: First position of the dimension.
        high: Its end.
        factor: Positions per cell.
    """

    cells: Array
    low: int
    high: int
    factor: int

    def starts(self) -> Array:
        """The first position of each cell that is inside."""
        return np.asarray(np.maximum(self.cells * self.factor, self.low))

    def lengths(self) -> Array:
        """The number of positions of each cell that are inside."""
        return np.asarray(np.minimum((self.cells + 1) * self.factor, self.high) - self.starts())

    def positions(self) -> slice | Array:
        """All positions of all cells, cell by cell."""
        starts, lengths = self.starts(), self.lengths()
        ends = starts + lengths
        if (starts[1:] == ends[:-1]).all():
            return slice(int(starts[0]), int(ends[-1]))
        before = np.cumsum(lengths) - lengths
        return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))

    def groups(self) -> list[tuple[slice | Array, slice | Array, int]]:
        """Cells of equal length: which they are, where their positions are, and the length."""
        lengths = self.lengths()
        before = np.cumsum(lengths) - lengths
        found: list[tuple[slice | Array, slice | Array, int]] = []
        for length in np.unique(lengths).tolist():
            (members,) = np.nonzero(lengths == length)
            first, count = int(members[0]), len(members)
            if members[-1] - first == count - 1:
                start = int(before[first])
                where: slice | Array = slice(start, start + count * length)
                found.append((slice(first, first + count), where, length))
                continue
            offsets = before[members][:, np.newaxis] + np.arange(length)
            found.append((members, offsets.ravel(), length))
        return found


def reduce_grid(data: Array, axes: list[Axis], method: str) -> Array:
    """The cells of a grid, from their elements.

    Args:
        data: What was read of all positions of all axes.
        axes: One per dimension.
        method: How to reduce a cell.
    """
    found = np.empty(tuple(len(axis.cells) for axis in axes), data.dtype)
    for combination in product(*(axis.groups() for axis in axes)):
        block = _selected(data, [where for _, where, _ in combination])
        shape: list[int] = []
        for size, (_, _, length) in zip(block.shape, combination, strict=True):
            shape += [size // length, length]
        values = reduced(block.reshape(shape), method)
        _assign(found, [cells for cells, _, _ in combination], values)
    return found


def _selected(data: Array, where: list[slice | Array]) -> Array:
    for dim, each in enumerate(where):
        data = data[(slice(None),) * dim + (each,)]
    return data


def _assign(found: Array, where: list[slice | Array], values: Array) -> None:
    if all(isinstance(each, slice) for each in where):
        found[tuple(where)] = values
        return
    full = [np.arange(each.start, each.stop) if isinstance(each, slice) else each for each in where]
    found[np.ix_(*full)] = values


def point_groups(
    cells: Array, low: Array, high: Array, factors: Array, limit: int
) -> Iterator[tuple[Array, Array, tuple[int, ...]]]:
    """Cells that are wanted one by one, by equal shape, a few at a time.

    Args:
        cells: Shape ``(cells, rank)``.
        low: First position per dimension.
        high: End per dimension.
        factors: Positions per cell and dimension.
        limit: Elements per group, if a cell does not have more.

    Yields:
        Which cells, their first positions of shape ``(cells, rank)``, and their shape.
    """
    starts = np.maximum(cells * factors, low)
    lengths = np.minimum((cells + 1) * factors, high) - starts
    shapes, kind = np.unique(lengths, axis=0, return_inverse=True)
    for number, shape in enumerate(shapes.tolist()):
        (members,) = np.nonzero(kind.ravel() == number)
        step = max(1, limit // int(np.prod(shape, dtype=np.int64)))
        for at in range(0, len(members), step):
            some = members[at : at + step]
            yield some, starts[some], tuple(shape)

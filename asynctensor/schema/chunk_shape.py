"""Choosing the chunk shapes of a new array from constraints, as TensorStore does.

Sizes that are constrained are taken. The others share one factor: each is factor times aspect
ratio, no larger than the domain, and the factor is the largest whose chunk has no more than the
wanted number of elements. Write chunks are multiples of read chunks: whichever of the two is less
firmly constrained gives way, to the nearest divisor or multiple (the smaller of two as near).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import UNBOUNDED_MAX, UNBOUNDED_MIN
from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.constraint import Constraint
from asynctensor.schema.json_value import annotated

#: TensorStore's default: 1 MiB of bytes, 8 MiB of doubles; large enough for any store's latency.
DEFAULT_ELEMENTS: Final = 2**20

#: Maps a wanted size to one that is allowed.
_Fit: TypeAlias = Callable[[int], int]
Shape: TypeAlias = tuple[int, ...]


def choose_chunk_shapes(layout: ChunkLayout, domain: IndexDomain) -> tuple[Shape, Shape]:
    """Write and read chunk shapes, the first a multiple of the second, for a format with shards.

    Args:
        layout: Constraints; its rank is that of `domain`, or unknown.
        domain: Domain of the array; a dimension may be unbounded.

    Returns:
        The write and the read chunk shape.

    Raises:
        InvalidArgument: Hard constraints admit none, or the extent of an unbounded dimension is
            asked for.
    """
    _check_rank(layout, domain)
    state = layout.state
    write = _fixed(state.write, domain)
    read = _fixed(state.read, domain)
    for dim in range(domain.rank):
        write[dim], read[dim] = _reconciled(dim, write[dim], read[dim])
    read_fits = [_divisor_of(each) for each in write]
    read_shape = _completed(state.read, read, read_fits, domain)
    write_fits = [_multiple_of(size) for size in read_shape]
    return _completed(state.write, write, write_fits, domain), read_shape


def choose_chunk_shape(layout: ChunkLayout, domain: IndexDomain) -> Shape:
    """The chunk shape for a format that writes what it reads (no shards).

    Raises:
        InvalidArgument: Read and write constraints contradict, or the extent of an unbounded
            dimension is asked for.
    """
    _check_rank(layout, domain)
    with annotated("write_chunk constraints not compatible with existing read_chunk constraints"):
        grid = layout.state.read.merged(layout.state.write)
    any_size: list[_Fit] = [lambda size: size] * domain.rank
    return _completed(grid, _fixed(grid, domain), any_size, domain)


def nearest_divisor(dividend: int, near: int) -> int:
    """The divisor of `dividend` that is nearest to `near`, the smaller one of two."""
    if near >= dividend:
        return dividend
    best = 1
    for small in range(1, math.isqrt(dividend) + 1):
        if dividend % small == 0:
            for each in (small, dividend // small):
                best = min(best, each, key=lambda divisor: (abs(divisor - near), divisor))
    return best


def nearest_multiple(divisor: int, near: int) -> int:
    """The positive multiple of `divisor` that is nearest to `near`, the smaller one of two."""
    below = max(1, near // divisor) * divisor
    above = below + divisor
    return below if abs(near - below) <= abs(above - near) else above


def _check_rank(layout: ChunkLayout, domain: IndexDomain) -> None:
    if layout.rank not in (-1, domain.rank):
        raise InvalidArgument(
            f"Rank of constraints ({layout.rank}) does not match rank of domain ({domain.rank})"
        )


def _fixed(grid: GridConstraints, domain: IndexDomain) -> list[Constraint[int] | None]:
    """The sizes that are constrained, with the full extent in place of -1."""
    found = list(grid.shape or (None,) * domain.rank)
    for dim, each in enumerate(found):
        if each is not None and each.value == -1:
            size = _extent(domain, dim)
            if size is None:
                raise InvalidArgument(
                    f"Cannot match chunk size for dimension {dim} to unbounded domain {domain[dim]}"
                )
            found[dim] = Constraint(max(1, size), each.hard)
    return found


def _extent(domain: IndexDomain, dim: int) -> int | None:
    lower, upper = domain.inclusive_min[dim], domain.exclusive_max[dim]
    return None if lower == UNBOUNDED_MIN or upper == UNBOUNDED_MAX else upper - lower


def _reconciled(
    dim: int, write: Constraint[int] | None, read: Constraint[int] | None
) -> tuple[Constraint[int] | None, Constraint[int] | None]:
    if write is None or read is None or write.value % read.value == 0:
        return write, read
    if not read.hard:
        return write, Constraint(nearest_divisor(write.value, read.value), False)
    if not write.hard:
        return Constraint(nearest_multiple(read.value, write.value), False), read
    raise InvalidArgument(
        f"Incompatible chunk size constraints for dimension {dim}: read size of {read.value}, "
        f"write size of {write.value}; the write size must be a multiple"
    )


def _divisor_of(write: Constraint[int] | None) -> _Fit:
    if write is None:
        return lambda size: size
    return lambda size: nearest_divisor(write.value, size)


def _multiple_of(read: int) -> _Fit:
    return lambda size: nearest_multiple(read, size)


def _completed(
    grid: GridConstraints,
    fixed: Sequence[Constraint[int] | None],
    fits: Sequence[_Fit],
    domain: IndexDomain,
) -> Shape:
    """The fixed sizes, and for the others those of the largest chunk that is not too large."""
    if all(each is not None for each in fixed):
        return tuple(each.value for each in fixed if each is not None)
    target = DEFAULT_ELEMENTS if grid.elements is None else grid.elements.value
    wanted = grid.aspect_ratio or (None,) * domain.rank
    ratios = [1.0 if each is None else each.value for each in wanted]
    largest = []
    for dim in range(domain.rank):
        extent = _extent(domain, dim)
        largest.append(min(target, 2**62) if extent is None else min(target, max(1, extent)))

    def shape(factor: float) -> Shape:
        return tuple(
            fit(max(1, int(min(ratio * factor, most)))) if size is None else size.value
            for size, ratio, most, fit in zip(fixed, ratios, largest, fits, strict=True)
        )

    free = [dim for dim, each in enumerate(fixed) if each is None]
    step = min(0.5 / ratios[dim] for dim in free)
    low, high = step, 2 * max(largest[dim] / ratios[dim] for dim in free)
    while low + step < high:
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        if math.prod(shape(middle)) <= target:
            low = middle
        else:
            high = middle
    return shape(low)

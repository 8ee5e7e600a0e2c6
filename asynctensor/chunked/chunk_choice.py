"""Choosing the chunk shape of a new array, as TensorStore does.

Dimensions without a wanted size share what is left of the wanted number of elements in the wanted
aspect ratio: their sizes are `floor(factor * ratio)` for the largest factor that keeps the product
within the target. Read chunks are chosen first, so that they divide the write chunks that are
wanted; write chunks are then rounded down to multiples of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt, prod

from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.constraint import Constraint
from asynctensor.schema.contradiction import contradiction

#: TensorStore's default.
DEFAULT_ELEMENTS = 2**20
#: Halvings after which the factor is exact to a double.
_STEPS = 100

_Wanted = list["Constraint[int] | None"]


def choose_chunk_shape(grid: GridConstraints, extents: Sequence[int]) -> tuple[int, ...]:
    """The shape of chunks that are read and written whole.

    Args:
        grid: What is wanted of them.
        extents: Sizes of the array.
    """
    return _choose(grid, _wanted(grid, extents), extents, lambda dim, size: size)


def choose_read_and_write_shapes(
    read: GridConstraints, write: GridConstraints, extents: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of what is read and of what is written at once, the first dividing the second.

    Args:
        read: What is wanted of read chunks.
        write: What is wanted of write chunks.
        extents: Sizes of the array.

    Raises:
        InvalidArgument: Sizes required of both do not divide each other.
    """
    read_sizes, write_sizes = _wanted(read, extents), _wanted(write, extents)
    for dim, (small, large) in enumerate(zip(read_sizes, write_sizes, strict=True)):
        if small is None or large is None or large.value % small.value == 0:
            continue
        if small.hard and large.hard:
            raise contradiction(
                f"Incompatible chunk size constraints for dimension {dim}: "
                f"read size of {small.value}, write size of {large.value}",
                "schema.chunk_layout.read_chunk.shape",
                "schema.chunk_layout.write_chunk.shape",
            )
        if small.hard:
            multiple = max(1, round(large.value / small.value)) * small.value
            write_sizes[dim] = Constraint(multiple, large.hard)
        else:
            read_sizes[dim] = Constraint(_divisor(large.value, small.value), small.hard)

    def fit_read(dim: int, size: int) -> int:
        large = write_sizes[dim]
        return size if large is None else _divisor(large.value, size)

    read_shape = _choose(read, read_sizes, extents, fit_read)
    rough = _choose(write, write_sizes, extents, lambda dim, size: max(size, read_shape[dim]))
    write_shape = tuple(n - n % m for n, m in zip(rough, read_shape, strict=True))
    return read_shape, write_shape


def _wanted(grid: GridConstraints, extents: Sequence[int]) -> _Wanted:
    found: _Wanted = list(grid.shape) or [None] * len(extents)
    return [
        Constraint(max(1, extent), each.hard) if each is not None and each.value == -1 else each
        for each, extent in zip(found, extents, strict=True)
    ]


def _choose(
    grid: GridConstraints,
    sizes: _Wanted,
    extents: Sequence[int],
    fit: Callable[[int, int], int],
) -> tuple[int, ...]:
    """Completes `sizes`; `fit(dim, size)` gives the allowed size nearest below `size`."""
    target = DEFAULT_ELEMENTS if grid.elements is None else grid.elements.value
    ratios = [
        1.0 if not grid.aspect_ratio or each is None else each.value
        for each in (grid.aspect_ratio or [None] * len(extents))
    ]

    def shape(factor: float) -> tuple[int, ...]:
        return tuple(
            each.value
            if each is not None
            else fit(dim, max(1, min(int(factor * ratios[dim]), max(1, extents[dim]))))
            for dim, each in enumerate(sizes)
        )

    low = 0.0
    high = (max(extents, default=1) + 1) / min(ratios, default=1.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if prod(shape(middle)) <= target:
            low = middle
        else:
            high = middle
    return shape(low if prod(shape(high)) > target else high)


def _divisor(number: int, at_most: int) -> int:
    """The largest divisor of `number` that is at most `at_most`."""
    if at_most >= number:
        return number
    if number > _LARGEST_FACTORED:
        # Not worth the search: a power of two that divides.
        return min(number & -number, 1 << (at_most.bit_length() - 1))
    best = 1
    for small in range(1, isqrt(number) + 1):
        if number % small == 0:
            for each in (small, number // small):
                if best < each <= at_most:
                    best = each
    return best


#: Larger numbers are not factored: a write chunk of that size along one dimension is no chunk.
_LARGEST_FACTORED = 2**32

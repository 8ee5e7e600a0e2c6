"""Integer intervals with infinities: the arithmetic under every domain and transform.

An interval is a pair ``(inclusive_min, exclusive_max)`` of plain ints. Finite indices lie in
``[-(2**62 - 2), 2**62 - 2]``; ``inclusive_min == -inf`` and ``exclusive_max == inf + 1`` stand
for "unbounded" and are unaffected by translation (TensorStore's index space document,
"index domain"). Everything here is a pure function of ints, so that the path of a basic index
touches no array library.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from operator import add
from typing import Final

from asynctensor.errors import InvalidArgument, InvalidIndex, OutOfRange

#: Stands for an unbounded index, as in TensorStore.
inf: Final = 2**62 - 1
MAX_FINITE_INDEX: Final = inf - 1
MIN_FINITE_INDEX: Final = -MAX_FINITE_INDEX
#: The inclusive lower bound of what is unbounded below.
UNBOUNDED_MIN: Final = -inf
#: The exclusive upper bound of what is unbounded above.
UNBOUNDED_MAX: Final = inf + 1
#: More dimensions than NumPy's oldest limit never occur, and masks of bounds stay small.
MAX_RANK: Final = 32


def format_interval(
    lower: int, upper: int, implicit_lower: bool = False, implicit_upper: bool = False
) -> str:
    """TensorStore's notation: ``[0, 10*)``, ``(-inf*, 5)``; ``*`` marks an implicit bound."""
    left = "(-inf" if lower == UNBOUNDED_MIN else f"[{lower}"
    right = "+inf" if upper == UNBOUNDED_MAX else f"{upper}"
    return f"{left}{'*' * implicit_lower}, {right}{'*' * implicit_upper})"


def check_interval(lower: int, upper: int) -> None:
    """Refuses what is no interval of the index space.

    Raises:
        InvalidArgument: If a bound is outside the index space or the size would be negative.
    """
    if not (UNBOUNDED_MIN <= lower <= inf and UNBOUNDED_MIN + 1 < upper <= UNBOUNDED_MAX):
        raise InvalidArgument(
            f"({lower}, {upper - 1}) do not specify a valid closed index interval: "
            f"finite indices are within [{MIN_FINITE_INDEX}, {MAX_FINITE_INDEX}]"
        )
    if lower > upper or lower == inf:
        raise InvalidArgument(
            f"({lower}, {upper - 1}) do not specify a valid closed index interval: "
            "the upper bound is below the lower bound"
        )


def check_rank(rank: int) -> None:
    """Refuses a rank that the index space does not have.

    Raises:
        InvalidArgument: If `rank` is not within ``[0, 32]``.
    """
    if not 0 <= rank <= MAX_RANK:
        raise InvalidArgument(f"Rank {rank} is outside valid range [0, {MAX_RANK}]")


def contains(outer: tuple[int, int], lower: int, upper: int) -> bool:
    """Whether ``[lower, upper)`` lies in `outer`; an empty interval lies everywhere."""
    return lower >= upper or (outer[0] <= lower and upper <= outer[1])


def effective(
    lower: int, upper: int, implicit_lower: bool, implicit_upper: bool
) -> tuple[int, int]:
    """The bounds that constrain indexing: implicit ones do not."""
    return (
        UNBOUNDED_MIN if implicit_lower else lower,
        UNBOUNDED_MAX if implicit_upper else upper,
    )


def is_explicitly_empty(
    lower: Sequence[int],
    upper: Sequence[int],
    implicit_lower: Sequence[bool],
    implicit_upper: Sequence[bool],
) -> bool:
    """Whether some dimension is empty by explicit bounds, so that no index can ever exist."""
    if not any(map(operator.ge, lower, upper)):
        return False  # nearly always, and then this is all that it costs
    return any(
        lo >= hi and not ilo and not ihi
        for lo, hi, ilo, ihi in zip(lower, upper, implicit_lower, implicit_upper, strict=True)
    )


def translate(lower: int, upper: int, offset: int) -> tuple[int, int]:
    """``[lower + offset, upper + offset)``, infinities staying where they are.

    Raises:
        InvalidIndex: If a finite bound would leave the index space.
    """
    new_lower = lower if lower == UNBOUNDED_MIN else lower + offset
    new_upper = upper if upper == UNBOUNDED_MAX else upper + offset
    low_ok = new_lower == UNBOUNDED_MIN == lower or (
        MIN_FINITE_INDEX <= new_lower <= MAX_FINITE_INDEX + 1
    )
    high_ok = new_upper == UNBOUNDED_MAX == upper or (
        MIN_FINITE_INDEX <= new_upper <= MAX_FINITE_INDEX + 1
    )
    if not (low_ok and high_ok):
        raise InvalidIndex(
            f"{format_interval(lower, upper)} + {offset} is outside valid range "
            f"[{MIN_FINITE_INDEX}, {MAX_FINITE_INDEX + 1})"
        )
    return new_lower, new_upper


def translate_box(
    lower: Sequence[int], upper: Sequence[int], moves: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`translate` of each dimension.

    Raises:
        InvalidIndex: If a finite bound would leave the index space.
    """
    new_lower, new_upper = tuple(map(add, lower, moves)), tuple(map(add, upper, moves))
    finite = UNBOUNDED_MIN not in lower and UNBOUNDED_MAX not in upper
    # Without infinities it is enough to look at the extremes.
    if finite and (not lower or (min(new_lower) >= MIN_FINITE_INDEX and max(new_upper) <= inf)):
        return new_lower, new_upper
    pairs = [translate(lo, hi, move) for lo, hi, move in zip(lower, upper, moves, strict=True)]
    return tuple([lo for lo, _ in pairs]), tuple([hi for _, hi in pairs])


def affine_domain(lower: int, upper: int, offset: int, stride: int) -> tuple[int, int]:
    """All ``x`` such that ``lower <= offset + stride * x < upper``, as an interval.

    Args:
        lower: Inclusive lower bound of the image.
        upper: Exclusive upper bound of the image.
        offset: The offset of the map.
        stride: The stride of the map, not zero.
    """
    if lower == upper:
        origin = -((offset - lower) // stride)
        return origin, origin
    if stride < 0:
        lower, upper = (
            UNBOUNDED_MIN if upper == UNBOUNDED_MAX else 1 - upper,
            UNBOUNDED_MAX if lower == UNBOUNDED_MIN else 1 - lower,
        )
        offset, stride = -offset, -stride
    new_lower = UNBOUNDED_MIN if lower == UNBOUNDED_MIN else -((offset - lower) // stride)
    if upper == UNBOUNDED_MAX:
        return new_lower, UNBOUNDED_MAX
    new_upper = (upper - 1 - offset) // stride + 1
    return new_lower, max(new_lower, new_upper)


def strided_slice(
    bounds: tuple[int, int, bool, bool],
    start: int | None,
    stop: int | None,
    step: int,
) -> tuple[int, int, bool, bool, int]:
    """Slices one dimension.

    The new origin is ``start / step`` truncated toward zero. A bound that is given becomes
    explicit, one that is left out stays as it was; with a negative step they change sides.

    Args:
        bounds: Lower and upper bound of the dimension, and whether each is implicit, so that it
            does not constrain the slice.
        start: First index taken, None for the bound where the slice begins.
        stop: First index not taken, None for the bound where the slice ends.
        step: The distance of two indices taken.

    Returns:
        New lower bound, new upper bound, whether each is implicit, and the offset of the map
        ``old = offset + step * new``.

    Raises:
        InvalidIndex: If the step is zero, or the three are no slice.
        OutOfRange: If the slice leaves the explicit bounds.
    """
    lower, upper, implicit_lower, implicit_upper = bounds
    if step == 1:
        # Nearly every slice; what is left over for the rest of the function is unusual.
        low = lower if start is None else start
        high = upper if stop is None else stop
        if lower <= low <= high <= upper and high != inf and low < inf:
            keep_lower = implicit_lower and start is None
            return low, high, keep_lower, implicit_upper and stop is None, 0
    first, last = _slice_ends((lower, upper), start, stop, step)
    forward = step > 0
    low, high = (first, last) if forward else (last, first)
    domain = effective(lower, upper, implicit_lower, implicit_upper)
    if not contains(domain, low, high + 1):
        raise OutOfRange(
            f"Slice interval {format_interval(low, high + 1)} is not contained within domain "
            f"{format_interval(*domain)}"
        )
    begins, ends = implicit_lower, implicit_upper
    if not forward:
        begins, ends = ends, begins
    begins, ends = begins and start is None, ends and stop is None
    if first == inf:
        # Nothing to count from: the mirror image of what is unbounded above.
        mirrored = UNBOUNDED_MAX if low == UNBOUNDED_MIN else 1 - low
        return UNBOUNDED_MIN, mirrored, begins, ends, 0
    if first == UNBOUNDED_MIN:
        return UNBOUNDED_MIN, high + 1, begins, ends, 0
    origin = first // step if (first < 0) != forward else -(-first // step)
    unbounded = high == inf if forward else low == UNBOUNDED_MIN
    size = -((low - high - 1) // abs(step))
    new_upper = UNBOUNDED_MAX if unbounded else origin + size
    return origin, new_upper, begins, ends, first - origin * step


def _slice_ends(
    bounds: tuple[int, int], start: int | None, stop: int | None, step: int
) -> tuple[int, int]:
    """The first index of a slice, and the last one that it may reach."""
    lower, upper = bounds
    if step == 0 or not -inf <= step <= inf:
        raise InvalidIndex(f"Invalid stride {step}")
    if start is not None and not -inf <= start <= inf:
        raise InvalidIndex(f"Invalid start index {start}")
    if stop is not None and not -inf <= stop <= inf:
        raise InvalidIndex(f"Invalid stop index {stop}")
    forward = step > 0
    first = start if start is not None else (lower if forward else upper - 1)
    if stop is None:
        last = upper - 1 if forward else lower
    else:
        # An infinite stop has no neighbour.
        last = stop if stop in (inf, -inf) else stop - 1 if forward else stop + 1
    if step not in (1, -1) and not MIN_FINITE_INDEX <= first <= MAX_FINITE_INDEX:
        raise InvalidIndex(f"Slicing with non-unit stride of {step} requires a finite start index")
    low, high = (first, last) if forward else (last, first)
    if low > high + 1 or low < -inf or high > inf or low == inf or high == -inf:
        raise InvalidIndex(f"({low}, {high}) do not specify a valid closed index interval")
    return first, last

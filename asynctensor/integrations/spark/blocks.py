"""`Blocks`: an array cut along its chunks, without those that no row is wanted of. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain

Int64Array: TypeAlias = npt.NDArray[np.int64]
#: What to index an array with, in its own indices.
Box: TypeAlias = tuple[slice, ...]

#: Chunks along one dimension that are planned at most.
_MOST_CHUNKS: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Condition:
    """What a query wants of the indices of a dimension.

    Attributes:
        dim: The dimension.
        of: Of an index itself, or of where a chunk begins, or ends.
        operator: How it is compared.
        values: To what; more than one with ``in`` only.
    """

    dim: int
    of: Literal["index", "start", "stop"]
    operator: Literal["=", "<", "<=", ">", ">=", "in"]
    values: tuple[int, ...]

    def holds(self, numbers: Int64Array) -> npt.NDArray[np.bool_]:
        """Of which of the numbers it is true."""
        if self.operator == "in":
            return np.isin(numbers, np.array(self.values, np.int64))
        value = self.values[0]
        compared = {
            "=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
            ">=": np.greater_equal,
        }  # fmt: skip
        return np.asarray(compared[self.operator](numbers, value))

    def narrowed(self, low: int, high: int) -> tuple[int, int]:
        """The part of an interval in which it can be true; maybe empty."""
        if not self.values:
            return low, low
        first, last = min(self.values), max(self.values)
        match self.operator:
            case "<":
                return low, min(high, first)
            case "<=":
                return low, min(high, first + 1)
            case ">":
                return max(low, first + 1), high
            case ">=":
                return max(low, first), high
        return max(low, first), min(high, last + 1)


@dataclass(frozen=True, slots=True)
class _Line:
    """The pieces of one dimension that are left of it."""

    starts: Int64Array
    stops: Int64Array


class Blocks:
    """A domain, cut along a grid; its blocks are numbered in C order, and made one by one."""

    def __init__(
        self,
        domain: IndexDomain,
        chunk: Sequence[int],
        origin: Sequence[int],
        conditions: Iterable[Condition] = (),
    ) -> None:
        """Cuts it.

        Args:
            domain: What is cut.
            chunk: The shape of a chunk.
            origin: A corner of the grid.
            conditions: Blocks for which one cannot be true are left out; of others, parts.

        Raises:
            InvalidArgument: There are far too many chunks.
        """
        self.conditions = tuple(conditions)
        self._lines = [
            _line(
                *(domain.inclusive_min[dim], domain.exclusive_max[dim], chunk[dim], origin[dim]),
                [each for each in self.conditions if each.dim == dim],
            )
            for dim in range(domain.rank)
        ]
        self._counts = tuple(len(line.starts) for line in self._lines)

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return math.prod(self._counts)

    def box(self, number: int) -> Box:
        """The block of a number."""
        place = np.unravel_index(number, self._counts)
        return tuple(
            slice(int(line.starts[at]), int(line.stops[at]))
            for at, line in zip(place, self._lines, strict=True)
        )

    def runs(self, length: int) -> Iterator[tuple[int, int]]:
        """Runs of so many blocks: the first, and the one behind the last."""
        for first in range(0, self.count, length):
            yield first, min(first + length, self.count)

    def indices(self, dim: int, part: slice) -> Int64Array:
        """The indices of a part of a dimension for which all conditions are true."""
        found = np.arange(part.start, part.stop, dtype=np.int64)
        for each in self.conditions:
            if each.dim == dim and each.of == "index":
                found = found[each.holds(found)]
        return found


def _line(low: int, high: int, chunk: int, origin: int, conditions: Sequence[Condition]) -> _Line:
    for each in conditions:
        if each.of == "index":
            low, high = each.narrowed(low, high)
    first = origin + (low - origin) // chunk * chunk
    count = max(0, -(-(high - first) // chunk)) if high > low else 0
    if count > _MOST_CHUNKS:
        raise InvalidArgument(
            f"{count} chunks in a row are more than Spark can be asked to read; select a part of "
            "the array by its coordinates, or in its spec"
        )
    corners = first + chunk * np.arange(count, dtype=np.int64)
    starts, stops = np.maximum(corners, low), np.minimum(corners + chunk, high)
    wanted = np.ones(count, np.bool_)
    for each in conditions:
        if each.of == "start":
            wanted &= each.holds(starts)
        elif each.of == "stop":
            wanted &= each.holds(stops)
        elif each.operator == "in":
            values = np.sort(np.array(each.values, np.int64))
            wanted &= np.searchsorted(values, starts) < np.searchsorted(values, stops)
    return _Line(starts[wanted], stops[wanted])

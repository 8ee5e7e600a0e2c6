"""The part of an independent group of dimensions that lies in one grid cell."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64Array: TypeAlias = npt.NDArray[np.int64]
Term: TypeAlias = "int | slice | Int64Array"


class Segment:
    """Where one group of dimensions meets one grid cell.

    Attributes:
        cell: Grid position along each array dimension of the group.
        chunk: Index into the chunk, a term per array dimension.
        view: Index into the view's data (origin 0), a term per input dimension.
        count: Number of points.
        full: Whether every element of the cell is hit along these dimensions. A cell that the
            array ends in never is: the array may have grown since, and have more in it.
    """

    __slots__ = ("cell", "chunk", "count", "full", "high", "low", "view")

    def __init__(
        self,
        cell: tuple[int, ...],
        chunk: tuple[Term, ...],
        view: tuple[Term, ...],
        count: int,
        full: bool,
        low: int = 0,
        high: int = 0,
    ) -> None:
        self.cell = cell
        self.chunk = chunk
        self.view = view
        self.count = count
        self.full = full
        self.low = low
        self.high = high


def points_of(term: Term, count: int) -> Int64Array:
    """A term's indices one by one."""
    if isinstance(term, slice):
        points: Int64Array = term.start + np.arange(count, dtype=np.int64) * (term.step or 1)
        return points
    if isinstance(term, int):
        return np.full(1, term, dtype=np.int64)
    return term

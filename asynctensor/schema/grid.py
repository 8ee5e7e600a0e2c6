"""`Grid`: constraints on the grid of chunks of one usage; users know it as `ChunkLayout.Grid`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypedDict, Unpack

from asynctensor.schema.chunk_grid import MEMBERS, GridConstraints, grid_from_json, grid_of
from asynctensor.schema.constraint import values_of
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.keywords import (
    checked_type,
    given_keywords,
    in_keyword,
    rank_of,
    refuse_both,
)
from asynctensor.schema.layout_state import LayoutState

_Sizes = Iterable["int | None"]
_Ratios = Iterable["float | None"]


class GridOptions(TypedDict, total=False):
    """Keywords of `ChunkLayout.Grid`; None is the same as not given."""

    rank: int | None
    shape: _Sizes | None
    shape_soft_constraint: _Sizes | None
    aspect_ratio: _Ratios | None
    aspect_ratio_soft_constraint: _Ratios | None
    elements: int | None
    elements_soft_constraint: int | None
    grid: Grid | None
    grid_soft_constraint: Grid | None


class Grid:
    """Constraints on the regular grid of write, read or codec chunks.

    A shape says all; an aspect ratio and a number of elements leave it to the driver to choose one.

    >>> grid = at.ChunkLayout.Grid(shape=[10, None], elements_soft_constraint=1000)
    >>> grid.shape, grid.elements, grid.elements_soft_constraint
    ((10, None), None, 1000)
    >>> at.ChunkLayout(write_chunk=grid).write_chunk == grid
    True
    """

    __slots__ = ("_constraints", "_rank")
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, json: Any = ..., **constraints: Unpack[GridOptions]) -> None:
        """Makes a grid from its JSON, or from the keywords of `update`.

        Raises:
            InvalidArgument: The JSON is not that of a grid, or constraints contradict.
            IncompatibleType: An argument has the wrong type or name.
        """
        self._rank: int | None = None
        self._constraints = GridConstraints()
        if json is not ...:
            refuse_both(constraints)
            for grid in grid_from_json(json).values():
                self._add(grid)
        self.update(**constraints)

    def update(self, **constraints: Unpack[GridOptions]) -> None:
        """Adds constraints; where one of them fails, none has been added.

        Args:
            rank: Number of dimensions.
            shape: Required chunk size per dimension.
            shape_soft_constraint: Preferred chunk size per dimension.
            aspect_ratio: Required relative size of the dimensions without a size.
            aspect_ratio_soft_constraint: The same, preferred.
            elements: Required target for the number of elements of a chunk.
            elements_soft_constraint: The same, preferred.
            grid: Constraints to merge in, each as hard or soft as it is.
            grid_soft_constraint: Constraints to merge in as soft ones.

        Raises:
            InvalidArgument: A value is not allowed, or contradicts a hard constraint.
            IncompatibleType: An argument has the wrong type or name.
        """
        before = (self._rank, self._constraints)
        try:
            for name, value in given_keywords(constraints, GridOptions):
                with in_keyword(name):
                    self._set(name, value)
        except Exception:
            self._rank, self._constraints = before
            raise

    def _set(self, name: str, value: Any) -> None:
        if name == "rank":
            self._rank = LayoutState(self._rank).with_rank(rank_of(value)).rank
        elif name in MEMBERS:
            self._add(grid_of(*MEMBERS[name], value))
        else:
            grid = checked_type(value, Grid)
            self._rank = LayoutState(self._rank).with_rank(grid._rank).rank
            new = grid._constraints
            self._add(new if name == "grid" else new.softened())

    def _add(self, new: GridConstraints) -> None:
        rank = LayoutState(self._rank).with_rank(new.rank).rank
        self._constraints = self._constraints.merged(new)
        self._rank = rank

    @classmethod
    def of(cls, rank: int | None, constraints: GridConstraints) -> Grid:
        """The grid with this rank and these constraints."""
        self = cls()
        self._rank, self._constraints = rank, constraints
        return self

    @property
    def constraints(self) -> GridConstraints:
        """All constraints as they are now, as an immutable value."""
        return self._constraints

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None if unspecified."""
        return self._rank

    @property
    def ndim(self) -> int | None:
        """The same as `rank`."""
        return self._rank

    def _values(self, kind: str, hard: bool) -> tuple[Any, ...] | None:
        if self._rank is None:
            return None
        constraints = getattr(self._constraints, kind) or (None,) * self._rank
        return values_of(constraints, hard)

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Required chunk size per dimension."""
        return self._values("shape", True)

    @property
    def shape_soft_constraint(self) -> tuple[int | None, ...] | None:
        """Preferred chunk size per dimension."""
        return self._values("shape", False)

    @property
    def aspect_ratio(self) -> tuple[float | None, ...] | None:
        """Required relative size per dimension."""
        return self._values("aspect_ratio", True)

    @property
    def aspect_ratio_soft_constraint(self) -> tuple[float | None, ...] | None:
        """Preferred relative size per dimension."""
        return self._values("aspect_ratio", False)

    @property
    def elements(self) -> int | None:
        """Required target for the number of elements of a chunk."""
        elements = self._constraints.elements
        return elements.value if elements is not None and elements.hard else None

    @property
    def elements_soft_constraint(self) -> int | None:
        """Preferred target for the number of elements of a chunk."""
        elements = self._constraints.elements
        return elements.value if elements is not None and not elements.hard else None

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON; a grid has no defaults to include."""
        return self._constraints.to_json()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        mine, theirs = self._constraints.normalized(), other._constraints.normalized()
        return self._rank == other._rank and mine == theirs

    def __reduce__(self) -> tuple[Any, ...]:
        return (Grid.of, (self._rank, self._constraints))

    def __repr__(self) -> str:
        return f"ChunkLayout.Grid({json_repr(self.to_json())})"

"""`ChunkLayout`: constraints on how an array is divided into chunks, and how these are ordered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, TypeAlias, TypedDict, Unpack

from asynctensor.errors import InvalidArgument
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.schema.chunk_grid import MEMBERS, GridConstraints, grid_from_json, grid_of
from asynctensor.schema.constraint import values_of
from asynctensor.schema.contradiction import written_in
from asynctensor.schema.grid import Grid as _Grid
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import (
    annotated,
    array,
    in_member,
    integer,
    members,
    merging,
    optional,
    rank_value,
)
from asynctensor.schema.keywords import (
    checked_type,
    given_keywords,
    in_keyword,
    rank_of,
    refuse_both,
)
from asynctensor.schema.layout_state import (
    USAGES,
    LayoutState,
    Usage,
    grid_origin_of,
    inner_order_of,
)

_Sizes = Iterable["int | None"]
_Ratios = Iterable["float | None"]


class ChunkLayoutOptions(TypedDict, total=False):
    """Keywords of `ChunkLayout`; None is the same as not given."""

    rank: int | None
    inner_order: Iterable[int] | None
    inner_order_soft_constraint: Iterable[int] | None
    grid_origin: _Sizes | None
    grid_origin_soft_constraint: _Sizes | None
    chunk: ChunkLayout.Grid | None
    write_chunk: ChunkLayout.Grid | None
    read_chunk: ChunkLayout.Grid | None
    codec_chunk: ChunkLayout.Grid | None
    chunk_shape: _Sizes | None
    chunk_shape_soft_constraint: _Sizes | None
    write_chunk_shape: _Sizes | None
    write_chunk_shape_soft_constraint: _Sizes | None
    read_chunk_shape: _Sizes | None
    read_chunk_shape_soft_constraint: _Sizes | None
    codec_chunk_shape: _Sizes | None
    codec_chunk_shape_soft_constraint: _Sizes | None
    chunk_aspect_ratio: _Ratios | None
    chunk_aspect_ratio_soft_constraint: _Ratios | None
    write_chunk_aspect_ratio: _Ratios | None
    write_chunk_aspect_ratio_soft_constraint: _Ratios | None
    read_chunk_aspect_ratio: _Ratios | None
    read_chunk_aspect_ratio_soft_constraint: _Ratios | None
    codec_chunk_aspect_ratio: _Ratios | None
    codec_chunk_aspect_ratio_soft_constraint: _Ratios | None
    chunk_elements: int | None
    chunk_elements_soft_constraint: int | None
    write_chunk_elements: int | None
    write_chunk_elements_soft_constraint: int | None
    read_chunk_elements: int | None
    read_chunk_elements_soft_constraint: int | None
    codec_chunk_elements: int | None
    codec_chunk_elements_soft_constraint: int | None
    finalize: bool | None


#: Keyword prefix of a grid, and the usages it stands for.
_PREFIXES: Final[dict[str, tuple[Usage, ...]]] = {
    "chunk": USAGES,
    "write_chunk": ("write",),
    "read_chunk": ("read",),
    "codec_chunk": ("codec",),
}


class ChunkLayout:
    """Constraints on the storage layout of an array.

    Each is *hard* (required) or *soft* (preferred). A new soft constraint yields to whatever is
    set already, hard or soft; a new hard one replaces a soft one and must agree with a hard one.
    In shapes, 0 and None constrain nothing, and -1 stands for the full extent of the domain.

    Mutable by `update`; not hashable.

    >>> layout = at.ChunkLayout(chunk_elements_soft_constraint=1000, inner_order=[1, 0])
    >>> layout.update(write_chunk_shape=[100, 100], read_chunk_shape=[10, 10])
    >>> layout.write_chunk.shape, layout.read_chunk.shape, layout.inner_order
    ((100, 100), (10, 10), (1, 0))
    """

    __slots__ = ("_state",)
    __hash__: ClassVar[None]  # type: ignore[assignment]

    Grid: TypeAlias = _Grid

    def __init__(self, json: Any = ..., **constraints: Unpack[ChunkLayoutOptions]) -> None:
        """Makes a layout from its JSON, or from the keywords of `update`.

        Raises:
            InvalidArgument: The JSON is not that of a layout, or constraints contradict.
            IncompatibleType: An argument has the wrong type or name.
        """
        self._state = LayoutState()
        if json is not ...:
            refuse_both(constraints)
            with written_in(json):
                self._state = _state_from_json(json)
        self.update(**constraints)

    def update(self, **constraints: Unpack[ChunkLayoutOptions]) -> None:
        """Adds constraints; where one of them fails, none has been added.

        Args:
            rank: Number of dimensions.
            inner_order: Permutation of ``range(rank)``: order of the dimensions within the
                innermost chunks, slowest first.
            grid_origin: A corner of the grid of chunks, per dimension.
            chunk: Constraints on write and read chunks; its aspect ratio also on codec chunks.
            write_chunk: Constraints on what is written at once (shards, where there are any).
            read_chunk: Constraints on what is read at once.
            codec_chunk: Constraints on what the codec works on.
            chunk_shape: Sizes of write and read chunks; ``write_chunk_shape``,
                ``read_chunk_shape`` and ``codec_chunk_shape``: of one usage alone.
            chunk_aspect_ratio: Relative sizes of chunks of all three usages; likewise.
            chunk_elements: Target number of elements of write and read chunks; likewise.
            finalize: Turn the result into a precise layout: every ``grid_origin`` must be
                required; soft shapes, aspect ratios and elements are dropped; read chunk sizes
                not given become those of the write chunks.

        All but `rank`, the four grids and `finalize` have a twin that ends in
        ``_soft_constraint``.

        Raises:
            InvalidArgument: A value is not allowed, or contradicts a hard constraint; the text
                names the constraint and both values.
            IncompatibleType: An argument has the wrong type or name.
        """
        state = self._state
        for name, value in given_keywords(constraints, ChunkLayoutOptions):
            with in_keyword(name):
                state = _with_keyword(state, name, value)
        self._state = state

    def merge(self, other: ChunkLayout, *, soft: bool = False) -> None:
        """Adds all constraints of `other`, as soft ones if `soft`.

        Raises:
            InvalidArgument: They contradict; nothing has been added.
        """
        self._state = self._state.merged(other._state.softened() if soft else other._state)

    def copy(self) -> ChunkLayout:
        """An independent copy."""
        return self.from_state(self._state)

    @classmethod
    def from_state(cls, state: LayoutState) -> ChunkLayout:
        """The layout with these constraints."""
        self = cls()
        self._state = state
        return self

    @property
    def state(self) -> LayoutState:
        """All constraints as they are now, as an immutable value."""
        return self._state

    @property
    def rank(self) -> int:
        """Number of dimensions, -1 if unspecified (as in TensorStore)."""
        return -1 if self._state.rank is None else self._state.rank

    @property
    def ndim(self) -> int:
        """The same as `rank`."""
        return self.rank

    def _order(self, hard: bool) -> tuple[int, ...] | None:
        order = self._state.inner_order
        return order.value if order is not None and order.hard is hard else None

    @property
    def inner_order(self) -> tuple[int, ...] | None:
        """Required order of dimensions within the innermost chunks, slowest first."""
        return self._order(True)

    @property
    def inner_order_soft_constraint(self) -> tuple[int, ...] | None:
        """Preferred order, where none is required."""
        return self._order(False)

    def _origin(self, hard: bool) -> tuple[int | None, ...] | None:
        if self._state.rank is None:
            return None
        return values_of(self._state.grid_origin or (None,) * self._state.rank, hard)

    @property
    def grid_origin(self) -> tuple[int | None, ...] | None:
        """Required origin of the grid per dimension."""
        return self._origin(True)

    @property
    def grid_origin_soft_constraint(self) -> tuple[int | None, ...] | None:
        """Preferred origin of the grid per dimension."""
        return self._origin(False)

    @property
    def write_chunk(self) -> ChunkLayout.Grid:
        """A copy of the constraints on what is written at once."""
        return ChunkLayout.Grid.of(self._state.rank, self._state.write)

    @property
    def read_chunk(self) -> ChunkLayout.Grid:
        """A copy of the constraints on what is read at once."""
        return ChunkLayout.Grid.of(self._state.rank, self._state.read)

    @property
    def codec_chunk(self) -> ChunkLayout.Grid:
        """A copy of the constraints on what the codec works on."""
        return ChunkLayout.Grid.of(self._state.rank, self._state.codec)

    @property
    def read_chunk_template(self) -> IndexDomain:
        """The read chunk at the required origin; unbounded where size or origin is not required.

        Raises:
            InvalidArgument: The rank is unspecified, or a chunk leaves the index space.
        """
        return _template(self._state, "read")

    @property
    def write_chunk_template(self) -> IndexDomain:
        """The write chunk at the required origin; unbounded where size or origin is not required.

        Raises:
            InvalidArgument: The rank is unspecified, or a chunk leaves the index space.
        """
        return _template(self._state, "write")

    def to_json(self) -> Any:
        """Its JSON."""
        return self._state.to_json()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChunkLayout):
            return NotImplemented
        return self._state.normalized() == other._state.normalized()

    def __copy__(self) -> ChunkLayout:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (ChunkLayout.from_state, (self._state,))

    def __repr__(self) -> str:
        return f"ChunkLayout({json_repr(self.to_json())})"


def _template(state: LayoutState, usage: Usage) -> IndexDomain:
    if state.rank is None:
        raise InvalidArgument("Rank of chunk layout is unspecified; update(rank=)")
    nothing = (None,) * state.rank
    origin = values_of(state.grid_origin or nothing, True)
    shape = values_of(state.grid(usage).shape or nothing, True)
    dims = []
    for number, (lower, size) in enumerate(zip(origin, shape, strict=True)):
        if lower is None or size is None:
            # Unbounded, but not implicit: nothing can be learnt later.
            dims.append(Dim(implicit_lower=False, implicit_upper=False))
            continue
        with annotated(f"Incompatible grid origin/chunk shape for dimension {number}"):
            dims.append(Dim(inclusive_min=lower, size=size))
    return IndexDomain(dims)


def _with_keyword(state: LayoutState, name: str, value: Any) -> LayoutState:
    if name == "rank":
        return state.with_rank(rank_of(value))
    if name == "finalize":
        return state.finalized() if value else state
    base, _, soft = name.partition("_soft_constraint")
    hard = not _ and not soft
    if base == "inner_order":
        return state.with_inner_order(inner_order_of(tuple(value), hard))
    if base == "grid_origin":
        return state.with_grid_origin(grid_origin_of(value, hard))
    if name in _PREFIXES:
        grid = checked_type(value, ChunkLayout.Grid)
        state = state.with_rank(grid.rank, f"{name}.shape")
        return _with_grids(state, name, grid.constraints)
    prefix, _, kind = base.partition("chunk_")
    return _with_grids(state, f"{prefix}chunk", grid_of(MEMBERS[kind][0], hard, value))


def _with_grids(state: LayoutState, prefix: str, new: GridConstraints) -> LayoutState:
    for usage in _PREFIXES[prefix]:
        # Of a common constraint, shape and elements say nothing about codec chunks.
        common_codec = prefix == "chunk" and usage == "codec"
        state = state.with_grid(usage, new.only("aspect_ratio") if common_codec else new)
    return state


def _state_from_json(json: object) -> LayoutState:
    vectors = [
        base + soft for base in ("inner_order", "grid_origin") for soft in ("", "_soft_constraint")
    ]
    given = members(json, ("rank", *vectors, *_PREFIXES))
    state = LayoutState()
    if "rank" in given:
        with in_member("rank"):
            state = state.with_rank(rank_value(given["rank"]))
    for name in vectors:
        if given.get(name) is None:
            continue
        with in_member(name):
            item = integer if name.startswith("inner_order") else optional(integer)
            values = array(given[name], item)
        with merging(name):
            state = _with_keyword(state, name, values)
    for prefix in _PREFIXES:
        if prefix not in given:
            continue
        with in_member(prefix):
            grids = grid_from_json(given[prefix])
        for name, grid in grids.items():
            with merging(prefix), merging(name):
                state = _with_grids(state, prefix, grid)
    return state

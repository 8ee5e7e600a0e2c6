"""All that a chunk layout constrains, as an immutable value, and how two of them merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.interval import (
    MAX_FINITE_INDEX,
    MIN_FINITE_INDEX,
    check_rank,
)
from asynctensor.schema.chunk_grid import GridConstraints, unset
from asynctensor.schema.constraint import (
    Constraint,
    PerDimension,
    merged,
    merged_per_dimension,
    per_dimension,
    softened,
    text,
    values_of,
)
from asynctensor.schema.contradiction import colliding, contradiction
from asynctensor.schema.json_value import annotated

#: What chunks are for: written whole, read whole, encoded in one go.
Usage: TypeAlias = Literal["write", "read", "codec"]

USAGES: Final[tuple[Usage, ...]] = ("write", "read", "codec")
_NO_GRID: Final = GridConstraints()


@dataclass(frozen=True, slots=True)
class LayoutState:
    """Constraints on the layout of an array.

    Attributes:
        rank: Number of dimensions, None if unknown.
        inner_order: Order of the dimensions within the innermost chunks, slowest first.
        grid_origin: A corner of the grid, per dimension.
        write: Constraints on what is written at once.
        read: Constraints on what is read at once.
        codec: Constraints on what the codec works on.
    """

    rank: int | None = None
    inner_order: Constraint[tuple[int, ...]] | None = None
    grid_origin: PerDimension[int] = ()
    write: GridConstraints = _NO_GRID
    read: GridConstraints = _NO_GRID
    codec: GridConstraints = _NO_GRID

    def grid(self, usage: Usage) -> GridConstraints:
        """The constraints on the chunks of `usage`."""
        found: GridConstraints = getattr(self, usage)
        return found

    def with_rank(self, rank: int | None, said_by: str = "rank") -> LayoutState:
        """The same with its rank set.

        Args:
            rank: The rank.
            said_by: The constraint that says it.

        Raises:
            InvalidArgument: The rank is out of range, or differs from the one there is.
        """
        if rank is None or rank == self.rank:
            return self
        check_rank(rank)
        if self.rank is not None:
            raise contradiction(
                f"Rank {rank} does not match existing rank {self.rank}",
                said_by,
                self.rank_said_by(),
            )
        return replace(self, rank=rank)

    def rank_said_by(self) -> str:
        """The constraint that says the rank, as far as one does."""
        for usage in USAGES:
            grid = self.grid(usage)
            if grid.rank is not None:
                return f"{usage}_chunk.{'shape' if grid.shape else 'aspect_ratio'}"
        if self.inner_order is not None:
            return "inner_order"
        return "grid_origin" if self.grid_origin else "rank"

    def with_inner_order(self, order: Constraint[tuple[int, ...]] | None) -> LayoutState:
        """The same with a wanted order merged in.

        Raises:
            InvalidArgument: It differs from the order required already, or in rank.
        """
        if order is None:
            return self
        state = self.with_rank(len(order.value), "inner_order")
        with colliding("inner_order"):
            return replace(state, inner_order=merged(state.inner_order, order))

    def with_grid_origin(self, origin: PerDimension[int]) -> LayoutState:
        """The same with a wanted origin merged in.

        Raises:
            InvalidArgument: It differs from the origin required already, or in rank.
        """
        if not origin:
            return self
        state = self.with_rank(len(origin), "grid_origin")
        with colliding("grid_origin"):
            return replace(state, grid_origin=merged_per_dimension(state.grid_origin, origin))

    def with_grid(self, usage: Usage, new: GridConstraints) -> LayoutState:
        """The same with constraints on the chunks of one usage merged in.

        Raises:
            InvalidArgument: They differ from what is required already, or in rank.
        """
        state = self
        for kind, vector in (("shape", new.shape), ("aspect_ratio", new.aspect_ratio)):
            with annotated(f"Error setting {usage}_chunk {kind}"):
                state = state.with_rank(len(vector) or None, f"{usage}_chunk.{kind}")
        old = state.grid(usage)
        with annotated(f"Error setting {usage}_chunk shape"), colliding(f"{usage}_chunk.shape"):
            shape = merged_per_dimension(old.shape, new.shape)
        ratio = f"{usage}_chunk.aspect_ratio"
        with annotated(f"Error setting {usage}_chunk aspect_ratio"), colliding(ratio):
            aspect_ratio = merged_per_dimension(old.aspect_ratio, new.aspect_ratio)
        number = f"{usage}_chunk.elements"
        with annotated(f"Error setting {usage}_chunk elements"), colliding(number):
            elements = merged(old.elements, new.elements)
        changed: Any = {usage: GridConstraints(shape, aspect_ratio, elements)}
        return replace(state, **changed)

    def merged(self, new: LayoutState) -> LayoutState:
        """What satisfies both, as far as `new` is required.

        Raises:
            InvalidArgument: Nothing does; the text names the constraint and both values.
        """
        state = self.with_rank(new.rank)
        with annotated("Error setting inner_order"):
            state = state.with_inner_order(new.inner_order)
        with annotated("Error setting grid_origin"):
            state = state.with_grid_origin(new.grid_origin)
        for usage in USAGES:
            state = state.with_grid(usage, new.grid(usage))
        return state

    def softened(self) -> LayoutState:
        """The same values as preferences."""
        return LayoutState(
            self.rank,
            self.inner_order and self.inner_order.softened(),
            softened(self.grid_origin),
            *(self.grid(usage).softened() for usage in USAGES),
        )

    def normalized(self) -> LayoutState:
        """Equal for equal meaning."""
        return LayoutState(
            self.rank,
            self.inner_order,
            unset(self.grid_origin),
            *(self.grid(usage).normalized() for usage in USAGES),
        )

    def finalized(self) -> LayoutState:
        """A precise layout: required shapes and origins alone (see `ChunkLayout.update`).

        Raises:
            InvalidArgument: The rank or an origin is not required, or the write chunks are no
                multiple of the read chunks.
        """
        if self.rank is None:
            raise InvalidArgument("rank must be specified")
        origin = values_of(self.grid_origin or (None,) * self.rank, True)
        for dim, each in enumerate(origin):
            if each is None:
                raise InvalidArgument(f"No grid_origin hard constraint for dimension {dim}")
        write, read, codec = (_hard_shape(self.grid(usage), self.rank) for usage in USAGES)
        read = tuple(r or w for r, w in zip(read, write, strict=True))
        for w, r in zip(write, read, strict=True):
            if r is not None and w is not None and w.value % r.value:
                raise InvalidArgument(
                    f"write chunk shape {_shape_text(write)} "
                    f"is not a multiple of read chunk shape {_shape_text(read)}"
                )
        return replace(
            self,
            write=GridConstraints(shape=write),
            read=GridConstraints(shape=read),
            codec=GridConstraints(shape=codec),
        )

    def to_json(self) -> dict[str, Any]:
        """Its JSON, members sorted, empty ones left out."""
        found: dict[str, Any] = {}
        for usage in USAGES:
            if grid := self.grid(usage).to_json():
                found[f"{usage}_chunk"] = grid
        for hard, suffix in ((True, ""), (False, "_soft_constraint")):
            if self.inner_order is not None and self.inner_order.hard is hard:
                found[f"inner_order{suffix}"] = list(self.inner_order.value)
            origin = values_of(self.grid_origin, hard)
            if any(each is not None for each in origin):
                found[f"grid_origin{suffix}"] = list(origin)
        if self.rank is not None and not _tells_rank(found):
            found["rank"] = self.rank
        return dict(sorted(found.items()))


#: Constrains nothing.
NO_LAYOUT: Final = LayoutState()


def inner_order_of(order: Sequence[int], hard: bool) -> Constraint[tuple[int, ...]]:
    """The constraint for an order given as plain values.

    Raises:
        InvalidArgument: It is no permutation.
        IncompatibleType: It is no sequence of integers.
    """
    try:
        permutation = tuple(int(each.__index__()) for each in order)
    except (TypeError, AttributeError):
        raise IncompatibleType(f"Expected a permutation, but received {order!r}") from None
    if sorted(permutation) != list(range(len(permutation))):
        raise InvalidArgument(f"Invalid permutation: {text(permutation)}")
    return Constraint(permutation, hard)


def grid_origin_of(origin: Sequence[int | None], hard: bool) -> PerDimension[int]:
    """The constraints for an origin given as plain values.

    Raises:
        InvalidArgument: A value is no finite index.
        IncompatibleType: It is no sequence of integers and None.
    """
    return per_dimension(origin, hard, _finite_index)


def _finite_index(value: int) -> int:
    index = value.__index__() if hasattr(value, "__index__") else None
    if index is None:
        raise TypeError
    if not MIN_FINITE_INDEX <= index <= MAX_FINITE_INDEX:
        raise ValueError
    return index


def _hard_shape(grid: GridConstraints, rank: int) -> PerDimension[int]:
    if not grid.shape:
        return (None,) * rank
    return tuple(each if each is not None and each.hard else None for each in grid.shape)


def _shape_text(shape: PerDimension[int]) -> str:
    return text(tuple(0 if each is None else each.value for each in shape))


def _tells_rank(json: Mapping[str, Any]) -> bool:
    """Whether a reader learns the rank from a vector in `json`."""
    return any(
        _tells_rank(value) if isinstance(value, dict) else isinstance(value, list)
        for value in json.values()
    )

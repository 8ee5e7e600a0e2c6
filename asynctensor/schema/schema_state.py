"""All that a schema constrains, as an immutable value, and how two of them merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import check_rank
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.constraint import text
from asynctensor.schema.contradiction import below, between, colliding, contradiction, same
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.domain_merge import merge_domains
from asynctensor.schema.fill_constraint import (
    Fill,
    check_broadcast,
    fill_to_json,
    same_fill,
    unbroadcast,
)
from asynctensor.schema.json_value import dump
from asynctensor.schema.layout_state import NO_LAYOUT, LayoutState
from asynctensor.schema.unit import Unit


@dataclass(frozen=True, slots=True, eq=False)
class SchemaState:
    """Constraints on an array.

    Attributes:
        rank: Number of dimensions, None if unknown; known whenever another member tells it.
        dtype: Data type.
        domain: Domain.
        layout: Chunk layout.
        codec: Codec.
        fill_value: Fill value; broadcasts to `domain`.
        units: Unit per dimension, () if none is known.
    """

    rank: int | None = None
    dtype: data_type | None = None
    domain: IndexDomain | None = None
    layout: LayoutState = NO_LAYOUT
    codec: CodecSpec | None = None
    fill_value: Fill | None = None
    units: tuple[Unit | None, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it constrains nothing."""
        said = (self.rank, self.dtype, self.domain, self.codec, self.fill_value)
        return all([each is None for each in said]) and not self.units and self.layout == NO_LAYOUT

    def with_rank(self, rank: int | None, said_by: str = "rank") -> SchemaState:
        """The same with its rank set.

        Raises:
            InvalidArgument: The rank is out of range, differs from the one there is, or is less
                than that of the fill value.
        """
        if rank is None:
            return self
        check_rank(rank)
        if self.rank is not None and self.rank != rank:
            raise contradiction(
                f"Rank specified by {said_by} ({rank}) does not match existing rank specified by "
                f"schema ({self.rank})",
                "domain" if said_by == "shape" else said_by,
                self.rank_said_by(),
            )
        if self.fill_value is not None and self.fill_value.ndim > rank:
            raise contradiction(
                f"Rank specified by {said_by} ({rank}) is incompatible with existing fill_value "
                f"of shape {text(self.fill_value.shape)}",
                "domain" if said_by == "shape" else said_by,
                "fill_value",
            )
        return replace(self, rank=rank)

    def rank_said_by(self) -> str:
        """The constraint that says the rank, as far as one does."""
        if self.domain is not None:
            return "domain"
        if self.units:
            return "dimension_units"
        if self.layout.rank is not None:
            return f"chunk_layout.{self.layout.rank_said_by()}"
        return "rank"

    def with_dtype(self, new: data_type | None) -> SchemaState:
        """The same with its data type set.

        Raises:
            InvalidArgument: It differs from the one there is.
        """
        if new is None:
            return self
        if self.dtype is not None and self.dtype != new:
            raise contradiction(
                f"Specified dtype ({new.name}) does not match existing value ({self.dtype.name})",
                "dtype",
                "dtype",
            )
        return replace(self, dtype=new)

    def with_domain(self, new: IndexDomain | None, said_by: str = "domain") -> SchemaState:
        """The same with a domain merged in.

        Raises:
            InvalidArgument: It contradicts the domain, rank or fill value there is.
        """
        if new is None:
            return self
        state = self.with_rank(new.rank, said_by)
        domain = merge_domains(self.domain, new)
        if state.fill_value is not None and domain is not None:
            what = "domain is incompatible with fill_value"
            with colliding("domain", "fill_value"):
                check_broadcast(state.fill_value, domain.shape, what)
        return replace(state, domain=domain)

    def with_layout(self, new: LayoutState) -> SchemaState:
        """The same with a chunk layout merged in.

        Raises:
            InvalidArgument: It contradicts the layout or the rank there is.
        """
        with between(lambda _: f"chunk_layout.{new.rank_said_by()}", same):
            state = self.with_rank(new.rank, "chunk_layout")
        with below("chunk_layout"):
            return replace(state, layout=state.layout.merged(new))

    def with_codec(self, new: CodecSpec | None) -> SchemaState:
        """The same with a codec merged in.

        Raises:
            InvalidArgument: It contradicts the codec there is.
        """
        if new is None or self.codec is None:
            return replace(self, codec=new or self.codec)
        with colliding("codec"), below("codec"):
            return replace(self, codec=self.codec.merged(new))

    def with_fill_value(self, new: Fill | None) -> SchemaState:
        """The same with its fill value set.

        Raises:
            InvalidArgument: It differs from the one there is, or does not fit domain or rank.
        """
        if new is None:
            return self
        new = unbroadcast(new)
        if self.domain is not None:
            with colliding("fill_value", "domain"):
                check_broadcast(new, self.domain.shape, "fill_value is incompatible with domain")
        if self.rank is not None and new.ndim > self.rank:
            raise contradiction(
                f"Invalid fill_value for rank {self.rank}: its shape is {text(new.shape)}",
                "fill_value",
                self.rank_said_by(),
            )
        if self.fill_value is None:
            return replace(self, fill_value=new)
        if not same_fill(self.fill_value, new):
            raise contradiction(
                f"Specified fill_value ({_short(new)}) does not match existing value in schema "
                f"({_short(self.fill_value)})",
                "fill_value",
                "fill_value",
            )
        return self

    def with_units(self, new: Sequence[Unit | None]) -> SchemaState:
        """The same with units merged in; None is "unknown".

        Raises:
            InvalidArgument: A unit differs from the known one, or the rank does.
        """
        if not new:
            return self
        state = self.with_rank(len(new), "dimension_units")
        old = state.units or (None,) * len(new)
        for was, now in zip(old, new, strict=True):
            if was is not None and now is not None and was != now:
                raise contradiction(
                    f"Cannot merge dimension units {_units_text(new)} and {_units_text(old)}",
                    "dimension_units",
                    "dimension_units",
                )
        merged = tuple(now if was is None else was for was, now in zip(old, new, strict=True))
        return replace(state, units=merged)

    def merged(self, new: SchemaState) -> SchemaState:
        """What satisfies both.

        Raises:
            InvalidArgument: Nothing does; the text names the constraint and both values.
        """
        with between(lambda path: new.rank_said_by() if path == "rank" else path, same):
            state = self.with_rank(new.rank)
        state = state.with_dtype(new.dtype).with_domain(new.domain)
        state = state.with_layout(new.layout).with_fill_value(new.fill_value)
        return state.with_codec(new.codec).with_units(new.units)

    def to_json(self) -> dict[str, Any]:
        """Its JSON, members sorted, unset ones left out."""
        found: dict[str, Any] = {}
        if layout := replace(self.layout, rank=None).to_json():
            found["chunk_layout"] = layout
        if self.codec is not None:
            found["codec"] = self.codec.to_json()
        if any(unit is not None for unit in self.units):
            found["dimension_units"] = [unit and unit.to_json() for unit in self.units]
        if self.domain is not None:
            found["domain"] = self.domain.to_json()
        if self.dtype is not None:
            found["dtype"] = self.dtype.name
        if self.fill_value is not None:
            found["fill_value"] = fill_to_json(self.fill_value)
        if self.rank is not None:
            found["rank"] = self.rank
        return found

    def key(self) -> tuple[Any, ...]:
        """All but the fill value, for comparisons."""
        units = self.units if any(self.units) else ()
        layout = replace(self.layout.normalized(), rank=None)
        return (self.rank, self.dtype, self.domain, layout, self.codec, units)


#: Constrains nothing.
NO_SCHEMA: Final = SchemaState()


def _short(fill: Fill) -> str:
    found = dump(fill_to_json(fill) if fill.size <= 16 else f"array of shape {fill.shape}")
    return f"{found:.200}"


def _units_text(units: Sequence[Unit | None]) -> str:
    return dump([unit and str(unit) for unit in units])

"""`Schema`: what is wanted of an array, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypedDict, Unpack

import numpy.typing as npt

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.contradiction import colliding, written_in
from asynctensor.schema.data_type import DTypeLike, dtype
from asynctensor.schema.fill_constraint import fill_from_array, fill_from_json
from asynctensor.schema.fill_constraint import same_fill as _same_fill
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import (
    array,
    check_document,
    in_member,
    members,
    merging,
    rank_value,
    string,
)
from asynctensor.schema.keywords import (
    checked_type,
    given_keywords,
    in_keyword,
    rank_of,
    refuse_both,
)
from asynctensor.schema.schema_properties import SchemaProperties
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.schema_transform import transformed
from asynctensor.schema.unit import Unit, as_unit


class SchemaOptions(TypedDict, total=False):
    """Keywords of `Schema`; None is the same as not given."""

    rank: int | None
    dtype: DTypeLike | None
    domain: IndexDomain | None
    shape: Iterable[int] | None
    chunk_layout: ChunkLayout | None
    codec: CodecSpec | None
    fill_value: npt.ArrayLike | None
    dimension_units: Iterable[Unit | str | float | tuple[float, str] | None] | None
    schema: Schema | None


class Schema(SchemaProperties):
    """Constraints on an array that do not depend on its driver; all optional.

    Opening checks a stored array against them, creating makes one that satisfies them. Mutable by
    `update`, not hashable; indexing gives a new schema.

    >>> schema = at.Schema(dtype=at.uint8, shape=[100, 200], fill_value=3)
    >>> schema.update(chunk_layout=at.ChunkLayout(chunk_shape=[10, 20]))
    >>> schema.rank, schema.chunk_layout.read_chunk.shape
    (2, (10, 20))
    >>> schema[..., 5].shape
    (100,)
    """

    __slots__ = ("_state",)
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, json: Any = ..., **constraints: Unpack[SchemaOptions]) -> None:
        """Makes a schema from its JSON, or from the keywords of `update`.

        Raises:
            InvalidArgument: The JSON is not that of a schema, or constraints contradict.
            IncompatibleType: An argument has the wrong type or name.
        """
        self._state = SchemaState()
        if json is not ...:
            refuse_both(constraints)
            check_document(json)
            with written_in(json):
                self._state = _state_from_json(json)
        self.update(**constraints)

    def update(self, **constraints: Unpack[SchemaOptions]) -> None:
        """Adds constraints; where one of them fails, none has been added.

        Args:
            rank: Number of dimensions.
            dtype: Data type.
            domain: Domain; a bound that is infinite and implicit means "unknown".
            shape: The same as a domain of this shape with origin 0.
            chunk_layout: Chunk layout, merged constraint by constraint.
            codec: Codec, merged as its driver does.
            fill_value: What unwritten elements read as; an array that broadcasts to the domain.
            dimension_units: Size of one step along each dimension; None: unknown.
            schema: Another schema, all of whose constraints are added.

        Raises:
            InvalidArgument: A value is not allowed, or contradicts what is constrained already;
                the text names the constraint and both values.
            IncompatibleType: An argument has the wrong type or name.
        """
        state = self._state
        for name, value in given_keywords(constraints, SchemaOptions):
            with in_keyword(name):
                state = _with_keyword(state, name, value)
        self._state = state

    @classmethod
    def from_state(cls, state: SchemaState) -> Schema:
        """The schema with these constraints."""
        self = cls()
        self._state = state
        return self

    @property
    def state(self) -> SchemaState:
        """All constraints as they are now, as an immutable value."""
        return self._state

    def copy(self) -> Schema:
        """An independent copy."""
        return Schema.from_state(self._state)

    def _schema_state(self) -> SchemaState:
        return self._state

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON; `include_defaults` makes no difference: a schema has none."""
        return self._state.to_json()

    @property
    def T(self) -> Schema:  # noqa: N802 (TensorStore's name)
        """With the dimensions in reverse order; of an unknown rank, as it is."""
        return self.copy() if self._state.rank is None else super().T

    def _indexing_transform(self) -> IndexTransform:
        state = self._state
        if state.domain is not None:
            return IndexTransform(state.domain)
        if state.rank is None:
            raise InvalidArgument(
                "The rank of this schema is not specified; update(rank=) before indexing it"
            )
        return IndexTransform(input_rank=state.rank)

    def _with_indexing_transform(self, transform: IndexTransform) -> Schema:
        return Schema.from_state(transformed(self._state, transform))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        mine, theirs = self._state, other._state
        if mine.fill_value is None or theirs.fill_value is None:
            same = mine.fill_value is theirs.fill_value
        else:
            same = _same_fill(mine.fill_value, theirs.fill_value)
        return same and mine.key() == theirs.key()

    def __copy__(self) -> Schema:
        """An independent copy."""
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Schema:
        """An independent copy."""
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Schema.from_state, (self._state,))

    def __repr__(self) -> str:
        return f"Schema({json_repr(self.to_json())})"


def _with_keyword(state: SchemaState, name: str, value: Any) -> SchemaState:
    if name == "rank":
        return state.with_rank(rank_of(value))
    if name == "dtype":
        return state.with_dtype(dtype(value))
    if name == "domain":
        return state.with_domain(checked_type(value, IndexDomain))
    if name == "shape":
        return state.with_domain(IndexDomain(shape=value), "shape")
    if name == "chunk_layout":
        return state.with_layout(checked_type(value, ChunkLayout).state)
    if name == "codec":
        return state.with_codec(checked_type(value, CodecSpec))
    if name == "fill_value":
        return state.with_fill_value(fill_from_array(value, state.dtype))
    if name == "dimension_units":
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise IncompatibleType(f"Expected one unit per dimension, but received {value!r}")
        return state.with_units(tuple(map(as_unit, value)))
    return state.merged(checked_type(value, Schema).state)


_MEMBERS = ("rank", "dtype", "domain", "chunk_layout", "codec", "fill_value", "dimension_units")


def _state_from_json(json: object) -> SchemaState:
    given = members(json, _MEMBERS)
    state = SchemaState()
    for name in _MEMBERS:
        if name not in given:
            continue
        with in_member(name):
            value = _READERS[name](given[name])
        with merging(name):
            state = _with_member(state, name, value)
    return state


def _units(json: object) -> tuple[Unit | None, ...]:
    return array(json, lambda unit: None if unit is None else Unit(json=unit))


#: What reads the members; a fill value is read when the data type is known.
_READERS: dict[str, Callable[[Any], Any]] = {
    "rank": rank_value,
    "dtype": lambda json: dtype(string(json)),
    "domain": lambda json: IndexDomain(json=members(json)),
    "chunk_layout": lambda json: ChunkLayout(json).state,
    "codec": CodecSpec,
    "fill_value": lambda json: json,
    "dimension_units": _units,
}


def _with_member(state: SchemaState, name: str, value: Any) -> SchemaState:
    if name == "rank":
        return state.with_rank(value)
    if name == "dtype":
        return state.with_dtype(value)
    if name == "domain":
        return state.with_domain(value)
    if name == "chunk_layout":
        return state.with_layout(value)
    if name == "codec":
        return state.with_codec(value)
    if name == "fill_value":
        with colliding("fill_value", "fill_value" if state.dtype is None else "dtype"):
            fill = fill_from_json(value, state.dtype)
        return state.with_fill_value(fill)
    return state.with_units(value)

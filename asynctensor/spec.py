"""`Spec`: the description of an array that has not been opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.open_mode import FLAGS, OpenMode
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import dtype
from asynctensor.schema.fill_constraint import Fill
from asynctensor.schema.indexing_operations import IndexingOperations
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import annotated, reject_extra
from asynctensor.schema.schema import Schema, SchemaOptions
from asynctensor.schema.schema_transform import transformed
from asynctensor.schema.unit import Unit
from asynctensor.spec_rules import ANY_RULES, SpecRules
from asynctensor.spec_state import SpecState, placed_kvstore, recheck_option, state_from_json

#: When cached data are read again: always, never, if older than a Unix time, or on opening.
RecheckCacheOption: TypeAlias = "bool | float | str"

_RECHECKS = ("recheck_cached_metadata", "recheck_cached_data")
#: Keywords of `Spec.update` beyond those of `Schema.update`.
SPEC_KEYWORDS: tuple[str, ...] = (
    "open_mode",
    *FLAGS,
    "unbind_context",
    "strip_context",
    "context",
    "kvstore",
    "minimal_spec",
    *_RECHECKS,
    "recheck_cached",
)


class Spec(IndexingOperations):
    """What is needed to open an array: driver, kvstore, constraints, a transform, options.

    Mutable by `update`, not hashable; equal by JSON and by the identity of a bound context.
    Indexing composes the transform and gives a new spec.
    """

    __slots__ = ("_state",)
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, json: Any, *, rules: SpecRules = ANY_RULES) -> None:
        """Makes a spec from JSON or a URL.

        Args:
            json: An object with the member ``driver``; a URL such as
                ``"file:///data/a/|zarr3:"``; or a `Spec`.
            rules: What is known of drivers and kvstores. Without them, members that are not
                common to all drivers are kept unchecked; see `checked`.

        Raises:
            InvalidArgument: It is none; the message gives the path of the wrong member.
        """
        self._state: SpecState
        self._state = json.state if isinstance(json, Spec) else state_from_json(json, rules)

    @classmethod
    def from_state(cls, state: SpecState) -> Spec:
        """The spec that says this."""
        self = cls.__new__(cls)
        self._state = state
        return self

    @property
    def state(self) -> SpecState:
        """All that it says now, as an immutable value."""
        return self._state

    def copy(self) -> Spec:
        """An independent copy."""
        return Spec.from_state(self._state)

    def checked(self, rules: SpecRules) -> Spec:
        """The same spec read again by someone who knows drivers and kvstores.

        Raises:
            InvalidArgument: A driver, kvstore or member is not known to `rules`.
        """
        found = state_from_json(self.to_json(), rules)
        # A transform that is derived from the domain appears in JSON, but was never given.
        transform = None if self._state.transform is None else found.transform
        return Spec.from_state(replace(found, transform=transform, context=self._state.context))

    def update(self, **changes: Any) -> None:
        """Adds constraints, or changes how to open; where one fails, nothing has changed.

        Args:
            open_mode: The open mode; added to the present one if it says neither open nor create.
            open: With `create`, `delete_existing`, `assume_metadata`, `assume_cached_metadata`:
                the flags of `open_mode`, one by one; False is the same as not given.
            unbind_context: Forget a bound context, keep the resources it names.
            strip_context: Forget contexts and context resources.
            context: Bind to this context.
            kvstore: Replaces the kvstore.
            minimal_spec: Accepted; says nothing about a spec that exists.
            recheck_cached_metadata: When to read cached metadata again.
            recheck_cached_data: When to read cached data again.
            recheck_cached: Both; it wins over each.
            **changes: The keywords of `Schema.update`; with a transform they constrain its input
                space.

        Raises:
            InvalidArgument: A value is not allowed, or contradicts a constraint.
            IncompatibleType: An argument has the wrong type or name.
            Unimplemented: The transform does more than translate, permute and reverse dimensions,
                and a constraint other than data type, rank and codec was given.
        """
        schema_changes = {k: v for k, v in changes.items() if k in SchemaOptions.__annotations__}
        for name in changes.keys() - schema_changes.keys() - set(SPEC_KEYWORDS):
            raise IncompatibleType(f"Unexpected keyword argument {name!r}")
        state = _with_open_mode(self._state, changes)
        for name, value in _given(changes):
            with annotated(f"Invalid {name}"):
                state = _with_keyword(state, name, value)
        self._state = state.constrained(schema_changes)

    @property
    def driver(self) -> str:
        """Name of the driver."""
        return self._state.driver

    @property
    def options(self) -> dict[str, Any]:
        """Members that the driver defines (``metadata`` and others), and those of caches."""
        json: dict[str, Any] = {**self._state.options}
        return json

    @property
    def open_mode(self) -> OpenMode:
        """A copy of the open mode."""
        return self._state.open_mode.copy()

    @property
    def kvstore(self) -> KvStoreSpec | None:
        """Where the array is stored; None if that is not said, or the driver uses no kvstore."""
        return self._state.kvstore

    @property
    def base(self) -> Spec | None:
        """The spec below, if the driver is an adapter."""
        base = self._state.base
        return None if base is None else Spec.from_state(base)

    @property
    def url(self) -> str:
        """The URL; it says nothing of schema, transform and options.

        Raises:
            InvalidArgument: There is none.
        """
        return self._state.url()

    @property
    def transform(self) -> IndexTransform | None:
        """From indices of this spec to those of the stored array; None if that is not known."""
        return self._state.effective_transform()

    @property
    def schema(self) -> Schema:
        """All that is known of the array without opening it, in the indices of this spec."""
        effective = self._state.effective_schema()
        transform = self._state.effective_transform()
        if transform is None:
            return effective
        state = transformed(effective.state, transform)
        return Schema.from_state(replace(state, domain=transform.domain))

    @property
    def stored_schema(self) -> Schema:
        """The same as `schema`, in the indices of the stored array: no transform is applied."""
        return self._state.effective_schema()

    @property
    def dtype(self) -> dtype | None:
        """Data type, None if unspecified."""
        return self._state.effective_schema().dtype

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None if unspecified."""
        transform = self.transform
        return self.schema.rank if transform is None else transform.input_rank

    @property
    def ndim(self) -> int | None:
        """The same as `rank`."""
        return self.rank

    @property
    def domain(self) -> IndexDomain | None:
        """Domain, None if unspecified."""
        transform = self.transform
        return None if transform is None else transform.domain

    def _known_domain(self) -> IndexDomain:
        domain = self.domain
        if domain is None:
            raise InvalidArgument("The domain of this spec is not specified; update(domain=)")
        return domain

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().shape

    @property
    def origin(self) -> tuple[int, ...]:
        """Lower bounds of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().origin

    @property
    def size(self) -> int:
        """Number of elements of the domain.

        Raises:
            InvalidArgument: The domain is not specified.
        """
        return self._known_domain().size

    @property
    def chunk_layout(self) -> ChunkLayout:
        """Constraints on the chunk layout."""
        return self.schema.chunk_layout

    @property
    def codec(self) -> CodecSpec | None:
        """Codec, None if unspecified."""
        return self._state.effective_schema().codec

    @property
    def fill_value(self) -> Fill | None:
        """Fill value, None if unspecified."""
        return self.schema.fill_value

    @property
    def dimension_units(self) -> tuple[Unit | None, ...] | None:
        """Unit per dimension (None: unknown), None where the rank is unknown."""
        return self.schema.dimension_units

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON, with `include_defaults` also of members that have their defaults."""
        return self._state.to_json(include_defaults)

    def _indexing_transform(self) -> IndexTransform:
        transform = self.transform
        if transform is not None:
            return transform
        rank = self._state.effective_schema().rank
        if rank is None:
            raise InvalidArgument(
                "Cannot perform indexing operations on Spec with unspecified rank; "
                "update(rank=) first"
            )
        return IndexTransform(input_rank=rank)

    def _with_indexing_transform(self, transform: IndexTransform) -> Spec:
        return Spec.from_state(replace(self._state, transform=transform))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        mine, theirs = self._state, other._state
        return mine.context is theirs.context and bool(self.to_json() == other.to_json())

    def __copy__(self) -> Spec:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Spec.from_state, (self._state,))

    def __repr__(self) -> str:
        return f"Spec({json_repr(self.to_json())})"


def _given(changes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in SPEC_KEYWORDS:
        if changes.get(name) is not None and name not in FLAGS:
            yield name, changes[name]


def _with_open_mode(state: SpecState, changes: dict[str, Any]) -> SpecState:
    flags = {name: bool(changes[name]) for name in FLAGS if changes.get(name)}
    if not flags:
        return state
    if state.base is not None:
        return replace(state, base=_with_open_mode(state.base, changes))
    if not state.driver_rules.chunked:
        # There is nothing to create; TensorStore lets the flags pass here, though not in JSON.
        return state
    return replace(state, open_mode=state.open_mode.updated(OpenMode(**flags)))


#: Keywords that an adapter of one array hands down to it.
_OF_BASE = ("open_mode", "kvstore", *_RECHECKS, "recheck_cached")


def _with_keyword(state: SpecState, name: str, value: Any) -> SpecState:
    if state.base is not None and name in _OF_BASE:
        return replace(state, base=_with_keyword(state.base, name, value))
    if name == "open_mode":
        if not isinstance(value, OpenMode):
            raise IncompatibleType(f"Expected OpenMode, but received {value!r}")
        return replace(state, open_mode=state.open_mode.updated(value))
    if name == "kvstore":
        return replace(state, kvstore=placed_kvstore(KvStoreSpec(value, rules=state.rules), state))
    if name == "context":
        return replace(state, context=value)
    if name == "unbind_context":
        return replace(state, context=None) if value else state
    if name == "strip_context":
        return state.without_context() if value else state
    if name == "minimal_spec":
        return state
    if not state.driver_rules.chunked:
        reject_extra([name])
    members = _RECHECKS if name == "recheck_cached" else (name,)
    return replace(
        state, options={**state.options, **{each: recheck_option(value) for each in members}}
    )

"""`Spec`: the description of an array that has not been opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Unpack

from asynctensor.display.page import Display, Displayed
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.indexable import Indexable
from asynctensor.index_space.transform import IndexTransform
from asynctensor.open_mode import FLAGS, OpenMode
from asynctensor.public_kvstore_spec import PublicKvStoreSpec, kvstore_value
from asynctensor.registry import REGISTRY
from asynctensor.runtime.context import Context
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import dtype
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import check_document
from asynctensor.schema.keywords import checked_type, in_keyword, unexpected_keyword
from asynctensor.schema.schema import Schema, SchemaOptions
from asynctensor.schema.schema_display import schema_display
from asynctensor.schema.schema_properties import SchemaProperties
from asynctensor.schema.schema_state import SchemaState
from asynctensor.schema.schema_transform import transformed
from asynctensor.spec_json import placed_kvstore, recheck_option, state_from_json
from asynctensor.spec_options import SpecOptions
from asynctensor.spec_rules import SpecRules
from asynctensor.spec_state import SpecState

#: Keywords of `Spec.update` beyond those of `Schema.update` and the flags of `OpenMode`, in the
#: order in which they apply.
_KEYWORDS = (
    "open_mode",
    "unbind_context",
    "strip_context",
    "context",
    "kvstore",
    "minimal_spec",
    "recheck_cached_metadata",
    "recheck_cached_data",
    "recheck_cached",
)
_RECHECKS = ("recheck_cached_metadata", "recheck_cached_data")


class Spec(SchemaProperties, Indexable, Displayed):
    """What is needed to open an array: driver, kvstore, constraints, a transform, options.

    Mutable by `update`, not hashable; equal by JSON and by the resources it is bound to.
    Indexing composes the transform and gives a new spec.

    >>> spec = at.Spec({"driver": "zarr3", "kvstore": "memory://a/", "dtype": "uint8"})
    >>> spec.update(shape=[10, 20], create=True)
    >>> spec.rank, spec.shape
    (2, (10, 20))
    >>> print(spec[5:, 3].domain)
    { [5, 10*) }
    >>> at.Spec("memory://a/|zarr3:").url
    'memory://a/|zarr3:'
    """

    __slots__ = ("_state",)
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, json: Any, *, rules: SpecRules = REGISTRY) -> None:
        """Makes a spec from JSON or a URL.

        Args:
            json: An object with the member ``driver``; a URL such as
                ``"file:///data/a/|zarr3:"``; or a `Spec`.
            rules: What is known of drivers and kvstores.

        Raises:
            InvalidArgument: It is none; the message gives the path of the wrong member.
        """
        self._state: SpecState
        if isinstance(json, Spec):
            self._state = json.state
        else:
            check_document(json)
            self._state = state_from_json(json, rules)

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

    def update(self, **changes: Unpack[SpecOptions]) -> None:
        """Adds constraints, or changes how to open; where one fails, nothing has changed.

        Args:
            open_mode: The open mode; added to the present one if it says neither open nor create.
            open: With `create`, `delete_existing`, `assume_metadata`, `assume_cached_metadata`:
                the flags of `open_mode`, one by one; False is the same as not given.
            unbind_context: Name the context resources that it is bound to, and define the names
                in the member ``context``: who opens it shares them no longer.
            strip_context: Forget all context resources, bound or named.
            context: Bind to the resources of this context; what is bound already stays.
            kvstore: Where it is: a spec, its JSON or URL, or a `KvStore`. It must not be known yet.
            minimal_spec: Forget the metadata, but for the data type and the domain.
            recheck_cached_metadata: When to read cached metadata again.
            recheck_cached_data: When to read cached data again.
            recheck_cached: Both; it wins over each.
            **changes: These, and the keywords of `Schema.update`; with a transform they
                constrain its input space.

        Raises:
            InvalidArgument: A value is not allowed, contradicts a constraint, or cannot be carried
                through the transform: a domain and a fill value pass no step, no fixed index and no
                index array.
            IncompatibleType: An argument has the wrong type or name.
        """
        given = dict(changes)
        for name in given.keys() - SpecOptions.__annotations__.keys():
            raise unexpected_keyword(name, SpecOptions)
        state = _with_open_mode(self._state, given)
        for name in _KEYWORDS:
            if given.get(name) is not None:
                with in_keyword(name):
                    state = _with_keyword(state, name, given[name])
        schema = {k: v for k, v in given.items() if k in SchemaOptions.__annotations__}
        self._state = state.constrained(schema)

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
        """A copy of the open mode; of an adapter, that of the array below.

        Of an adapter of several arrays, it is theirs if they have the same.
        """
        return _open_mode(self._state).copy()

    @property
    def kvstore(self) -> PublicKvStoreSpec | None:
        """A copy of where the array, or the one below an adapter, is stored.

        None if that is not said, or the driver has none.
        """
        state = self._state
        while state.base is not None:
            state = state.base
        kvstore = state.kvstore
        return None if kvstore is None else PublicKvStoreSpec(kvstore)

    @property
    def base(self) -> Spec | None:
        """The spec below, if the driver is an adapter; seen as this one, if they share indices.

        Of a view of all cells of a box (`downsample`), it is the part that is in them.
        """
        state = self._state
        if state.base is None:
            return None
        base = Spec.from_state(replace(state.base, tells_derived=True))
        if state.driver_rules.shares_indices:
            return base if state.transform is None else base[state.transform]
        rule, transform = state.driver_rules.base_part, self.transform
        if rule is None or transform is None:
            return base
        domain = base.domain
        if domain is None:
            domain = IndexDomain(rank=transform.output_rank)
        part = rule(state.driver_members(), transform, domain)
        return base if part is None else base[part]

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

    def _schema_state(self) -> SchemaState:
        return self.schema.state

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None if unspecified."""
        transform = self.transform
        return self.stored_schema.rank if transform is None else transform.input_rank

    @property
    def dtype(self) -> dtype | None:
        """Data type, None if unspecified."""
        return self.stored_schema.dtype

    @property
    def domain(self) -> IndexDomain | None:
        """Domain, None if unspecified."""
        transform = self.transform
        return None if transform is None else transform.domain

    @property
    def codec(self) -> CodecSpec | None:
        """How chunks are encoded, None if unspecified."""
        return self.stored_schema.codec

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
        # Bound resources are equal only to themselves; their JSON says less than that.
        bound = [(*state.resources(), *state.passed_on()) for state in (mine, theirs)]
        same = bound[0] == bound[1]
        return same and mine.shown_json() == theirs.shown_json()

    def __copy__(self) -> Spec:
        """See `copy`."""
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Spec:
        """See `copy`: resources are never copied."""
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Spec.from_state, (self._state,))

    def _display(self) -> Display:
        state = self._state
        rows = [("driver", self.driver)]
        if state.kvstore is not None:
            rows.append(("store", repr(state.kvstore.to_json())))
        flags = ", ".join(self.open_mode.flags())
        if flags:
            rows.append(("open mode", flags))
        return schema_display("Spec", self.schema, (), rows)

    def __repr__(self) -> str:
        if not self._state.has_json:
            return "Spec(...)"
        return f"Spec({json_repr(self._state.shown_json())})"


def _open_mode(state: SpecState) -> OpenMode:
    if state.base is not None:
        return _open_mode(state.base)
    below = [_open_mode(layer) for layer in state.layers or ()]
    if below:
        return below[0] if all(each == below[0] for each in below) else OpenMode()
    rules = state.driver_rules
    if rules.has_kvstore and not rules.takes_open_mode:
        # What is stored, and can only be opened.
        return OpenMode(open=True)
    return state.open_mode


def _with_open_mode(state: SpecState, changes: dict[str, Any]) -> SpecState:
    flags = {name: bool(changes[name]) for name in FLAGS if changes.get(name)}
    if not flags:
        return state
    if state.base is not None:
        return replace(state, base=_with_open_mode(state.base, changes))
    if state.layers is not None:
        layers = tuple([_with_open_mode(layer, changes) for layer in state.layers])
        return replace(state, layers=layers)
    if not state.driver_rules.takes_open_mode:
        # There is nothing to create; TensorStore lets the flags pass here, though not in JSON.
        return state
    return replace(state, open_mode=state.open_mode.updated(OpenMode(**flags)))


#: Keywords that an adapter of one array hands down to it.
_OF_BASE = ("open_mode", "kvstore", *_RECHECKS, "recheck_cached")
#: The same of an adapter of several.
_OF_LAYERS = ("open_mode", *_RECHECKS, "recheck_cached")


def _with_keyword(state: SpecState, name: str, value: Any) -> SpecState:
    if state.base is not None and name in _OF_BASE:
        return replace(state, base=_with_keyword(state.base, name, value))
    if state.layers is not None and name in _OF_LAYERS:
        layers = tuple([_with_keyword(layer, name, value) for layer in state.layers])
        return replace(state, layers=layers)
    if name in _RECHECKS or name == "recheck_cached":
        return _with_recheck(state, name, value)
    if name == "open_mode":
        mode = checked_type(value, OpenMode)
        # As for its flags one by one.
        taken = state.driver_rules.takes_open_mode
        return replace(state, open_mode=state.open_mode.updated(mode)) if taken else state
    if name == "kvstore":
        if state.kvstore is not None:
            raise InvalidArgument(
                '"kvstore" is already specified; make a new spec for another place'
            )
        return replace(state, kvstore=placed_kvstore(kvstore_value(value), state))
    if name == "context":
        return state.bound(checked_type(value, Context))
    if name == "unbind_context":
        return state.unbound() if value else state
    if name == "strip_context":
        return state.without_context() if value else state
    assert name == "minimal_spec"
    return state.minimal() if value else state


def _with_recheck(state: SpecState, name: str, value: Any) -> SpecState:
    rules = state.driver_rules
    members = _RECHECKS if name == "recheck_cached" else (name,)
    if not rules.chunked:
        # What has no metadata of its own has one option for all, and what reads nothing has none.
        members = _RECHECKS[1:]
        if members[0] not in (rules.members or ()):
            recheck_option(value)
            return state
    options = {**state.options, **{each: recheck_option(value) for each in members}}
    if rules.spelled_out is not None:
        options = rules.spelled_out(options)
    return replace(state, options=options)

"""All that a spec says, as an immutable value."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.index_space.operations import mark_bounds_implicit
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.open_mode import FLAGS, OpenMode
from asynctensor.pipeline_url import format_component
from asynctensor.registry import REGISTRY
from asynctensor.resource_members import passed_on, resource_type
from asynctensor.resource_names import ResourceNames
from asynctensor.runtime.context import Context, ContextResource
from asynctensor.schema.contradiction import between, in_schema, joined, same
from asynctensor.schema.elements import Elements
from asynctensor.schema.json_value import in_member
from asynctensor.schema.schema import Schema
from asynctensor.schema.schema_inverse import inverse_transformed
from asynctensor.schema.schema_state import NO_SCHEMA, SchemaState
from asynctensor.spec_rules import DriverRules, SpecRules

#: Members of every spec of a chunked format, with their defaults, which are TensorStore's.
CHUNKED_DEFAULTS: Final[Mapping[str, Any]] = {
    "recheck_cached_data": True,
    "recheck_cached_metadata": "open",
    "fill_missing_data_reads": True,
    "store_data_equal_to_fill_value": False,
}
#: Members that name context resources, in every spec of a chunked format.
CHUNKED_RESOURCES: Final = ("cache_pool", "metadata_cache_pool", "data_copy_concurrency")


@dataclass(frozen=True, slots=True, eq=False)
class SpecState:
    """An array that has not been opened.

    Attributes:
        driver: Name of the driver.
        rules: What is known of drivers and kvstores.
        kvstore: Where the array is, if its driver uses a kvstore and this one is known.
        base: The array below, as a state, if the driver is an adapter of one.
        layers: The arrays below, if it is one of several.
        open_mode: How to open it.
        schema: Constraints, seen through `transform`'s output space (that of the stored array).
        transform: From the indices of the view to those of the stored array; None: the identity.
        options: All other members; those that name context resources may hold the resources
            themselves, and then are bound.
    """

    driver: str
    rules: SpecRules = REGISTRY
    kvstore: KvStoreSpec | None = None
    base: SpecState | None = None
    layers: tuple[SpecState, ...] | None = None
    open_mode: OpenMode = field(default_factory=OpenMode)
    schema: SchemaState = NO_SCHEMA
    transform: IndexTransform | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Whether its JSON tells a transform that only follows from the rest.
    tells_derived: bool = True
    #: What `effective_schema` found: adapters ask what is below them again and again.
    _effective: SchemaState | None = field(default=None, init=False, repr=False)

    @property
    def driver_rules(self) -> DriverRules:
        """What is known of the driver."""
        return self.rules.driver(self.driver)

    def driver_members(self) -> dict[str, Any]:
        """A copy of `options`, with the specs below as ``base`` and ``layers``."""
        found = copy.deepcopy(dict(self.options))
        if self.base is not None:
            found["base"] = self.base
        if self.layers is not None:
            found["layers"] = self.layers
        return found

    def effective_schema(self) -> Schema:
        """The schema with what the driver's own members say, of the stored array."""
        if self._effective is None:
            rules = self.driver_rules
            found = Schema.from_state(self.schema)
            if rules.effective_schema is not None:
                found = rules.effective_schema(self.driver_members(), found)
            object.__setattr__(self, "_effective", found.state)
        assert self._effective is not None
        return Schema.from_state(self._effective)

    def constrained(self, changes: Mapping[str, Any]) -> SpecState:
        """The same with more constraints: keywords of `Schema.update`, in the spec's own indices.

        Raises:
            InvalidArgument: They contradict what it says already, or cannot be carried through
                the transform.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            return self
        transform = self.transform
        with between(in_schema, in_schema):
            if transform is None:
                schema = Schema.from_state(self.schema)
                schema.update(**changes)
                state = schema.state
            else:
                new = Schema(rank=transform.input_rank)
                new.update(**changes)
                state = self.schema.merged(inverse_transformed(new.state, transform))
        found = replace(self, schema=state).handed_down()
        # Contradictions with the driver's own members show here, not first when opening.
        found.effective_schema()
        return found

    def handed_down(self) -> SpecState:
        """The same with the constraints that concern the array below moved there."""
        rule = self.driver_rules.base_schema
        if rule is None or self.base is None:
            return self
        kept, below = rule(self.driver_members(), Schema.from_state(self.schema))
        base = self.base
        if not base.has_handed_down(below.state):
            with between(same, lambda path: joined("base", path)):
                base = base.with_schema(below)
        return replace(self, schema=kept.state, base=base)

    def has_handed_down(self, said: SchemaState) -> bool:
        """Whether this is an adapter that knows `said`, and `said` is a rank and a dtype at most.

        These every level says of the one below: told again by each, the levels of a deep spec
        would cost the square of their number.
        """
        if self.base is None or not replace(said, rank=None, dtype=None).is_empty:
            return False
        known = self.effective_schema()
        rank = known.rank if self.transform is None else self.transform.input_rank
        return said.rank in (None, rank) and said.dtype in (None, known.dtype)

    def with_schema(self, schema: Schema) -> SpecState:
        """The same with the constraints of `schema`; see `constrained`."""
        return self.constrained({"schema": schema})

    def effective_transform(self) -> IndexTransform | None:
        """`transform`, or the identity over the domain or rank, None where neither is known."""
        if self.transform is not None:
            return self.transform
        schema = self.effective_schema()
        if schema.domain is not None:
            whole = IndexTransform(schema.domain)
            if self.driver_rules.resizable:
                # A domain in a spec says what shape to create; what is opened may have grown.
                fixed = self.driver_rules.fixed_rank
                moving = whole.input_rank - (0 if fixed is None else fixed(self.driver_members()))
                return mark_bounds_implicit(whole, range(moving), slice(None, True))
            return whole
        return None

    @property
    def has_json(self) -> bool:
        """Whether everything in it is JSON, in the specs below too."""
        below = (*([self.base] if self.base is not None else []), *(self.layers or ()))
        return self.driver_rules.has_json and all(each.has_json for each in below)

    def to_json(self, include_defaults: bool = False) -> dict[str, Any]:
        """Its JSON; that of a bound spec defines its resources in the member ``context``.

        Raises:
            Unimplemented: It holds what is no JSON, here or in a spec below.
        """
        if not self.has_json:
            raise Unimplemented(
                'Error converting object member "driver": JSON representation not supported, as '
                "the spec holds functions; pickle it instead"
            )
        names = self._names()
        return names.define(self.json_with(names, include_defaults))

    def shown_json(self) -> dict[str, Any]:
        """Its JSON with bound resources in brackets, for reading only."""
        names = self._names()
        return names.define(self.json_with(names, bound=True))

    def brief_json(self) -> dict[str, Any]:
        """Its JSON for reading only: of long index arrays the ends."""
        names = self._names()
        return names.define(self.json_with(names, brief=True))

    def json_with(
        self,
        names: ResourceNames,
        include_defaults: bool = False,
        bound: bool = False,
        brief: bool = False,
    ) -> dict[str, Any]:
        """Its JSON within that of something else, which defines the names of resources."""
        rules = self.driver_rules
        found: dict[str, Any] = {"driver": self.driver}
        if include_defaults:
            found |= _defaults(rules)
        found |= names.members(self._options_json(include_defaults), bound, rules.passes_on)
        if self.kvstore is not None:
            found["kvstore"] = self.kvstore.json_with(names, include_defaults, bound)
        if self.base is not None:
            found["base"] = self.base.json_with(names, include_defaults, bound, brief)
        if self.layers is not None:
            found["layers"] = [
                each.json_with(names, include_defaults, bound, brief) for each in self.layers
            ]
        flags = self.open_mode.flags()
        if not flags.get("create"):
            flags.pop("open", None)
        found |= flags
        schema = self.schema.to_json()
        schema.pop("rank", None)
        schema.pop("dtype", None)
        effective = self.effective_schema()
        if effective.dtype is not None:
            found["dtype"] = effective.dtype.name
        if include_defaults:
            rank = {} if effective.rank is None else {"rank": effective.rank}
            schema |= rank | ({"dtype": found["dtype"]} if "dtype" in found else {})
            schema = dict(sorted(schema.items()))
        if schema:
            found["schema"] = schema
        # Nobody but the driver knows which bounds of a derived transform are implicit.
        follows = rules.members is not None and self.tells_derived
        transform = self.effective_transform() if follows else self.transform
        if transform is not None:
            found["transform"] = transform.brief_json() if brief else transform.to_json()
        elif effective.rank is not None:
            found["rank"] = effective.rank
        if self.base is not None and not include_defaults:
            # What the adapter says of its base already.
            known = rules.passes_to_base & found.keys()
            for name in known | ({"rank"} if "transform" in found else set()):
                found["base"].pop(name, None)
        return dict(sorted(found.items()))

    def _options_json(self, include_defaults: bool) -> dict[str, Any]:
        chunked = self.driver_rules.chunked
        return {
            name: value.to_json() if isinstance(value, Elements) else copy.deepcopy(value)
            for name, value in self.options.items()
            if include_defaults or not chunked or CHUNKED_DEFAULTS.get(name, ...) != value
        }

    def url(self) -> str:
        """Its URL, which says nothing of schema, transform and options.

        Raises:
            InvalidArgument: There is none.
        """
        rules = self.driver_rules
        if rules.scheme is None:
            raise InvalidArgument(f'Driver "{self.driver}" has no URL; use the JSON of the spec')
        if self.base is not None:
            below = self.base.url()
        elif self.kvstore is not None:
            below = self.kvstore.url
        else:
            raise InvalidArgument("A spec without a kvstore has no URL")
        path = self.options.get(rules.url_path or "", "")
        if rules.url_path == "dtype":
            path = "" if self.schema.dtype is None else self.schema.dtype.name
        return f"{below}|{format_component(rules.scheme, str(path), is_root=False)}"

    def with_silent_base(self) -> SpecState:
        """The same, whose base tells no transform but its own, if it has the same indices.

        So TensorStore shows what was not read from JSON: arrays that are open, and `cast` of specs.
        """
        if self.base is None or not self.driver_rules.shares_indices:
            return self
        return replace(self, base=replace(self.base, tells_derived=False))

    def minimal(self) -> SpecState:
        """The same without what the driver's metadata says beyond data type and domain."""
        options = {k: v for k, v in self.options.items() if k != "metadata"}
        schema, transform = self.schema, self.transform
        if len(options) < len(self.options):
            schema = schema.with_dtype(self.effective_schema().dtype)
            transform = self.effective_transform()
        base = self.base and self.base.minimal()
        layers = self.layers and tuple(each.minimal() for each in self.layers)
        return replace(
            self, base=base, layers=layers, options=options, schema=schema, transform=transform
        )

    def _resource_types(self) -> dict[str, str]:
        """The members that name context resources, and the types of these."""
        rules = self.driver_rules
        members = [*rules.resources, *(CHUNKED_RESOURCES if rules.chunked else ())]
        return {name: resource_type(name) for name in members}

    def without_context(self) -> SpecState:
        """The same without context and context resources."""
        gone = {"context", *self._resource_types()}
        return replace(
            self,
            kvstore=self.kvstore and self.kvstore.without_context(),
            base=self.base and self.base.without_context(),
            layers=self.layers and tuple(each.without_context() for each in self.layers),
            options={k: v for k, v in self.options.items() if k not in gone},
        )

    def bound(self, context: Context) -> SpecState:
        """The same with the resources of `context` in place of their names.

        What is bound already stays. What the spec itself defines in its member ``context`` comes
        before `context`.

        Raises:
            InvalidArgument: `context` has no resource of a name.
        """
        options = dict(self.options)
        if "context" in options:
            with in_member("context"):
                context = Context(options.pop("context"), context)
        types = self._resource_types()
        if self.driver_rules.passes_on:
            options = {**passed_on(context), **options}
        for name, type_name in types.items():
            if name in options:
                with in_member(name):
                    options[name] = context.resolve(type_name, options[name])
            elif name == type_name and not self.driver_rules.passes_on:
                options[name] = context.resolve(name)
        kvstore = self.kvstore
        if kvstore is not None:
            with in_member("kvstore"):
                kvstore = kvstore.bound(context)
        return replace(
            self,
            kvstore=kvstore,
            base=self.base and self.base.bound(context),
            layers=self.layers and tuple(each.bound(context) for each in self.layers),
            options=options,
        )

    def bound_as(self, other: SpecState) -> SpecState:
        """The same with the resources that `other`, which is made of the same, is bound to."""
        bound = {k: v for k, v in other.options.items() if isinstance(v, ContextResource)}
        kvstore, base, layers = self.kvstore, self.base, self.layers
        if kvstore and other.kvstore:
            kvstore = kvstore.bound_as(other.kvstore)
        if base and other.base:
            base = base.bound_as(other.base)
        if layers and other.layers and len(layers) == len(other.layers):
            pairs = zip(layers, other.layers, strict=True)
            layers = tuple(mine.bound_as(theirs) for mine, theirs in pairs)
        options = {**self.options, **bound}
        return replace(self, kvstore=kvstore, base=base, layers=layers, options=options)

    def unbound(self) -> SpecState:
        """The same with names for the resources that it is bound to, defined in ``context``."""
        names = self._names()
        state = self._named(names)
        if not names.context:
            return state
        context = {**state.options.get("context", {}), **names.context}
        return replace(state, options={**state.options, "context": context})

    def _named(self, names: ResourceNames) -> SpecState:
        return replace(
            self,
            kvstore=self.kvstore and self.kvstore.named(names),
            base=self.base and self.base._named(names),
            layers=self.layers and tuple(each._named(names) for each in self.layers),
            options=names.members(self.options, False, self.driver_rules.passes_on),
        )

    def resources(self) -> Iterator[ContextResource]:
        """The resources that it is bound to, each as often as it is used."""
        if not self.driver_rules.passes_on:
            yield from self._own_resources()
        for below in (self.kvstore, self.base, *(self.layers or ())):
            if below is not None:
                yield from below.resources()

    def passed_on(self) -> Iterator[ContextResource]:
        """The resources that it is bound to only for what it will find."""
        if self.driver_rules.passes_on:
            yield from self._own_resources()
        for below in (self.base, *(self.layers or ())):
            if below is not None:
                yield from below.passed_on()

    def _own_resources(self) -> Iterator[ContextResource]:
        return (v for v in self.options.values() if isinstance(v, ContextResource))

    def _names(self) -> ResourceNames:
        return ResourceNames(self.resources(), self.passed_on())

    def found_to_be(self, driver: str) -> SpecState:
        """The same of another driver; it keeps the resources that this one has."""
        found = replace(self, driver=driver)
        mine = self._resource_types().keys() - found._resource_types().keys()
        options = {k: v for k, v in self.options.items() if k not in mine}
        return replace(found, options=options)


def _defaults(rules: DriverRules) -> dict[str, Any]:
    found: dict[str, Any] = {"context": {}, "schema": {}, **dict(rules.defaults)}
    if rules.chunked:
        found |= CHUNKED_DEFAULTS
        found |= {name: False for name in FLAGS if name not in ("open", "create")}
        found |= {name: name for name in ("cache_pool", "data_copy_concurrency")}
    return found

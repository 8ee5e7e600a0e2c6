"""`Context`: the resources (pools, caches, locks) that stores and arrays share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, overload

from asynctensor.errors import InvalidArgument
from asynctensor.near_names import near
from asynctensor.runtime.resource_type import ResourceRegistry, ResourceType, quoted
from asynctensor.runtime.resources import STANDARD_RESOURCES

#: Longest line of a repr; longer ones are broken, one member a line.
_LINE = 80


class _Reference:
    """A resource specified by the key of another one of the same type."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class _Configuration:
    """A resource specified by its own configuration."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


#: What a key stands for; None: a fresh default resource.
_Entry: TypeAlias = "_Reference | _Configuration | None"


class ConcealedJson(dict[str, Any]):
    """The JSON of a resource that has a secret: without that, but it stands for all of it.

    Whatever shows, writes or pickles it, shows, writes and pickles plain JSON.

    Attributes:
        config: What the resource is made from.
    """

    __slots__ = ("config",)

    def __init__(self, json: Mapping[str, Any], config: Any) -> None:
        super().__init__(json)
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConcealedJson) and bool(self.config == other.config)

    __hash__ = None

    def __copy__(self) -> ConcealedJson:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ConcealedJson:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (dict, (dict(self),))


def plain_context(json: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a context in which nothing stands for a secret any more."""
    return {k: dict(v) if isinstance(v, ConcealedJson) else v for k, v in json.items()}


def _parse(resource_type: ResourceType, json: Any) -> _Entry:
    if json is None:
        return None
    if isinstance(json, ConcealedJson):
        return _Configuration(json.config)
    if not isinstance(json, str):
        return _Configuration(resource_type.parse(json))
    if json.partition("#")[0] != resource_type.name:
        raise InvalidArgument(
            f"Invalid spec or reference to {quoted(resource_type.name)} resource: {quoted(json)} "
            f"(a reference names a resource of the same type)"
        )
    return _Reference(json)


class ContextResource:
    """A resource of a context. Equal to itself only; shared by whoever refers to it.

    >>> context = at.Context()
    >>> context["cache_pool"] is context["cache_pool"]
    True
    >>> context["cache_pool"] == at.Context()["cache_pool"]
    False

    Attributes:
        resource_type: Its kind.
        config: Its validated configuration.
        key: By what the context knows it; empty for one that a spec has for itself.
    """

    __slots__ = ("__weakref__", "_made", "_registry", "config", "key", "resource_type")

    def __init__(
        self, registry: ResourceRegistry, type_name: str, config: Any, key: str = ""
    ) -> None:
        self._registry = registry
        self.key = key
        self.resource_type = registry.of_key(type_name)
        self.config = config
        self._made: list[Any] = []

    @property
    def value(self) -> Any:
        """The object itself, made when first asked for."""
        made = self._made
        if not made:
            # Two threads may both make it: the first to append wins, the other one is dropped.
            made.append(self.resource_type.make(self.config))
        return made[0]

    def to_json(self, include_defaults: bool = False) -> Any:
        """The JSON that specifies such a resource.

        Args:
            include_defaults: Whether to include members that have their default value.
        """
        return self.resource_type.to_json(self.config, include_defaults)

    def __reduce__(self) -> tuple[object, ...]:
        # What the object holds stays here; that it is one and the same is kept by the pickle.
        return (ContextResource, (self._registry, self.resource_type.name, self.config, self.key))

    def __copy__(self) -> ContextResource:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ContextResource:
        # A copy would be another resource: what refers to it would no longer share it.
        return self

    def __repr__(self) -> str:
        return f"Context.Resource({self.to_json()!r})"


class ContextSpec:
    """A parsed specification of a context.

    >>> spec = at.Context.Spec({"cache_pool#big": {"total_bytes_limit": 10**9}})
    >>> at.Context(spec)["cache_pool#big"].to_json()
    {'total_bytes_limit': 1000000000}

    Args:
        json: Maps ``"<type>"`` or ``"<type>#<id>"`` to a specification of a resource, to the key
            of another resource of that type, or to None (a fresh default one).

    Raises:
        InvalidArgument: It is not such a map; the message says where.
    """

    __slots__ = ("_entries", "_registry")

    def __init__(self, json: Any, *, registry: ResourceRegistry = STANDARD_RESOURCES) -> None:
        if not isinstance(json, Mapping):
            raise InvalidArgument(f"Expected object, but received: {quoted(json)}")
        self._registry = registry
        entries: dict[str, _Entry] = {}
        for key, value in json.items():
            name = key.partition("#")[0] if isinstance(key, str) else None
            if name not in registry:
                hint = near(name, registry) if name else ""
                raise InvalidArgument(f"Invalid context resource identifier: {quoted(key)}{hint}")
            kind = registry.of_key(key)
            try:
                entries[key] = _parse(kind, value)
            except InvalidArgument as error:
                where = f"Error parsing object member {quoted(key)}"
                raise InvalidArgument(f"{where}: {error.message}") from None
        self._entries = {key: entries[key] for key in sorted(entries)}

    @property
    def registry(self) -> ResourceRegistry:
        """The kinds of resources that it may name."""
        return self._registry

    def _get(self, key: str) -> tuple[bool, _Entry]:
        return key in self._entries, self._entries.get(key)

    def to_json(self, include_defaults: bool = False) -> Any:
        """The JSON of the specification.

        Args:
            include_defaults: Whether to include members that have their default value.
        """
        json: dict[str, Any] = {}
        for key, entry in self._entries.items():
            if isinstance(entry, _Configuration):
                resource_type = self._registry.of_key(key)
                json[key] = resource_type.to_json(entry.value, include_defaults)
            else:
                json[key] = entry.key if entry is not None else None
        return json

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore_spec, (self.to_json(include_defaults=True), self._registry))

    def __repr__(self) -> str:
        json = self.to_json()
        text = f"Context.Spec({json!r})"
        if len(text) <= _LINE:
            return text
        lines = "".join(f"  {key!r}: {value!r},\n" for key, value in json.items())
        return f"Context.Spec({{\n{lines}}})"


def _restore_spec(json: Any, registry: ResourceRegistry) -> ContextSpec:
    return ContextSpec(json, registry=registry)


_ABSENT: Any = object()
ContextSpecLike: TypeAlias = "ContextSpec | Mapping[str, Any]"


class Context:
    """Resources, made when first asked for, and shared by everything opened with this context.

    Each default context has resources of its own: to share them, share the context. A child
    takes from its parent what its own specification does not name. Safe to use from any thread.

    >>> context = at.Context({"cache_pool": {"total_bytes_limit": 1_000_000}})
    >>> first = at.open("memory://a/|zarr3:", context=context, create=True, dtype="int8", shape=[2])
    >>> first.result().write(5).result()
    >>> at.open("memory://a/|zarr3:", context=context).result()[0].read().result()
    array(5, dtype=int8)
    >>> context["cache_pool"]
    Context.Resource({'total_bytes_limit': 1000000})

    Args:
        spec: A `Context.Spec` or its JSON; without it a default context.
        parent: The context to inherit from.
        json: Another name of `spec`.

    Raises:
        InvalidArgument: The JSON is not a specification.
    """

    Spec: TypeAlias = ContextSpec
    Resource: TypeAlias = ContextResource

    __slots__ = ("__weakref__", "_parent", "_registry", "_resources", "_spec")

    @overload
    def __init__(self) -> None: ...

    @overload
    def __init__(self, spec: ContextSpecLike, parent: Context | None = None) -> None: ...

    @overload
    def __init__(self, *, json: ContextSpecLike, parent: Context | None = None) -> None: ...

    def __init__(
        self,
        spec: ContextSpecLike = _ABSENT,
        parent: Context | None = None,
        *,
        json: ContextSpecLike = _ABSENT,
    ) -> None:
        spec = json if spec is _ABSENT else spec
        if parent is not None and not isinstance(parent, Context):
            raise InvalidArgument(f"parent must be a Context, but is: {parent!r}")
        if spec is _ABSENT:
            parsed = None
        elif isinstance(spec, ContextSpec):
            parsed = spec
        else:
            inherited = STANDARD_RESOURCES if parent is None else parent._registry
            parsed = ContextSpec(spec, registry=inherited)
        self._spec = parsed
        self._parent = parent
        self._registry: ResourceRegistry = STANDARD_RESOURCES if parsed is None else parsed.registry
        self._resources: dict[str, ContextResource] = {}

    @property
    def parent(self) -> Context | None:
        """The context from which this one inherits."""
        return self._parent

    @property
    def spec(self) -> ContextSpec | None:
        """What this context was made from; None for a default one."""
        return self._spec

    def __getitem__(self, key: str) -> ContextResource:
        """The resource with that key, made now if need be.

        Args:
            key: ``"<type>"`` or ``"<type>#<id>"``.

        Raises:
            InvalidArgument: There is no such type, no such resource, or a cycle of references.
        """
        return self._find(key, [])

    def get(self, key: str) -> ContextResource:
        """The same as ``self[key]``."""
        return self._find(key, [])

    def resolve(self, type_name: str, json: Any = _ABSENT) -> ContextResource:
        """The resource that a member of a spec asks for.

        Args:
            type_name: The type of the resource, which is the name of the member.
            json: The member: a key (a reference), a specification (a resource of its own), None
                (a fresh default one); absent: the one that this context has under `type_name`.

        Raises:
            InvalidArgument: `json` specifies no resource of that type.
        """
        resource_type = self._registry.of_key(type_name)
        if json is _ABSENT:
            return self._find(type_name, [])
        if isinstance(json, ContextResource):
            if json.resource_type is not resource_type:
                raise InvalidArgument(
                    f"Expected a {quoted(type_name)} resource, but received one of type "
                    f"{quoted(json.resource_type.name)}"
                )
            return json
        entry = _parse(resource_type, json)
        if isinstance(entry, _Reference):
            return self._find(entry.key, [])
        return self._make(resource_type, entry)

    def holding(self, resources: Mapping[str, ContextResource]) -> Context:
        """A child that has these resources, by their keys; the rest is this context's."""
        child = Context({}, self)
        child._resources.update(resources)
        return child

    def _make(
        self, resource_type: ResourceType, entry: _Configuration | None, key: str = ""
    ) -> ContextResource:
        default = resource_type.default_json
        config = resource_type.parse(default) if entry is None else entry.value
        return ContextResource(self._registry, resource_type.name, config, key)

    def _find(self, key: str, path: list[tuple[str, str]]) -> ContextResource:
        found = self._resources.get(key)
        if found is not None:
            return found
        resource_type = self._registry.of_key(key)
        specified: bool = False
        entry: _Entry = None
        if self._spec is not None:
            specified, entry = self._spec._get(key)
        if isinstance(entry, _Reference):
            resource = self._follow(key, entry, path)
        elif specified:
            resource = self._make(resource_type, entry, key)
        elif self._parent is not None:
            resource = self._parent._find(key, path)
        elif key == resource_type.name:
            resource = self._make(resource_type, None, key)
        else:
            raise InvalidArgument(f"Resource not defined: {quoted(key)}")
        # Atomic: of two threads that come here at once, both get what the first put there.
        return self._resources.setdefault(key, resource)

    def _follow(self, key: str, entry: _Reference, path: list[tuple[str, str]]) -> ContextResource:
        step = (key, entry.key)
        if step in path:
            steps = " -> ".join(f"{quoted(a)}:{quoted(b)}" for a, b in path)
            raise InvalidArgument(f"Context resource reference cycle: {steps}")
        return self._find(entry.key, [*path, step])

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore_context, (self._spec, self._parent, self._resources))

    def __repr__(self) -> str:
        return "Context()" if self._spec is None else f"Context({self._spec.to_json()!r})"


def _restore_context(
    spec: ContextSpec | None, parent: Context | None, resources: dict[str, ContextResource]
) -> Context:
    context = Context() if spec is None else Context(spec, parent)
    context._resources.update(resources)
    return context

"""`KvStoreSpec`: which kvstore, and which path in it, as an immutable value.

Users hold a `PublicKvStoreSpec`, which can be changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.pipeline_url import (
    UrlComponent,
    format_component,
    parse_pipeline,
    refused_query,
    shown_url,
)
from asynctensor.registry import REGISTRY
from asynctensor.resource_members import checked_resources, is_quiet, is_quiet_name
from asynctensor.resource_names import ResourceNames
from asynctensor.runtime.context import Context, ContextResource
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import (
    annotated,
    dump,
    expected,
    in_member,
    members,
    reject_extra,
    string,
)
from asynctensor.spec_rules import DriverRules, KvStoreRules, SpecRules

_COMMON = frozenset({"driver", "path", "base", "context"})


class KvStoreSpec:
    """A kvstore that has not been opened.

    Immutable and hashable, equal by JSON. Members that name context resources may hold the
    resources themselves: then they are *bound*.

    Attributes:
        rules: What is known of drivers and kvstores.
    """

    __slots__ = ("_base", "_driver", "_options", "_path", "rules")

    def __init__(self, json: Any, *, rules: SpecRules = REGISTRY) -> None:
        """Makes a spec from JSON or from a URL.

        Args:
            json: ``{"driver": ..., "path": ..., ...}``, a URL such as ``"file:///data/"``, or a
                `KvStoreSpec`.
            rules: What is known of drivers and kvstores; by default, all that are registered.

        Raises:
            InvalidArgument: It is none; the message gives the path of the wrong member.
        """
        self.rules = rules
        if isinstance(json, KvStoreSpec):
            self._take(json._driver, json._path, json._base, json._options)
            return
        if isinstance(json, str):
            components = parse_pipeline(json)
            with annotated(f'Parsing spec from url: "{shown_url(json)}"'):
                made = kvstore_of_url(components, rules)
            self._take(made._driver, made._path, made._base, made._options)
            return
        found = members(json)
        with in_member("driver"):
            if "driver" not in found:
                raise InvalidArgument("Expected string, but member is missing")
            kvstore = rules.kvstore(string(found["driver"]))
        if kvstore.members is not None:
            common = _COMMON if kvstore.adapter else _COMMON - {"base"}
            reject_extra(found, kvstore.members | common)
        with in_member("path"):
            path = string(found.get("path", ""))
        base = None
        if "base" in found or kvstore.adapter:
            with in_member("base"):
                if "base" not in found:
                    raise InvalidArgument("Expected object, but member is missing")
                base = kvstore_from_json(found["base"], rules)
        options = {k: v for k, v in found.items() if k not in ("driver", "path", "base")}
        options = checked_resources(options, kvstore.resources)
        if kvstore.check is not None:
            options = kvstore.check(options, lambda json: _form(json, rules))
        if kvstore.place is not None:
            options, path = kvstore.place(options, path)
        self._take(kvstore.driver, path, base, options)

    def _take(
        self, driver: str, path: str, base: KvStoreSpec | None, options: Mapping[str, Any]
    ) -> None:
        self._driver, self._path, self._base = driver, path, base
        self._options = {
            k: copy.deepcopy(v) for k, v in sorted(options.items()) if k != "context" or v
        }

    @classmethod
    def of(
        cls,
        driver: str,
        path: str = "",
        *,
        base: KvStoreSpec | None = None,
        options: Mapping[str, Any] | None = None,
        rules: SpecRules = REGISTRY,
    ) -> KvStoreSpec:
        """The spec of these parts, which are not checked."""
        self = cls.__new__(cls)
        self.rules = rules
        self._take(driver, path, base, options or {})
        return self

    @property
    def driver(self) -> str:
        """Name of the kvstore driver."""
        return self._driver

    @property
    def path(self) -> str:
        """Prefix of all keys, which it begins without any separator of its own."""
        return self._path

    @property
    def base(self) -> KvStoreSpec | None:
        """The kvstore below, if this is an adapter."""
        return self._base

    @property
    def options(self) -> dict[str, Any]:
        """A copy of all other members."""
        return copy.deepcopy(self._options)

    @property
    def url(self) -> str:
        """The URL; it says nothing of `options`.

        Raises:
            Unimplemented: There is no URL for this kvstore.
            InvalidArgument: There is none for this path.
        """
        kvstore = self.rules.kvstore(self._driver)
        if kvstore.scheme is None:
            raise Unimplemented(
                f"URL representation not supported by kvstore {dump(self._driver)}; use its JSON"
            )
        if kvstore.urls is not None:
            written = kvstore.urls.write(self._options, self._path)
            return written if self._base is None else f"{self._base.url}|{written}"
        if self._base is not None:
            component = format_component(kvstore.scheme, self._path, is_root=False)
            return f"{self._base.url}|{component}"
        if kvstore.absolute_path and not self._path.startswith("/"):
            raise InvalidArgument(
                f"{self._driver}: URIs do not support relative paths: {dump(self._path)}"
            )
        return format_component(kvstore.scheme, self._path, is_root=True)

    def with_path(self, path: str) -> KvStoreSpec:
        """The same kvstore with another path."""
        return KvStoreSpec.of(
            self._driver, path, base=self._base, options=self._options, rules=self.rules
        )

    def as_directory(self) -> KvStoreSpec:
        """The same with a path that is empty or ends in ``/``."""
        if not self._path or self._path.endswith("/"):
            return self
        return self.with_path(self._path + "/")

    def without_context(self) -> KvStoreSpec:
        """The same without context and context resources."""
        resources = self.rules.kvstore(self._driver).resources | {"context"}
        options = {k: v for k, v in self._options.items() if k not in resources}
        return self._with(
            self._base and self._base.without_context(),
            self._with_layers(options, lambda base: base.without_context()),
        )

    def bound(self, context: Context) -> KvStoreSpec:
        """The same with the resources of `context` in place of their names.

        What is bound already stays. What the spec itself defines in its member ``context`` comes
        before `context`.

        Raises:
            InvalidArgument: `context` has no resource of a name.
        """
        options = dict(self._options)
        if "context" in options:
            with in_member("context"):
                context = Context(options.pop("context"), context)
        for name in self.rules.kvstore(self._driver).resources:
            with in_member(name):
                member = (options[name],) if name in options else ()
                resource = context.resolve(name, *member)
                if member or not is_quiet(resource):
                    options[name] = resource
        base = self._base and self._base.bound(context)
        return self._with(base, self._with_layers(options, lambda below: below.bound(context)))

    def bound_as(self, other: KvStoreSpec) -> KvStoreSpec:
        """The same with the resources that `other`, which has the same stores, is bound to."""
        base = self._base and other._base and self._base.bound_as(other._base)
        bound = {k: v for k, v in other._options.items() if isinstance(v, ContextResource)}
        theirs = iter(other._below())
        layers = self._with_layers(
            {**self._options, **bound}, lambda below: below.bound_as(next(theirs, below))
        )
        return self._with(base or self._base, layers)

    def unbound(self) -> KvStoreSpec:
        """The same with names for the resources that it is bound to, defined in ``context``."""
        names = ResourceNames(self.resources())
        found = self.named(names)
        if not names.context:
            return found
        context = {**found._options.get("context", {}), **names.context}
        return found._with(found._base, {**found._options, "context": context})

    def named(self, names: ResourceNames) -> KvStoreSpec:
        """The same with these names for the resources that it is bound to."""
        base = self._base and self._base.named(names)
        options = self._with_layers(self._options, lambda below: below.named(names))
        return self._with(base, names.members(options, bound=False))

    def resources(self) -> Iterator[ContextResource]:
        """The resources that it is bound to, each as often as it is used."""
        yield from (v for v in self._options.values() if isinstance(v, ContextResource))
        for below in (self._base, *self._below()):
            if below is not None:
                yield from below.resources()

    def _below(self) -> list[KvStoreSpec]:
        """The kvstores in ``layers``."""
        if not self.rules.kvstore(self._driver).has_layers:
            return []
        layers = self._options.get("layers", ())
        return [_read_back(layer["base"], self.rules) for layer in layers]

    def _with_layers(
        self, options: Mapping[str, Any], form: Callable[[KvStoreSpec], Any]
    ) -> dict[str, Any]:
        """`options` with another form of each kvstore in ``layers``."""
        found = dict(options)
        if below := self._below():
            pairs = zip(found["layers"], below, strict=True)
            found["layers"] = [{**layer, "base": form(base)} for layer, base in pairs]
        return found

    def _with(self, base: KvStoreSpec | None, options: Mapping[str, Any]) -> KvStoreSpec:
        return KvStoreSpec.of(
            self._driver, self._path, base=base, options=options, rules=self.rules
        )

    def __add__(self, suffix: str) -> KvStoreSpec:
        return self.with_path(self._path + _text(suffix))

    def __truediv__(self, component: str) -> KvStoreSpec:
        return self.with_path(joined(self._path, _text(component)))

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON; that of a bound spec defines its resources in the member ``context``."""
        names = ResourceNames(self.resources())
        return names.define(self.json_with(names, include_defaults))

    def json_with(
        self, names: ResourceNames, include_defaults: bool = False, bound: bool = False
    ) -> dict[str, Any]:
        """Its JSON within that of something else, which defines the names of resources."""
        found: dict[str, Any] = {"driver": self._driver}
        if include_defaults:
            rules = self.rules.kvstore(self._driver)
            found |= dict(rules.defaults) | {"path": "", "context": {}}
            found |= {name: name for name in rules.resources if not is_quiet_name(name)}
        options = self._with_layers(
            self._options, lambda below: below.json_with(names, include_defaults, bound)
        )
        found |= copy.deepcopy(names.members(options, bound))
        if self._path:
            found["path"] = self._path
        if self._base is not None:
            found["base"] = self._base.json_with(names, include_defaults, bound)
        return dict(sorted(found.items()))

    def _parts(self) -> tuple[Any, ...]:
        return (self._driver, self._path, self._base, self._options)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KvStoreSpec):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self._driver, self._path, self._base))

    def __deepcopy__(self, memo: dict[int, Any]) -> KvStoreSpec:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self._driver, self._path, self._base, self._options, self.rules))

    def __repr__(self) -> str:
        names = ResourceNames(self.resources())
        return f"KvStore.Spec({json_repr(names.define(self.json_with(names, bound=True)))})"


def kvstore_of_url(components: Sequence[UrlComponent], rules: SpecRules) -> KvStoreSpec:
    """The kvstore that a pipeline of kvstores names.

    Raises:
        InvalidArgument: A component is no kvstore, or none of this place in a pipeline.
    """
    found: KvStoreSpec | None = None
    for component in components:
        kvstore = rules.scheme(component.scheme, first=found is None)
        if isinstance(kvstore, DriverRules) or kvstore.adapter is (found is None):
            raise InvalidArgument(
                f'"{component}" is not a {"kvstore adapter" if found else "root kvstore"} in a URL'
            )
        if kvstore.urls is not None:
            with annotated(f'Invalid kvstore URL component "{component}"'):
                options, path = kvstore.urls.read(component)
            found = KvStoreSpec.of(kvstore.driver, path, base=found, options=options, rules=rules)
            continue
        if component.query is not None:
            raise refused_query(component)
        path = component.decoded_path()
        _check_path(component, kvstore, path)
        if kvstore.absolute_path:
            path = _normal_path(path)
        found = KvStoreSpec.of(kvstore.driver, path, base=found, rules=rules)
    if found is None:
        raise InvalidArgument("URL must be non-empty")
    return found


def kvstore_from_json(json: Any, rules: SpecRules) -> KvStoreSpec:
    """`KvStoreSpec`, which refuses what is neither object, URL nor spec (or has a `bound_spec`).

    Raises:
        InvalidArgument: It is none.
    """
    json = getattr(json, "bound_spec", json)
    if not isinstance(json, (str, Mapping, KvStoreSpec)):
        raise expected("object", json)
    return KvStoreSpec(json, rules=rules)


def _form(json: Any, rules: SpecRules) -> dict[str, Any]:
    form: dict[str, Any] = kvstore_from_json(json, rules).to_json()
    return form


def _read_back(form: Any, rules: SpecRules) -> KvStoreSpec:
    """The spec whose `_form` this is, or this itself; nothing is checked again."""
    if isinstance(form, KvStoreSpec):
        return form
    options = dict(form)
    driver, path, base = options.pop("driver"), options.pop("path", ""), options.pop("base", None)
    below = None if base is None else _read_back(base, rules)
    return KvStoreSpec.of(driver, path, base=below, options=options, rules=rules)


def joined(path: str, component: str) -> str:
    """`path` and `component` with a ``/`` between them, if neither has one (TensorStore's)."""
    if not path or not component or path.endswith("/") or component.startswith("/"):
        return path + component
    return f"{path}/{component}"


def _normal_path(path: str) -> str:
    """An absolute path without empty, ``.`` and ``..`` components, as TensorStore reads URLs."""
    found: list[str] = []
    *components, last = path.split("/")
    for name in components:
        if name == "..":
            found = found[:-1]
        elif name not in ("", "."):
            found.append(name)
    if last == "..":
        found = found[:-1]
    return "/".join(["", *found, "" if last in (".", "..") else last])


def _check_path(component: UrlComponent, kvstore: KvStoreRules, path: str) -> None:
    if kvstore.absolute_path and not path.startswith("/"):
        raise InvalidArgument(
            f'Invalid kvstore URL component "{component}": {kvstore.driver}: URIs do not support '
            f'authority: "{path.partition("/")[0]}"; write {kvstore.scheme}:///path'
        )


def _text(part: str | bytes) -> str:
    return part.decode() if isinstance(part, bytes) else part


def _restore(
    driver: str,
    path: str,
    base: KvStoreSpec | None,
    options: Mapping[str, Any],
    rules: SpecRules,
) -> KvStoreSpec:
    return KvStoreSpec.of(driver, path, base=base, options=options, rules=rules)

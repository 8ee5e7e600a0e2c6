"""`KvStoreSpec`: which kvstore, and which path in it, as an immutable value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from asynctensor.errors import InvalidArgument
from asynctensor.pipeline_url import UrlComponent, format_component, parse_pipeline
from asynctensor.schema.json_repr import json_repr
from asynctensor.schema.json_value import (
    dump,
    expected,
    in_member,
    members,
    reject_extra,
    string,
)
from asynctensor.spec_rules import ANY_RULES, DriverRules, KvStoreRules, SpecRules

_COMMON = frozenset({"driver", "path", "base", "context"})


class KvStoreSpec:
    """A kvstore that has not been opened: ``KvStore.Spec``.

    Immutable and hashable, equal by JSON.

    Attributes:
        rules: What is known of drivers and kvstores.
    """

    __slots__ = ("_base", "_driver", "_options", "_path", "rules")

    #: The rules of specs made without any; installed by the module that opens things.
    known: ClassVar[SpecRules] = ANY_RULES

    def __init__(self, json: Any, *, rules: SpecRules | None = None) -> None:
        """Makes a spec from JSON or from a URL.

        Args:
            json: ``{"driver": ..., "path": ..., ...}``, a URL such as ``"file:///data/"``, or a
                `KvStoreSpec`.
            rules: What is known of drivers and kvstores; by default, all that are registered.

        Raises:
            InvalidArgument: It is none; the message gives the path of the wrong member.
        """
        rules = KvStoreSpec.known if rules is None else rules
        self.rules = rules
        if isinstance(json, KvStoreSpec):
            json = json.to_json()
        if isinstance(json, str):
            made = kvstore_of_url(parse_pipeline(json), rules)
            self._take(made._driver, made._path, made._base, made._options)
            return
        found = members(json)
        with in_member("driver"):
            if "driver" not in found:
                raise InvalidArgument("Expected string, but member is missing")
            kvstore = rules.kvstore(string(found["driver"]))
        if kvstore.members is not None:
            common = _COMMON if kvstore.adapter else _COMMON - {"base"}
            reject_extra(sorted(found.keys() - kvstore.members - common))
        with in_member("path"):
            path = string(found.get("path", ""))
        base = None
        if "base" in found or kvstore.adapter:
            with in_member("base"):
                if "base" not in found:
                    raise InvalidArgument("Expected object, but member is missing")
                base = kvstore_from_json(found["base"], rules)
        options = {k: v for k, v in found.items() if k not in ("driver", "path", "base")}
        if kvstore.check is not None:
            options = kvstore.check(options, lambda json: _form(json, rules))
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
        rules: SpecRules = ANY_RULES,
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
            InvalidArgument: There is no URL for this kvstore or path.
        """
        kvstore = self.rules.kvstore(self._driver)
        if kvstore.scheme is None:
            raise InvalidArgument(f"kvstore {dump(self._driver)} has no URL; use its JSON")
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
        if "layers" in options and self.rules.kvstore(self._driver).has_layers:
            options["layers"] = self._layers(lambda base: base.without_context().to_json())
        base = self._base and self._base.without_context()
        return KvStoreSpec.of(
            self._driver, self._path, base=base, options=options, rules=self.rules
        )

    def _layers(self, form: Callable[[KvStoreSpec], dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**layer, "base": form(KvStoreSpec(layer["base"], rules=self.rules))}
            for layer in self._options["layers"]
        ]

    def copy(self) -> KvStoreSpec:
        """The spec itself, as it is immutable."""
        return self

    def __add__(self, suffix: str) -> KvStoreSpec:
        return self.with_path(self._path + _text(suffix))

    def __truediv__(self, component: str) -> KvStoreSpec:
        return self.with_path(joined(self._path, _text(component)))

    def to_json(self, include_defaults: bool = False) -> Any:
        """Its JSON."""
        found: dict[str, Any] = {"driver": self._driver}
        if include_defaults:
            found |= dict(self.rules.kvstore(self._driver).defaults) | {"path": "", "context": {}}
        found |= copy.deepcopy(self._options)
        if include_defaults and "layers" in found and self.rules.kvstore(self._driver).has_layers:
            found["layers"] = self._layers(lambda base: base.to_json(include_defaults=True))
        if self._path:
            found["path"] = self._path
        if self._base is not None:
            found["base"] = self._base.to_json(include_defaults)
        return dict(sorted(found.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KvStoreSpec):
            return NotImplemented
        return bool(self.to_json() == other.to_json())

    def __hash__(self) -> int:
        return hash(dump(self.to_json()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self._driver, self._path, self._base, self._options, self.rules))

    def __repr__(self) -> str:
        return f"KvStore.Spec({json_repr(self.to_json())})"


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
        path = component.decoded_path()
        _check_path(component, kvstore, path)
        found = KvStoreSpec.of(kvstore.driver, path, base=found, rules=rules)
    if found is None:
        raise InvalidArgument("URL must be non-empty")
    return found


def kvstore_from_json(json: Any, rules: SpecRules) -> KvStoreSpec:
    """`KvStoreSpec`, which refuses what is neither object, URL nor spec.

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(json, (str, Mapping, KvStoreSpec)):
        raise expected("object", json)
    return KvStoreSpec(json, rules=rules)


def _form(json: Any, rules: SpecRules) -> dict[str, Any]:
    form: dict[str, Any] = kvstore_from_json(json, rules).to_json()
    return form


def joined(path: str, component: str) -> str:
    """`path` and `component` with a ``/`` between them, if neither has one there."""
    if not path or not component or path.endswith("/") or component.startswith("/"):
        return path + component
    return f"{path}/{component}"


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

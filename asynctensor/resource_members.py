"""Members of specs that name or define context resources, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.context import ConcealedJson, Context, ContextResource, ContextSpec
from asynctensor.runtime.resource_type import ResourceType, quoted
from asynctensor.runtime.resources import STANDARD_RESOURCES
from asynctensor.schema.json_value import in_member


def checked_resources(options: Mapping[str, Any], resources: frozenset[str]) -> dict[str, Any]:
    """`options` with the members that are `resources` in their normal form.

    A name (``"cache_pool#a"``) stays, but for that of the context's own; a definition is parsed and
    written as short as can be, or bound, where it holds a secret, which no JSON shows; a bound
    resource and null, which asks for a new default, stay.

    Raises:
        InvalidArgument: A definition is wrong; the message gives its path.
    """
    found = dict(options)
    if "context" in found:
        with in_member("context"):
            ContextSpec(found["context"])
        found["context"] = {key: _concealed(key, each) for key, each in found["context"].items()}
    for name in sorted(resources & found.keys()):
        value = found[name]
        kind = resource_type(name)
        if value == kind:
            del found[name]
        elif value is not None and not isinstance(value, ContextResource):
            with in_member(name):
                found[name] = _checked(kind, value)
    return found


def resource_type(member: str) -> str:
    """The type of the resource that a member of a spec names: that of its name, but for one."""
    return "cache_pool" if member == "metadata_cache_pool" else member


def is_quiet(resource: ContextResource) -> bool:
    """Whether a spec need not name a resource of its context."""
    kind = resource.resource_type
    return kind.is_quiet and resource.to_json() == kind.default_json


def passed_on(context: Context) -> dict[str, ContextResource]:
    """What a spec is bound to that takes resources of every kind: those of `context`.

    Those that TensorStore has; of others, which say something.
    """
    found = {name: context.resolve(name) for name in STANDARD_RESOURCES}
    return {name: each for name, each in found.items() if _says_something(each)}


def _says_something(resource: ContextResource) -> bool:
    kind = resource.resource_type
    return not kind.is_ours or resource.to_json() != kind.default_json


def is_quiet_name(name: str) -> bool:
    """Whether a spec that says nothing of a resource means to."""
    return name in STANDARD_RESOURCES and STANDARD_RESOURCES.of_key(name).is_quiet


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith(f"{name}#"):
            return value
        raise InvalidArgument(
            f"Invalid spec or reference to {quoted(name)} resource: {quoted(value)} (name one as "
            f"{quoted(name + '#name')}, or define it)"
        )
    kind = STANDARD_RESOURCES.of_key(name)
    config = kind.parse(value)
    found = kind.to_json(config, False)
    if _says_all(kind, found, config):
        return found
    # Of what has a secret, no JSON is made that could be opened: it is held as it is.
    return ContextResource(STANDARD_RESOURCES, name, config)


def _concealed(key: str, value: Any) -> Any:
    """A definition in a context: as it is, or, where it holds a secret, without showing that."""
    if value is None or isinstance(value, (str, ConcealedJson)):
        return value
    kind = STANDARD_RESOURCES.of_key(key)
    config = kind.parse(value)
    found = kind.to_json(config, False)
    return value if _says_all(kind, found, config) else ConcealedJson(found, config)


def _says_all(kind: ResourceType, json: Any, config: Any) -> bool:
    """Whether JSON that was made of a configuration gives it again."""
    try:
        again = kind.parse(json)
    except InvalidArgument:
        return False
    return bool(again == config)

"""How the JSON of a spec names the context resources that the spec is bound to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from asynctensor.runtime.context import ContextResource, plain_context


class ResourceNames:
    """One name per resource, and what the names stand for, as the member ``context``.

    A resource keeps the key that its context has for it, unless another one has it already. One
    that a spec has for itself, or that is a mere value, needs no name, unless the spec only passes
    it on.

    Args:
        resources: All that the spec refers to, as often as it does.
        passed_on: Those that it does not use itself, but what it will find may.

    Attributes:
        context: The member ``context`` that defines the names.
    """

    def __init__(
        self, resources: Iterable[ContextResource], passed_on: Iterable[ContextResource] = ()
    ) -> None:
        found = [each for each in resources if not each.resource_type.is_value]
        uses = Counter(map(_object_id, found))
        self._names: dict[int, str] = {}
        self._passed_on: dict[ContextResource, str] = {}
        self.context: dict[str, Any] = {}
        for resource in found:
            identity = _object_id(resource)
            if identity not in self._names and (resource.key or uses[identity] > 1):
                name = self._free_name(resource)
                self._names[identity] = name
                self.context[name] = resource.to_json()
        for resource in passed_on:
            is_value = resource.resource_type.is_value
            name = "" if is_value else self._names.get(_object_id(resource), "")
            if not name:
                name = self._free_name(resource, resource.resource_type.name)
                self.context[name] = resource.to_json()
            self._passed_on[resource] = name

    def _free_name(self, resource: ContextResource, key: str = "") -> str:
        key = resource.key or key
        if key and key not in self.context:
            return key
        number = 0
        while (name := f"{resource.resource_type.name}#{number}") in self.context:
            number += 1
        return name

    def reference(self, resource: ContextResource) -> Any:
        """What a member that means `resource` says: a name, or the resource's own JSON."""
        name = self._names.get(_object_id(resource))
        is_value = resource.resource_type.is_value
        return resource.to_json() if is_value or name is None else name

    def members(
        self, options: Mapping[str, Any], bound: bool, passes_on: bool = False
    ) -> dict[str, Any]:
        """The members of a spec with names for resources.

        Args:
            options: Members, with resources as their values.
            bound: Whether to write each in brackets, as TensorStore's reprs do; else a member that
                would say the default name is left out.
            passes_on: Whether the spec only passes them on; then each is a mere name.
        """
        found = {}
        for member, value in options.items():
            if not isinstance(value, ContextResource):
                found[member] = plain_context(value) if member == "context" else value
                continue
            reference = self._passed_on[value] if passes_on else self.reference(value)
            if bound and not passes_on:
                found[member] = [reference]
            elif reference != value.resource_type.name:
                found[member] = reference
        return found

    def define(self, json: dict[str, Any]) -> dict[str, Any]:
        """`json` with the member ``context``, in order."""
        if self.context:
            json["context"] = dict(sorted({**json.get("context", {}), **self.context}.items()))
        return dict(sorted(json.items()))


def _object_id(resource: ContextResource) -> int:
    # Contexts have resources of their own that stand for one pool of the process.
    return id(resource.value)

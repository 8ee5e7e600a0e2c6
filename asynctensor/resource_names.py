"""How the JSON of a spec names the context resources that the spec is bound to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from asynctensor.runtime.context import ContextResource


class ResourceNames:
    """One name per resource, and what the names stand for, as the member ``context``.

    A resource keeps the key that its context has for it, unless another one has it already. One
    that a spec has for itself, or that is a mere value, needs no name.

    Args:
        resources: All that the spec refers to, as often as it does.

    Attributes:
        context: The member ``context`` that defines the names.
    """

    def __init__(self, resources: Iterable[ContextResource]) -> None:
        found = [each for each in resources if not each.resource_type.is_value]
        uses = Counter(map(_object_id, found))
        self._names: dict[int, str] = {}
        self.context: dict[str, Any] = {}
        for resource in found:
            identity = _object_id(resource)
            if identity not in self._names and (resource.key or uses[identity] > 1):
                name = self._free_name(resource)
                self._names[identity] = name
                self.context[name] = resource.to_json()

    def _free_name(self, resource: ContextResource) -> str:
        if resource.key and resource.key not in self.context:
            return resource.key
        number = 0
        while (name := f"{resource.resource_type.name}#{number}") in self.context:
            number += 1
        return name

    def reference(self, resource: ContextResource) -> Any:
        """What a member that means `resource` says: a name, or the resource's own JSON."""
        name = self._names.get(_object_id(resource))
        is_value = resource.resource_type.is_value
        return resource.to_json() if is_value or name is None else name

    def members(self, options: Mapping[str, Any], bound: bool) -> dict[str, Any]:
        """The members of a spec with names for resources.

        Args:
            options: Members, with resources as their values.
            bound: Whether to write each in brackets, as TensorStore's reprs do; else a member that
                would say the default name is left out.
        """
        found = {}
        for member, value in options.items():
            if not isinstance(value, ContextResource):
                found[member] = value
                continue
            reference = self.reference(value)
            if bound:
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

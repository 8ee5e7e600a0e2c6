"""Opens a ``memory`` store as a spec says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.schema.json_value import boolean, in_member
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the context's ``memory_key_value_store``, and the path as key prefix.

    Raises:
        InvalidArgument: The resource is not specified well.
    """
    resource = request.resource("memory_key_value_store")
    values = resource.slots.setdefault("values", MemoryMap())
    return MemoryStore(values, atomic=bool(request.options.get("atomic", True))), request.path


def check_members(options: dict[str, Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The members of a spec, checked, without those that have their defaults.

    Raises:
        InvalidArgument: ``atomic`` is no boolean.
    """
    del form
    if "atomic" in options:
        with in_member("atomic"):
            boolean(options["atomic"])
    return {k: v for k, v in options.items() if k != "atomic" or not v}

"""Opens a ``memory`` store as a spec says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.kvstores.memory.store import MemoryMap, MemoryStore
from asynctensor.runtime.context import Context
from asynctensor.storage.kvstore import KeyValueStore


def open_store(
    path: str, options: Mapping[str, Any], context: Context
) -> tuple[KeyValueStore, str]:
    """The store of the context's ``memory_key_value_store``, and the key prefix `path`.

    Raises:
        InvalidArgument: The resource is not specified well.
    """
    member = (options["memory_key_value_store"],) if "memory_key_value_store" in options else ()
    resource = context.resolve("memory_key_value_store", *member).value
    values = resource.slots.setdefault("values", MemoryMap())
    return MemoryStore(values, atomic=bool(options.get("atomic", True))), path

"""Opens a ``memory`` store as a spec says."""

from __future__ import annotations

from asynctensor.kvstores.memory.store import MemoryMap, MemoryStore
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

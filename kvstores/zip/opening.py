"""Opens a ``zip`` store as a spec says."""

from __future__ import annotations

from weakref import WeakValueDictionary

from asynctensor.kvstores.zip.held_directory import HeldDirectory
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the zip file that is the base's value at its path.

    What is known of a file is shared by all who open it with one ``cache_pool``, as long as one
    of them lives.

    Raises:
        InvalidArgument: There is no base, or a resource is not specified well.
    """
    base, base_path = request.opened_base()
    slots = request.resource("cache_pool").slots
    known: WeakValueDictionary[object, HeldDirectory]
    known = slots.setdefault("zip", WeakValueDictionary())
    held = HeldDirectory(base, base_path)
    held = known.setdefault((base.identity, base_path), held)
    return ZipStore(base, base_path, request.resource("data_copy_concurrency"), held), request.path

"""Opens an ``ocdbt`` store as a spec says."""

from __future__ import annotations

from weakref import WeakValueDictionary

from asynctensor.kvstores.ocdbt.store import OcdbtStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the database in the folder that is the base's path.

    What is known of a database is shared by all who open it with one ``cache_pool``, as long as one
    of them lives.

    Raises:
        InvalidArgument: There is no base, or a resource is not specified well.
    """
    base, path = request.opened_base()
    if path and not path.endswith("/"):
        path += "/"
    slots = request.resource("cache_pool").slots
    known: WeakValueDictionary[object, OcdbtStore]
    known = slots.setdefault("ocdbt", WeakValueDictionary())
    store = OcdbtStore(base, path, request.resource("data_copy_concurrency"))
    return known.setdefault(store.identity, store), request.path

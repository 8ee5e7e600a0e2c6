"""Opens a kvstore ``obstore`` as a spec says."""

from __future__ import annotations

from typing import Final

from asynctensor.integrations.lacking import library_of
from asynctensor.integrations.spec_members import SpecMembers
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store that the URL names, and the path as key prefix.

    Raises:
        InvalidArgument: obstore cannot open it.
        Unimplemented: obstore is not installed.
    """
    with library_of("obstore"):
        from asynctensor.integrations.obstore_place import HANDLES, opened
        from asynctensor.integrations.obstore_store import ObstoreStore
    place = HANDLES.find(request.options.get("opened"))
    if place is None:
        place = opened(request.options["url"], request.options.get("config") or {})
    return ObstoreStore(place), request.path


check_members: Final = SpecMembers("url", "the URL of a store of obstore", "config").check

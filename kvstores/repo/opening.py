"""Opens a ``repo`` as a spec says."""

from __future__ import annotations

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the repository in the folder that is the base's path.

    Raises:
        InvalidArgument: There is no base, or its path is no folder's.
    """
    place = place_of(*request.opened_base())
    state = state_of(place)
    return RepositoryStore(state, source_of(state, request.options)), request.path


def place_of(store: KeyValueStore, path: str) -> Place:
    """The place of a repository in a store.

    Raises:
        InvalidArgument: `path` does not name a folder.
    """
    if path and not path.endswith("/"):
        raise InvalidArgument(
            f'a repository is a folder: its base needs a path that ends in "/", not {path!r}'
        )
    return Place(store, path)

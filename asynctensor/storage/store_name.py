"""What errors and explanations call a place in a store."""

from __future__ import annotations

from asynctensor.errors import Error
from asynctensor.pipeline_url import shown_url
from asynctensor.storage.kvstore import KeyValueStore


def store_name(store: KeyValueStore, path: str = "") -> str:
    """The URL of a place, without what may be secret.

    Without one, it is told by the URL of what the store asks (`Error.store` of the refusal), or of
    what it stands on; where that is not known, by the kind of store.
    """
    try:
        return shown_url(store.url(path))
    except Error as error:
        if store.below is not None:
            return f"{store_name(*store.below)}|{store.driver}:{path}"
        if error.store is not None:
            return shown_url(f"{error.store}/{path}" if path else error.store)
        return f"{store.driver}:{path}"

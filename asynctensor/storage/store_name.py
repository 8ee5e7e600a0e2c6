"""What errors and explanations call a place in a store."""

from __future__ import annotations

from asynctensor.errors import Error
from asynctensor.pipeline_url import shown_url
from asynctensor.storage.kvstore import KeyValueStore


def store_name(store: KeyValueStore, path: str = "") -> str:
    """The URL of a place, without what may be secret; what kind of store it is in, without one."""
    try:
        return shown_url(store.url(path))
    except Error:
        return f"{store.driver}:{path}"

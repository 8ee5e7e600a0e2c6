"""What errors and explanations call a place in a store."""

from __future__ import annotations

import re

from asynctensor.errors import Error
from asynctensor.storage.kvstore import KeyValueStore

#: Of a URL, or of the first one in a pipeline.
_QUERY = re.compile(r"^([^?|]*)\?[^|]*")


def without_query(url: str) -> str:
    """A URL without its query, which may hold a signature."""
    return _QUERY.sub(r"\1", url)


def store_name(store: KeyValueStore, path: str = "") -> str:
    """The URL of a place, without its query; what kind of store it is in, where it has none."""
    try:
        return without_query(store.url(path))
    except Error:
        return f"{store.driver}:{path}"

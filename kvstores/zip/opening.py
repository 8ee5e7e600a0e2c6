"""Opens a ``zip`` store as a spec says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from asynctensor.kvstores.zip.held_directory import HeldDirectory
from asynctensor.kvstores.zip.rewriting import METHODS
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.kvstores.zip.writer import ZipWriter
from asynctensor.schema.json_value import dump, expected, in_member
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest

_DEFAULT = "deflate"


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
    pool = request.resource("data_copy_concurrency")
    writers: WeakValueDictionary[object, ZipWriter]
    writers = slots.setdefault("zip writers", WeakValueDictionary())
    writer = ZipWriter(base, base_path, pool)
    writer = writers.setdefault((base.identity, base_path), writer)
    store = ZipStore(
        base,
        base_path,
        pool,
        held,
        compression=request.options.get("compression", _DEFAULT),
        writer=writer,
    )
    return store, request.path


def check_members(options: dict[str, Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The members of a spec, checked, without those that have their defaults.

    Raises:
        InvalidArgument: ``compression`` is none that is known.
    """
    del form
    method = options.get("compression", _DEFAULT)
    if not isinstance(method, str) or method not in METHODS:
        with in_member("compression"):
            raise expected(f"one of {', '.join(map(dump, METHODS))}", method)
    return {k: v for k, v in options.items() if k != "compression" or v != _DEFAULT}

"""Opens a kvstore ``fsspec`` as a spec says."""

from __future__ import annotations

from typing import Final

from asynctensor.integrations.lacking import library_of
from asynctensor.integrations.spec_members import SpecMembers
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the folder that the path is in, and the rest of the path as key prefix.

    Raises:
        InvalidArgument: fsspec has no such file system, or it does not take the options.
        Unimplemented: fsspec is not installed.
    """
    with library_of("fsspec"):
        from asynctensor.integrations.fsspec_calls import (
            HANDLES,
            FilesystemCalls,
            opened_filesystem,
        )
        from asynctensor.integrations.fsspec_store import FsspecStore
    options = dict(request.options.get("storage_options") or {})
    calls = HANDLES.find(request.options.get("opened"))
    if calls is None:
        calls = FilesystemCalls(opened_filesystem(request.options["protocol"], options))
    root, slash, key = request.path.rpartition("/")
    return FsspecStore(calls, root + slash), key


check_members: Final = SpecMembers(
    "protocol", "the name of a file system of fsspec", "storage_options"
).check

"""Opens a ``file`` store as a spec says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynctensor.errors import Unimplemented
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore, split_path
from asynctensor.runtime.context import Context
from asynctensor.storage.kvstore import KeyValueStore


def open_store(
    path: str, options: Mapping[str, Any], context: Context
) -> tuple[KeyValueStore, str]:
    """The store of the files below `path`, and the key prefix left over.

    Raises:
        InvalidArgument: A resource is not specified well.
        Unimplemented: ``file_io_mode`` asks for memory maps or direct I/O.
    """

    def resource(name: str) -> Any:
        member = (options[name],) if name in options else ()
        return context.resolve(name, *member).value

    locking = resource("file_io_locking")
    mode = resource("file_io_mode")
    if mode != "default":
        raise Unimplemented(f'file_io_mode "{mode}" is not available; use "default"')
    settings = FileOptions(
        sync=resource("file_io_sync"),
        locking=locking.mode,
        acquire_timeout_s=locking.acquire_timeout,
    )
    root, key = split_path(path)
    return FileStore(root, settings, resource("file_io_concurrency")), key

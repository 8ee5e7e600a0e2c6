"""Opens a ``file`` store as a spec says."""

from __future__ import annotations

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore, split_path
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store of the files below the path, and the key prefix left over.

    Raises:
        InvalidArgument: A resource is not specified well.
    """
    if "\0" in request.path:
        raise InvalidArgument(f"a path of the file system has no null bytes: {request.path!r}")
    locking = request.resource("file_io_locking")
    retries = request.resource("file_io_retries")
    settings = FileOptions(
        sync=request.resource("file_io_sync"),
        locking=locking.mode,
        acquire_timeout_s=locking.acquire_timeout,
        mode=request.resource("file_io_mode"),
        retries=RetryPolicy(retries.max_retries, retries.initial_delay, retries.max_delay),
    )
    root, key = split_path(request.path)
    return FileStore(root, settings, request.resource("file_io_concurrency")), key

"""fsspec both ways: its file systems as kvstores, and our kvstores as file systems of its.

`kvstore`, or ``{"driver": "fsspec", "protocol": ...}``, makes a kvstore of any file system;
``fsspec.filesystem("asynctensor", kvstore=...)`` is an `AsynctensorFileSystem`.
"""

from __future__ import annotations

from fsspec import AbstractFileSystem

from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_filesystem import AsynctensorFileSystem
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.kvstore import KvStore
from asynctensor.runtime.context import Context
from asynctensor.scheduler.scheduled_store import ScheduledStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.transaction.transaction import Transaction

__all__ = ["AsynctensorFileSystem", "kvstore"]


def kvstore(
    filesystem: AbstractFileSystem,
    path: str = "",
    *,
    transaction: Transaction | None = None,
    context: Context | None = None,
) -> KvStore:
    """A kvstore over a folder of a file system.

    An asynchronous file system runs on its own event loop: fsspec's, or, made with
    ``asynchronous=True``, the one that is running. A synchronous one runs on a worker thread.
    Pickled, a kvstore has the options of the file system that are no secret.

    Args:
        filesystem: The file system.
        path: The folder.
        transaction: What reads and writes belong to.
        context: The resources of what is opened in it.

    Raises:
        IncompatibleType: `filesystem` is none of fsspec's.
    """
    made: KeyValueStore = FsspecStore(
        FilesystemCalls(filesystem, given=True), path.rstrip("/") + "/"
    )
    if made.capabilities.remote:
        made = ScheduledStore(made)
    known = Context() if context is None else context
    return KvStore(made, transaction=transaction, context=known)

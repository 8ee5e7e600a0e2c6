"""Opens a kvstore ``fsspec`` as a spec says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.lacking import library_of
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest

_SAID: Final[dict[type, str]] = {str: "string", dict: "object"}


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


def check_members(options: dict[str, Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: ``protocol`` is missing, or a member of another type.
    """
    del form
    kinds = (("protocol", str), ("opened", str), ("storage_options", dict))
    for name, kind in kinds:
        if name in options and not isinstance(options[name], kind):
            raise InvalidArgument(f'Error parsing object member "{name}": Expected {_SAID[kind]}')
    if not options.get("protocol"):
        raise InvalidArgument(
            'Error parsing object member "protocol": Expected the name of a file system of fsspec'
        )
    return {name: value for name, value in options.items() if name != "storage_options" or value}

"""Opens a kvstore ``obstore`` as a spec says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.lacking import library_of
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.storage.store_request import StoreRequest

_SAID: Final[dict[type, str]] = {str: "string", dict: "object"}


def open_store(request: StoreRequest) -> tuple[KeyValueStore, str]:
    """The store that the URL names, and the path as key prefix.

    Raises:
        InvalidArgument: obstore cannot open it.
        Unimplemented: obstore is not installed.
    """
    with library_of("obstore"):
        from asynctensor.integrations.obstore_place import HANDLES, opened
        from asynctensor.integrations.obstore_store import ObstoreStore
    place = HANDLES.find(request.options.get("opened"))
    if place is None:
        place = opened(request.options["url"], request.options.get("config") or {})
    return ObstoreStore(place), request.path


def check_members(options: dict[str, Any], form: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The members of a spec, checked.

    Raises:
        InvalidArgument: ``url`` is missing, or a member of another type.
    """
    del form
    kinds = (("url", str), ("opened", str), ("config", dict))
    for name, kind in kinds:
        if name in options and not isinstance(options[name], kind):
            raise InvalidArgument(f'Error parsing object member "{name}": Expected {_SAID[kind]}')
    if not options.get("url"):
        raise InvalidArgument(
            'Error parsing object member "url": Expected the URL of a store of obstore'
        )
    return {name: value for name, value in options.items() if name != "config" or value}

"""Objects of other libraries that are open in this process, named in specs.

A spec is JSON, which holds neither an open file system nor its secrets. So a spec of a store that
was made of an object has its handle as well: whoever opens the spec in this process, as long as
something holds the object, gets that very object; elsewhere, what the rest of the spec says.
"""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from asynctensor.runtime.entropy import random_hex

T = TypeVar("T")


class Handles(Generic[T]):
    """Objects by their handles, which no two processes have in common."""

    def __init__(self) -> None:
        self._objects: WeakValueDictionary[str, T] = WeakValueDictionary()

    def add(self, made: T) -> str:
        """A handle for `made`, good as long as something else holds it."""
        handle = random_hex(16)
        self._objects[handle] = made
        return handle

    def find(self, handle: object) -> T | None:
        """What has this handle; None where it is not known, or gone."""
        return self._objects.get(handle) if isinstance(handle, str) else None

"""`register_codec`: a user's class becomes a codec of zarr arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from asynctensor.chunked.compression.user_codec import add_codec
from asynctensor.errors import IncompatibleType
from asynctensor.extension.members import Members
from asynctensor.runtime.guest import is_coroutine_function

C = TypeVar("C", bound=type)


class ClassCodec:
    """A codec that a class makes; a `CodecDefinition`."""

    def __init__(self, cls: type) -> None:
        self._class = cls
        self._members = Members.of(cls)

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `CodecDefinition.checked`."""
        return self._members.arguments(values)

    def make(self, values: Mapping[str, Any]) -> Any:
        """See `CodecDefinition.make`."""
        return self._class(**self._members.arguments(values))


def register_codec(name: str, *, replace: bool = False) -> Callable[[C], C]:
    """Makes a codec known by a name, for arrays of zarr v3 and v2.

    Decorates a class with the methods ``encode(data: bytes) -> bytes`` and ``decode(data: bytes) ->
    bytes``: plain functions, which run on worker threads, several at once. What its constructor
    takes are the members of its configuration: their names, types and defaults are those of its
    parameters (see `asynctensor.extension.members`). It stands

    - in zarr v3 among the codecs after the array has become bytes:
      ``{"name": name, "configuration": {...}}``;
    - in zarr v2 as the compressor, or a filter: ``{"id": name, ...}``.

    What ``decode`` gives is checked for its length, and what it raises arrives as it is; for bytes
    that are damaged, raise `asynctensor.errors.DataLoss`.

    Args:
        name: Name of the codec.
        replace: Whether a codec that was registered under this name before is replaced; arrays that
            are open keep theirs.

    Raises:
        AlreadyExists: The name is taken.
        IncompatibleType: The class lacks a method, or one is asynchronous.
        InvalidArgument: A parameter that no JSON can be.
    """

    def decorate(cls: C) -> C:
        for method in ("encode", "decode"):
            function = getattr(cls, method, None)
            if not callable(function) or is_coroutine_function(function):
                raise IncompatibleType(
                    f"a codec is a class with a plain method {method!r}, which {cls!r} has not"
                )
        add_codec(name, ClassCodec(cls), replace=replace)
        return cls

    return decorate

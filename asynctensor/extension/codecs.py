"""`register_codec`: a user's class becomes a codec of zarr arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

import numpy as np

from asynctensor.chunked.compression.user_codec import CodecKind, add_codec
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.extension.members import Members
from asynctensor.runtime.guest import is_coroutine_function
from asynctensor.schema.data_type import dtype

C = TypeVar("C", bound=type)


class ClassCodec:
    """A codec that a class makes; a `CodecDefinition`."""

    def __init__(self, cls: type, kind: CodecKind) -> None:
        self._class = cls
        self.kind: CodecKind = kind
        self._members = Members.of(cls)
        said = getattr(cls, "encoded_dtype", None)
        self.encoded_dtype: np.dtype[Any] | None = None
        if said is not None:
            if kind != "array_to_array":
                raise InvalidArgument(
                    f"only a codec from arrays to arrays has encoded_dtype: {cls}"
                )
            self.encoded_dtype = dtype(said).numpy_dtype

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `CodecDefinition.checked`."""
        return self._members.arguments(values)

    def make(self, values: Mapping[str, Any]) -> Any:
        """See `CodecDefinition.make`."""
        return self._class(**self._members.arguments(values))


def register_codec(
    name: str, *, kind: CodecKind = "bytes_to_bytes", replace: bool = False
) -> Callable[[C], C]:
    """Makes a codec known by a name, for arrays of zarr v3 and v2.

    Decorates a class with two methods: plain functions, which run on worker threads, several at
    once. What its constructor takes are the members of its configuration: their names, types and
    defaults are those of its parameters (see `asynctensor.extension.members`). By `kind`:

    - ``"bytes_to_bytes"``: ``encode(data: bytes) -> bytes`` and ``decode(data: bytes) -> bytes``.
      In zarr v3 among the codecs after the array has become bytes: ``{"name": name,
      "configuration": {...}}``; in zarr v2 as the compressor, or a filter: ``{"id": name, ...}``.
    - ``"array_to_array"``: ``encode(array) -> array`` and ``decode(array) -> array``, of the same
      shape, and of the same data type unless the class attribute ``encoded_dtype`` names that of
      what is encoded. In zarr v3 before the array becomes bytes, in zarr v2 as a filter, where
      arrays have one dimension.
    - ``"array_to_bytes"``: ``encode(array) -> bytes`` and ``decode(data, shape, dtype) -> array``.
      In zarr v3 in place of ``"bytes"``.

    Arrays that are given cannot be written. What the functions give is checked for its length, or
    shape and data type, and what they raise arrives as it is; for data that is damaged, raise
    `asynctensor.errors.DataLoss`.

    Args:
        name: Name of the codec.
        kind: What it takes and gives.
        replace: Whether a codec that was registered under this name before is replaced; arrays that
            are open keep theirs.

    Raises:
        AlreadyExists: The name is taken.
        IncompatibleType: The class lacks a method, or one is asynchronous.
        InvalidArgument: A parameter that no JSON can be, or no such `kind` or ``encoded_dtype``.
    """
    if kind not in get_args(CodecKind):
        raise InvalidArgument(f"no kind of codec: {kind!r}; there are {get_args(CodecKind)}")

    def decorate(cls: C) -> C:
        for method in ("encode", "decode"):
            function = getattr(cls, method, None)
            if not callable(function) or is_coroutine_function(function):
                raise IncompatibleType(
                    f"a codec is a class with a plain method {method!r}, which {cls!r} has not"
                )
        add_codec(name, ClassCodec(cls, kind), replace=replace)
        return cls

    return decorate

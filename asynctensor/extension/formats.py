"""`register_format`: a user's chunked format becomes a driver of specs and URLs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from asynctensor.chunked.format import ArrayFormat
from asynctensor.errors import IncompatibleType
from asynctensor.registry import add_format

F = TypeVar("F", bound=ArrayFormat[Any])


def register_format(
    scheme: str | None = None, *, replace: bool = False
) -> Callable[[type[F]], type[F]]:
    """Makes a chunked format known by its `ArrayFormat.driver`, for specs and URLs.

    Decorates a subclass of `ArrayFormat` whose constructor takes nothing. Its arrays then have all
    that other chunked formats have: caching, partial writes that lose no update, transactions,
    `resize`, ``explain``; and are found by ``auto`` where a document of its `metadata_key` is.

    Its methods, and those of its key encoding, only compute: they are called wherever they are
    needed, the library's own loop included, and must neither wait nor take long. Its codecs run on
    worker threads.

    Args:
        scheme: Scheme in URLs; None for none.
        replace: Whether a format that was registered under this name before is replaced; arrays
            that are open keep theirs.

    Raises:
        AlreadyExists: The name or scheme is taken.
        IncompatibleType: It is no such class, or leaves methods out.
    """

    def decorate(cls: type[F]) -> type[F]:
        if ArrayFormat not in getattr(cls, "__mro__", ()):
            raise IncompatibleType(
                f"register_format decorates a subclass of ArrayFormat, not {cls!r}"
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise IncompatibleType(f"{cls.__name__} lacks the methods {missing}")
        for name in ("driver", "metadata_key"):
            if not isinstance(getattr(cls, name, None), str):
                raise IncompatibleType(f"{cls.__name__} must have the class attribute {name!r}")
        add_format(cls(), scheme, replace=replace)
        return cls

    return decorate

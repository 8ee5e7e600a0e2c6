"""Errors of other libraries' stores, mapped into the one tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asynctensor.errors import (
    Error,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unimplemented,
    from_os_error,
)
from asynctensor.storage.kvstore import KeyValueStore


@contextmanager
def errors_mapped(key: str, store: KeyValueStore, operation: str) -> Iterator[None]:
    """Maps what is raised in its body, and says where it was.

    `OSError` says what failed by its number or, as fsspec and obstore raise many without one, by
    its class. Anything else is raised as it is.
    """
    where = repr(store)
    try:
        yield
    except Error as error:
        error.located(key=key, store=where, operation=operation)
        raise
    except NotImplementedError as error:
        text = str(error) or "the file system cannot do this"
        raise Unimplemented(text, key=key, store=where, operation=operation) from error
    except OSError as error:
        if error.errno is not None:
            raise from_os_error(error, key=key, store=where, operation=operation) from error
        cls: type[Error] = Unavailable
        if isinstance(error, PermissionError):
            cls = PermissionDenied
        elif isinstance(error, FileNotFoundError):
            cls = NotFound
        text = str(error) or type(error).__name__
        raise cls(text, key=key, store=where, operation=operation) from error

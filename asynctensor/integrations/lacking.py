"""Kvstores of other libraries, where these are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asynctensor.errors import Unimplemented


@contextmanager
def library_of(kvstore: str) -> Iterator[None]:
    """Says what to install, where an import in the body finds nothing.

    Raises:
        Unimplemented: A module is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or kvstore).partition(".")[0]
        raise Unimplemented(
            f'the kvstore "{kvstore}" needs {library}, which is not installed: '
            f'pip install "asynctensor[{kvstore}]"'
        ) from error

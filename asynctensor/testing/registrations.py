"""`registrations_undone`: what is registered in its block is known there alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asynctensor.chunked.compression.user_codec import CODECS
from asynctensor.registry import DRIVER_TABLE, KVSTORE_TABLE


@contextmanager
def registrations_undone() -> Iterator[None]:
    """Forgets, at the end of its block, stores, drivers, formats and codecs registered in it."""
    codecs = dict(CODECS)
    try:
        with DRIVER_TABLE.undone(), KVSTORE_TABLE.undone():
            yield
    finally:
        CODECS.clear()
        CODECS.update(codecs)

"""`registrations_undone`: what is registered in its block is known there alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asynctensor import registry
from asynctensor.chunked.compression import user_codec


@contextmanager
def registrations_undone() -> Iterator[None]:
    """Forgets, at the end of its block, stores, drivers and codecs registered in it."""
    tables: list[dict[Any, Any]] = [
        registry._DRIVER_OF,
        registry._KVSTORE_OF,
        registry._DRIVER_SCHEMES,
        registry._KVSTORE_SCHEMES,
        user_codec._CODECS,
    ]
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, known in zip(tables, before, strict=True):
            table.clear()
            table.update(known)

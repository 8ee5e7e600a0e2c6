"""obstore: the Rust crate object_store for Python."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import obstore
from obstore.store import HTTPStore


class Peer:
    """obstore's HTTP store."""

    SETTINGS: ClassVar[dict[str, str]] = {"default": "as installed, plain http allowed"}

    def __init__(self, setting: str) -> None:
        del setting

    async def open_store(self, url: str, authority: Path) -> Any:
        # It is told to trust anyone: of certificate files it knows none but the system's.
        return HTTPStore.from_url(
            url,
            client_options={
                "allow_http": True,
                "allow_invalid_certificates": True,
                "timeout": timedelta(seconds=60),
            },
        )

    async def read_range(self, store: Any, key: str, start: int, stop: int) -> Any:
        return await obstore.get_range_async(store, key, start=start, end=stop)

"""asynctensor itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import asynctensor
from benchmarks.peers.like_tensorstore import LikeTensorStore


class Peer(LikeTensorStore):
    """asynctensor, which has no setting that its documentation recommends beyond the default."""

    library = asynctensor
    SETTINGS: ClassVar[dict[str, str]] = {"default": "as installed"}
    CONTEXTS: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}

    async def open_store(self, url: str, authority: Path) -> Any:
        """See `StorePeer`."""
        os.environ["SSL_CERT_FILE"] = str(authority)
        return await asynctensor.KvStore.open(url)

    async def read_range(self, store: Any, key: str, start: int, stop: int) -> Any:
        """See `StorePeer`."""
        return (await store.read(key, byte_range=slice(start, stop))).value

"""OCDBT, TensorStore's database of key-values with versions."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import tensorstore

from benchmarks.layouts import Volume
from benchmarks.peers import Ground
from benchmarks.peers.with_asynctensor import s3_base


class Peer:
    """OCDBT below a zarr array; the tuned setting is what its documentation offers."""

    SETTINGS: ClassVar[dict[str, str]] = {
        "default": "as installed",
        "tuned": "nodes of 64 KiB; a `cache_pool` of 256 MB for them; reads that are coalesced",
    }

    def __init__(self, setting: str) -> None:
        self._tuned = setting == "tuned"
        os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def _kvstore(self, ground: Ground) -> dict[str, Any]:
        spec: dict[str, Any] = {"driver": "ocdbt", "base": s3_base(ground)}
        if self._tuned:
            spec |= {
                "config": {"max_decoded_node_bytes": 65_536},
                "cache_pool": {"total_bytes_limit": 256_000_000},
                "experimental_read_coalescing_threshold_bytes": 1_000_000,
            }
        return spec

    async def create_repository(self, ground: Ground, count: int, length: int) -> Any:
        """See `RepositoryPeer`."""
        return await tensorstore.open(
            {"driver": "zarr3", "kvstore": self._kvstore(ground)},
            create=True,
            dtype=tensorstore.uint16,
            shape=[count, length],
            chunk_layout=tensorstore.ChunkLayout(chunk_shape=[1, length]),
        )

    async def open_repository(self, ground: Ground) -> Any:
        """See `RepositoryPeer`."""
        return await tensorstore.open(
            {"driver": "zarr3", "kvstore": self._kvstore(ground)},
            open=True,
            context=tensorstore.Context(),
        )

    async def stage(self, opened: Any, first: int, rows: Volume) -> Any:
        """See `RepositoryPeer`."""
        transaction = tensorstore.Transaction()
        await opened.with_transaction(transaction)[first : first + len(rows)].write(rows)
        return transaction

    async def commit(self, staged: Any) -> None:
        """See `RepositoryPeer`."""
        await staged.commit_async()

    async def read_rows(self, opened: Any, first: int, last: int) -> Volume:
        """See `RepositoryPeer`."""
        found: Volume = await opened[first:last].read()
        return found

    async def settle(self, opened: Any) -> None:
        """See `RepositoryPeer`: nothing does."""

"""asynctensor itself."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, ClassVar

import asynctensor
from benchmarks.layouts import Volume
from benchmarks.peers import Ground
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

    async def create_repository(self, ground: Ground, count: int, length: int) -> Any:
        """See `RepositoryPeer`."""
        self._ground = ground
        repository = await asynctensor.Repository.open(s3_base(ground), create=True)
        array = await asynctensor.open(
            {"driver": "zarr3", "kvstore": repository.kvstore("array/")},
            create=True,
            dtype="uint16",
            shape=[count, length],
            chunk_layout=asynctensor.ChunkLayout(chunk_shape=[1, length]),
        )
        return repository, array

    async def open_repository(self, ground: Ground) -> Any:
        """See `RepositoryPeer`."""
        context = asynctensor.Context()
        repository = await asynctensor.Repository.open(s3_base(ground), context=context)
        array = await asynctensor.open(
            {"driver": "zarr3", "kvstore": repository.kvstore("array/")}, context=context
        )
        return repository, array

    async def stage(self, opened: Any, first: int, rows: Volume) -> Any:
        """See `RepositoryPeer`."""
        repository, array = opened
        transaction = repository.transaction(message="commit")
        await array.with_transaction(transaction)[first : first + len(rows)].write(rows)
        return transaction

    async def commit(self, staged: Any) -> None:
        """See `RepositoryPeer`."""
        await staged.commit_async()

    async def read_rows(self, opened: Any, first: int, last: int) -> Volume:
        """See `RepositoryPeer`."""
        found: Volume = await opened[1][first:last].read()
        return found

    async def settle(self, opened: Any) -> None:
        """See `RepositoryPeer`: of a repository that was made here, folds of the index."""
        store = await asynctensor.KvStore.open(s3_base(self._ground))
        index = asynctensor.KvStore.KeyRange("ckpt/", "idx0")
        found, quiet = 0, 0
        while quiet < 4:
            await asyncio.sleep(0.5)
            now = len(await store.list(index))
            quiet = quiet + 1 if now == found else 0
            found = now


def s3_base(ground: Ground) -> dict[str, Any]:
    """The spec of the kvstore that a repository lies in."""
    if ground.endpoint is None:
        return {"driver": "file", "path": f"{ground.path}/"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    return {
        "driver": "s3",
        "bucket": "bucket",
        "path": f"{ground.path}/",
        "endpoint": ground.endpoint,
        "aws_region": "us-east-1",
        "aws_credentials": {"type": "environment"},
    }

"""s3fs: fsspec's file system for S3, on aiobotocore."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import s3fs


class Peer:
    """s3fs without signatures: what is below the URL is taken for buckets."""

    SETTINGS: ClassVar[dict[str, str]] = {"default": "anonymous, `max_pool_connections` 64"}

    def __init__(self, setting: str) -> None:
        del setting

    async def open_store(self, url: str, authority: Path) -> Any:
        store = s3fs.S3FileSystem(
            anon=True,
            asynchronous=True,
            endpoint_url=url.removesuffix("/"),
            config_kwargs={"max_pool_connections": 64},
        )
        await store.set_session()
        return store

    async def read_range(self, store: Any, key: str, start: int, stop: int) -> Any:
        return await store._cat_file(key, start=start, end=stop)

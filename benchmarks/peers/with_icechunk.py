"""Icechunk, written to through zarr-python as its documentation does."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import icechunk
import zarr
from zarr.core.buffer import default_buffer_prototype

from benchmarks.layouts import Volume
from benchmarks.peers import Ground

#: Rows that are written through zarr-python at most; and how many chunks are written at a time.
_MOST = 10_000
_AT_ONCE = 1000


class Peer:
    """Icechunk; the tuned setting splits manifests, as its documentation advises."""

    SETTINGS: ClassVar[dict[str, str]] = {
        "default": "as installed",
        "tuned": "manifests split at 10,000 chunks",
    }

    def __init__(self, setting: str) -> None:
        self._config = icechunk.RepositoryConfig.default()
        if setting == "tuned":
            split = icechunk.ManifestSplittingConfig.from_dict(
                {
                    icechunk.ManifestSplitCondition.AnyArray(): {
                        icechunk.ManifestSplitDimCondition.Any(): 10_000
                    }
                }
            )
            self._config.manifest = icechunk.ManifestConfig(splitting=split)

    def _storage(self, ground: Ground) -> icechunk.Storage:
        if ground.endpoint is None:
            return icechunk.local_filesystem_storage(ground.path)
        return icechunk.s3_storage(
            bucket="bucket",
            prefix=ground.path,
            region="us-east-1",
            endpoint_url=ground.endpoint,
            allow_http=True,
            access_key_id="key",
            secret_access_key="secret",
            force_path_style=True,
        )

    async def create_repository(self, ground: Ground, count: int, length: int) -> Any:
        """See `RepositoryPeer`."""
        return await asyncio.to_thread(self._create, ground, count, length)

    def _create(self, ground: Ground, count: int, length: int) -> icechunk.Repository:
        repository = icechunk.Repository.create(self._storage(ground), config=self._config)
        session = repository.writable_session("main")
        zarr.create_array(
            session.store,
            shape=(count, length),
            chunks=(1, length),
            dtype="uint16",
            compressors=None,
            filters=None,
            fill_value=0,
        )
        session.commit("create")
        return repository

    async def open_repository(self, ground: Ground) -> Any:
        """See `RepositoryPeer`."""
        return await asyncio.to_thread(
            icechunk.Repository.open, self._storage(ground), config=self._config
        )

    async def stage(self, opened: Any, first: int, rows: Volume) -> Any:
        """See `RepositoryPeer`."""
        if len(rows) <= _MOST:
            return await asyncio.to_thread(self._stage, opened, first, rows)
        # To make what is measured then: by chunks, which takes half of the time.
        session = opened.writable_session("main")
        buffer = default_buffer_prototype().buffer
        for start in range(0, len(rows), _AT_ONCE):
            some = enumerate(rows[start : start + _AT_ONCE], first + start)
            await asyncio.gather(
                *(
                    session.store.set(f"c/{number}/0", buffer.from_bytes(row.tobytes()))
                    for number, row in some
                )
            )
        return session

    def _stage(self, opened: icechunk.Repository, first: int, rows: Volume) -> icechunk.Session:
        session = opened.writable_session("main")
        zarr.open_array(session.store)[first : first + len(rows)] = rows
        return session

    async def commit(self, staged: Any) -> None:
        """See `RepositoryPeer`."""
        detector = icechunk.ConflictDetector()
        await asyncio.to_thread(staged.commit, "commit", rebase_with=detector, rebase_tries=60_000)

    async def read_rows(self, opened: Any, first: int, last: int) -> Volume:
        """See `RepositoryPeer`."""
        return await asyncio.to_thread(self._read, opened, first, last)

    def _read(self, opened: icechunk.Repository, first: int, last: int) -> Any:
        return zarr.open_array(opened.readonly_session("main").store)[first:last]

    async def settle(self, opened: Any) -> None:
        """See `RepositoryPeer`: nothing does."""

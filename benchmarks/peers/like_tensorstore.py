"""What asynctensor and tensorstore have in common: the API."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from benchmarks.layouts import Layout, Volume
from benchmarks.peers import Region


class LikeTensorStore:
    """A peer with TensorStore's API, awaited on one event loop as its users would."""

    CAN_SYNC: ClassVar[bool] = True
    #: Context resources of each setting.
    CONTEXTS: ClassVar[dict[str, dict[str, Any]]]
    library: ModuleType

    def __init__(self, setting: str) -> None:
        self._context = self.CONTEXTS[setting]
        self._runner = asyncio.Runner()

    def open(self, location: Path | str, *, cache_bytes: int = 0, recheck: bool = True) -> Any:
        context = dict(self._context)
        if cache_bytes:
            context["cache_pool"] = {"total_bytes_limit": cache_bytes}
        spec = {
            "driver": "zarr3",
            "kvstore": kvstore(location),
            "recheck_cached_data": recheck,
            "recheck_cached_metadata": "open",
        }
        return self._run(self.library.open(spec, context=self.library.Context(context)))

    def create(self, path: Path, layout: Layout, shape: tuple[int, ...], *, sync: bool) -> Any:
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "metadata": layout.metadata(shape),
            "create": True,
        }
        context = {**self._context, "file_io_sync": sync}
        return self._run(self.library.open(spec, context=self.library.Context(context)))

    def read(self, array: Any) -> Volume:
        found: Volume = self._run(array.read())
        return found

    def write(self, array: Any, data: Volume) -> None:
        self._run(array.write(data))

    async def read_async(self, array: Any, region: Region) -> Volume:
        found: Volume = await array[region].read()
        return found

    def _run(self, future: Any) -> Any:
        async def wait() -> Any:
            return await future

        return self._runner.run(wait())


def kvstore(location: Path | str) -> dict[str, str]:
    """The JSON spec of a folder or an http URL."""
    if isinstance(location, Path):
        return {"driver": "file", "path": f"{location}/"}
    return {"driver": "http", "base_url": location.removesuffix("/") + "/"}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

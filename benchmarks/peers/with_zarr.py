"""zarr-python with its own codec pipeline."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import zarr
import zarr.api.asynchronous
import zarr.core.codec_pipeline
from obstore.store import HTTPStore
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import ObjectStore

from benchmarks.layouts import BLOSC, DTYPE, ZSTD, Layout, Volume
from benchmarks.peers import Region
from benchmarks.peers.like_tensorstore import cores

FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"


def tuned() -> dict[str, Any]:
    """What zarr-python's page on performance advises for a local disk."""
    settings: dict[str, Any] = {"async.concurrency": 64, "threading.max_workers": cores()}
    if hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
        settings |= {"codec_pipeline.path": FUSED, "codec_pipeline.max_workers": cores()}
    return settings


class Peer:
    """zarr-python, which never syncs what it writes."""

    CAN_SYNC: ClassVar[bool] = False
    SETTINGS: ClassVar[dict[str, str]] = {
        "default": "as installed",
        "tuned": "`async.concurrency` 64, `threading.max_workers` = cores, and the "
        "`FusedCodecPipeline` where the version has it",
    }
    CONFIGURATIONS: ClassVar[dict[str, dict[str, Any]]] = {"default": {}, "tuned": tuned()}

    def __init__(self, setting: str) -> None:
        zarr.config.set(self.CONFIGURATIONS[setting])
        # Zarr-python warns at every array of a codec that its specification calls new.
        warnings.simplefilter("ignore")

    def open(self, location: Path | str, *, cache_bytes: int = 0, recheck: bool = True) -> Any:
        del cache_bytes, recheck  # It has no cache of chunks.
        if isinstance(location, Path):
            return zarr.open_array(location, mode="r")
        # What its documentation calls the quickest of its stores.
        options = {"allow_http": True, "timeout": timedelta(seconds=60)}
        store = HTTPStore.from_url(location, client_options=options)
        return zarr.open_array(ObjectStore(store, read_only=True), mode="r")

    def create(self, path: Path, layout: Layout, shape: tuple[int, ...], *, sync: bool) -> Any:
        assert not sync
        blosc = BloscCodec(**{k: v for k, v in BLOSC.items() if k != "shuffle"}, shuffle="shuffle")
        compressors = {"raw": None, "blosc": blosc, "zstd": ZstdCodec(**ZSTD)}
        return zarr.create_array(
            path,
            shape=shape,
            dtype=DTYPE,
            chunks=(layout.chunk,) * 3,
            shards=(layout.shard,) * 3 if layout.shard else None,
            compressors=compressors[layout.compressor],
            fill_value=0,
        )

    def read(self, array: Any) -> Volume:
        found: Volume = array[...]
        return found

    def write(self, array: Any, data: Volume) -> None:
        array[...] = data

    async def read_async(self, array: Any, region: Region) -> Volume:
        found: Volume = await array.async_array.getitem(region)
        return found

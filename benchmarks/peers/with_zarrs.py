"""zarr-python with the codec pipeline of zarrs, which is written in Rust."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.like_tensorstore import cores
from benchmarks.peers.with_zarr import Peer as ZarrPeer

PIPELINE = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}


class Peer(ZarrPeer):
    """zarrs-python, by the options that its README names."""

    SETTINGS: ClassVar[dict[str, str]] = {
        "default": "`codec_pipeline.path` set, nothing else",
        "tuned": "`threading.max_workers` and `chunk_concurrent_maximum` = 2 x cores, "
        "`chunk_concurrent_minimum` = cores",
    }
    CONFIGURATIONS: ClassVar[dict[str, dict[str, Any]]] = {
        "default": PIPELINE,
        "tuned": {
            **PIPELINE,
            "threading.max_workers": 2 * cores(),
            "codec_pipeline.chunk_concurrent_maximum": 2 * cores(),
            "codec_pipeline.chunk_concurrent_minimum": cores(),
        },
    }

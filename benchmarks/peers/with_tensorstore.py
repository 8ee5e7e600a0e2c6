"""TensorStore, the C++ library that asynctensor takes its API from."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorstore

from benchmarks.peers.like_tensorstore import LikeTensorStore, cores


class Peer(LikeTensorStore):
    """TensorStore; the tuned setting uses the context resources that its documentation names."""

    library = tensorstore
    SETTINGS: ClassVar[dict[str, str]] = {
        "default": "as installed",
        "tuned": "`data_copy_concurrency` = cores, `file_io_concurrency` = 2 x cores, "
        "`file_io_mode` = memmap",
    }
    CONTEXTS: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},
        "tuned": {
            "data_copy_concurrency": {"limit": cores()},
            "file_io_concurrency": {"limit": 2 * cores()},
            "file_io_mode": {"mode": "memmap"},
        },
    }

"""asynctensor itself."""

from __future__ import annotations

from typing import Any, ClassVar

import asynctensor
from benchmarks.peers.like_tensorstore import LikeTensorStore


class Peer(LikeTensorStore):
    """asynctensor, which has no setting that its documentation recommends beyond the default."""

    library = asynctensor
    SETTINGS: ClassVar[dict[str, str]] = {"default": "as installed"}
    CONTEXTS: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}

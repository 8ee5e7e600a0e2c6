"""Reading a whole array from a web server on the loopback."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.whole_read import write_neutral
from benchmarks.layouts import Layout
from benchmarks.peers import Peer, peer_class
from benchmarks.web_server import WebServer, serving

LAYOUTS = (
    Layout(128, "blosc"),
    Layout(64, "blosc"),
    Layout(32, "blosc"),
    Layout(32, "blosc", shard=128),
    Layout(64, "raw"),
)
#: Arrays that this process has opened, by URL: opening is not what is measured.
_opened: dict[str, tuple[Peer, Any]] = {}


@dataclass(frozen=True)
class HttpRead:
    """Reads the whole volume in one layout by http."""

    layout: Layout
    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    fresh_process: bool = False

    @property
    def name(self) -> str:
        return f"http-read-{self.layout.name}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        title = f"whole read by http from the loopback, {self.layout.title}"
        return (RowSpec(title, "s", Target(1.0, 1.4)),)

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, self.layout)

    def serve(self, folder: Path) -> AbstractContextManager[WebServer]:
        return serving(folder, folder / "server")

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        url = f"{scene.server.url}array"
        if url not in _opened:
            instance = peer_class(peer)(setting)
            _opened[url] = instance, instance.open(url)
        instance, array = _opened[url]
        started = time.perf_counter()
        found = instance.read(array)
        seconds = time.perf_counter() - started
        if not np.array_equal(found, scene.data):
            raise WrongResult(f"{peer} read something else than was written")
        return {"": seconds}


CASES = tuple(HttpRead(layout) for layout in LAYOUTS)

"""Reading a whole array that is in the page cache."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.layouts import LAYOUTS, Layout
from benchmarks.peers import NAMES, Peer, peer_class

#: Arrays that this process has opened: opening is not what is measured.
_opened: dict[Path, tuple[Peer, Any]] = {}


def opened(peer: str, setting: str, path: Path) -> tuple[Peer, Any]:
    """The peer, and the array of this path opened by it."""
    if path not in _opened:
        instance = peer_class(peer)(setting)
        _opened[path] = instance, instance.open(path)
    return _opened[path]


@dataclass(frozen=True)
class WholeRead:
    """Reads the whole volume in one layout."""

    layout: Layout
    target: Target
    peers: tuple[str, ...] = NAMES
    fresh_process: bool = False

    @property
    def name(self) -> str:
        return f"read-{self.layout.name}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        return (RowSpec(f"whole read, {self.layout.title}", "s", self.target),)

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, self.layout)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance, array = opened(peer, setting, scene.folder / "array")
        started = time.perf_counter()
        found = instance.read(array)
        seconds = time.perf_counter() - started
        if not np.array_equal(found, scene.data):
            raise WrongResult(f"{peer} read something else than was written")
        return {"": seconds}


def write_neutral(scene: Scene, layout: Layout) -> None:
    """Writes the volume to ``array``, by a peer: everybody reads the same files."""
    writer = peer_class("tensorstore")("default")
    array = writer.create(scene.folder / "array", layout, scene.data.shape, sync=False)
    writer.write(array, np.asarray(scene.data))


def target_of(layout: Layout) -> Target:
    """By the chunk's size and compressor."""
    if layout.chunk == 32:
        return Target(1.0, 1.15)
    return Target(1.1, 1.25) if layout.compressor == "zstd" else Target(1.3, 1.7)


CASES = tuple(WholeRead(layout, target_of(layout)) for layout in LAYOUTS)

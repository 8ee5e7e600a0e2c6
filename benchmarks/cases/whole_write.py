"""Writing a whole array into a new folder, synced to disk or not."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.layouts import LAYOUTS, Layout
from benchmarks.peers import NAMES, peer_class

TARGET = Target(0.95, 1.2)
_counter = itertools.count()


@dataclass(frozen=True)
class WholeWrite:
    """Writes the whole volume in one layout; reading it back by TensorStore is the check."""

    layout: Layout
    sync: bool
    peers: tuple[str, ...]
    fresh_process: bool = False

    @property
    def name(self) -> str:
        return f"write-{'synced' if self.sync else 'unsynced'}-{self.layout.name}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        how = "synced" if self.sync else "not synced"
        target = TARGET if self.sync else None
        return (RowSpec(f"whole write, {how}, {self.layout.title}", "s", target),)

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        path = scene.folder / f"{peer}-{setting}-{next(_counter)}"
        instance = peer_class(peer)(setting)
        array = instance.create(path, self.layout, scene.data.shape, sync=self.sync)
        data = np.array(scene.data)
        started = time.perf_counter()
        instance.write(array, data)
        seconds = time.perf_counter() - started
        judge = peer_class("tensorstore")("default")
        if not np.array_equal(judge.read(judge.open(path)), data):
            raise WrongResult(f"{peer} wrote something else than it was given")
        shutil.rmtree(path)
        return {"": seconds}


SYNCING = tuple(name for name in NAMES if name in ("asynctensor", "tensorstore"))
CASES = (
    *(WholeWrite(layout, True, SYNCING) for layout in LAYOUTS),
    # No bound to hold here, so a part of the layouts will do.
    *(WholeWrite(layout, False, NAMES) for layout in LAYOUTS if layout.chunk == 64 or layout.shard),
)

"""Memory that a whole read needs beyond its output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.whole_read import write_neutral
from benchmarks.layouts import Layout
from benchmarks.peers import NAMES, peer_class

LAYOUT = Layout(64, "blosc")
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most since `reset_peak`) of this process, in MiB."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"{STATUS} has no {field}")


def reset_peak() -> None:
    """Makes the peak what is resident now (Linux: proc(5), clear_refs)."""
    CLEAR.write_text("5")


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident memory during one whole read, less what was there and less the output."""

    peers: tuple[str, ...] = NAMES
    name: str = "memory"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "peak memory of a whole read beyond the output, 64³ chunks, blosc",
            "MiB",
            Target(64, 32, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance = peer_class(peer)(setting)
        array = instance.open(scene.folder / "array")
        reset_peak()
        before = resident("VmRSS")
        found = instance.read(array)
        peak = resident("VmHWM")
        if not np.array_equal(found, scene.data):
            raise WrongResult(f"{peer} read something else than was written")
        return {"": peak - before - found.nbytes / 2**20}


CASES = (PeakMemory(),)

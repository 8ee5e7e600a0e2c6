"""How long ``import`` takes in a new interpreter, beyond the interpreter's own start."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.peers import NAMES


def run_python(code: str) -> float:
    """Seconds that a new interpreter takes for this code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


@dataclass(frozen=True)
class ImportTime:
    """Imports the package, bytecode compiled and files in the page cache."""

    peers: tuple[str, ...] = NAMES
    name: str = "import"
    rows: tuple[RowSpec, ...] = (RowSpec("`import`", "s", Target(0.25, 0.12, is_ratio=False)),)
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        del setting, scene
        run_python(f"import {peer}")  # Compiles it, and brings it into the page cache.
        return {"": run_python(f"import {peer}") - run_python("pass")}


CASES = (ImportTime(),)

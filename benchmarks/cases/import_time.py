"""How long ``import`` takes in a new interpreter, beyond the interpreter's own start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.peers import NAMES


def run_python(code: str, bytecode: Path) -> float:
    """Seconds that a new interpreter takes for this code.

    Args:
        code: What to run.
        bytecode: Where bytecode is kept, whatever the environment says of keeping none.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
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
        del setting
        bytecode = scene.folder / "bytecode"
        run_python(f"import {peer}", bytecode)  # Compiles it; files come into the page cache.
        return {"": run_python(f"import {peer}", bytecode) - run_python("pass", bytecode)}


CASES = (ImportTime(),)

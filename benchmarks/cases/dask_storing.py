"""Jobs of Dask's that write shards of which several tasks have parts, by two processes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.loaded import need, timed


@dataclass(frozen=True)
class MisalignedShards:
    """``da.store`` with blocks that are no multiple of anything."""

    peers: tuple[str, ...] = ("asynctensor", "zarr")
    name: str = "frameworks-dask-shards"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "Dask: `da.store` of 512² elements in blocks of 48 x 80 into shards of 128², two "
            "processes: wrong elements",
            "elements",
            Target(0, 0, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        need("distributed")
        with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
            wrong, _, _ = timed(
                "benchmarks.dask_worker", {"peer": peer, "folder": folder, "kills": False}
            )
        return {"": wrong}


@dataclass(frozen=True)
class KilledTasks:
    """The same while processes are killed, each in the middle of a task."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "frameworks-dask-killed"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "the same, 3 processes killed in the middle of tasks: blocks that were lost, or "
            "counted twice",
            "blocks",
            Target(0, 0, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        del scene

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        need("distributed")
        with tempfile.TemporaryDirectory(dir=scene.folder) as folder:
            _, lost, more = timed(
                "benchmarks.dask_worker", {"peer": peer, "folder": folder, "kills": True}
            )
        return {"": lost + abs(more)}


CASES = (MisalignedShards(), KilledTasks())

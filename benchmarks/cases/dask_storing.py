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
            job = {"peer": peer, "folder": folder, "kills": False}
            (wrong,) = timed("benchmarks.dask_worker", job)
        return {"": wrong}


CASES = (MisalignedShards(),)

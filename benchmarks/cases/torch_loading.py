"""Loading samples into PyTorch: from a server 10 ms away, and crops of local files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.case import RowSpec, Scene, Target
from benchmarks.cases.whole_read import write_neutral
from benchmarks.far_server import FarServer, far_folder
from benchmarks.layouts import Layout
from benchmarks.loaded import loaded
from tests.servers.delay_relay import Way

SAMPLES = 512
CROPS = 512
CHUNKS = Layout(64, "blosc")
WORKER = "benchmarks.torch_worker"
#: How each peer loads: by its kind of dataset, and in how many processes.
HOW: dict[str, tuple[str, int]] = {
    "asynctensor": ("loader", 0),
    "tensorstore": ("futures", 0),
    "zarr": ("one", 2),
}


def write_rows(scene: Scene) -> None:
    """Writes an array of which each sample is a chunk."""
    data = np.asarray(scene.data[:, :64, :64])
    array = zarr.create_array(
        scene.folder / "array", shape=data.shape, dtype=data.dtype, chunks=(1, 64, 64),
        compressors=None, fill_value=0,
    )  # fmt: skip
    array[...] = data


def row_job(peer: str, setting: str, scene: Scene, how: str, workers: int) -> dict[str, Any]:
    """Loading each row of the array on the server once."""
    return {
        "peer": peer, "setting": setting, "location": f"{scene.server.url}array", "how": how,
        "workers": workers, "count": len(scene.data), "crops": False,
    }  # fmt: skip


@dataclass(frozen=True)
class FarSamples:
    """Loads samples of one chunk each, in batches of 64, shuffled."""

    peers: tuple[str, ...] = ("asynctensor", "zarr")
    name: str = "torch-far"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            f"10 ms away: {SAMPLES} samples of one chunk each, batches of 64, into PyTorch "
            "(zarr-python: DataLoader with 2 workers)",
            "s",
            Target(5.0, 20.0),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_rows(scene)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        data = scene.data[:, :64, :64]
        job = row_job(peer, setting, scene, *HOW[peer])
        return {"": loaded(WORKER, job, len(data), int(data.sum(dtype=np.int64)))}


@dataclass(frozen=True)
class FarOneByOne:
    """The same against one read for each sample, through the same library."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "torch-far-one-by-one"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "the same: time of batches against one read for each sample, through asynctensor",
            "times",
            Target(1 / 30, 1 / 50, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_rows(scene)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        data = scene.data[:, :64, :64]
        total = int(data.sum(dtype=np.int64))
        seconds = [
            loaded(WORKER, row_job(peer, setting, scene, how, 0), len(data), total)
            for how in ("loader", "one")
        ]
        return {"": seconds[0] / seconds[1]}


@dataclass(frozen=True)
class LocalCrops:
    """Loads crops at random corners of a cube on the local disk, in batches of 16."""

    against: str
    target: Target
    fresh_process: bool = True

    @property
    def peers(self) -> tuple[str, ...]:
        return ("asynctensor", self.against)

    @property
    def name(self) -> str:
        return f"torch-crops-{self.against}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        how = {"tensorstore": "a batch of Futures", "zarr": "DataLoader with 2 workers"}
        return (
            RowSpec(
                f"{CROPS} random 64³ crops out of {CHUNKS.title}, batches of 16, into PyTorch "
                f"({self.against}: {how[self.against]})",
                "s",
                self.target,
            ),
        )

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, CHUNKS)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        count = CROPS // 8 if scene.quick else CROPS
        how, workers = HOW[peer]
        job = {
            "peer": peer, "setting": setting, "location": str(scene.folder / "array"), "how": how,
            "workers": workers, "count": count, "crops": True, "edge": scene.data.shape[0],
        }  # fmt: skip
        return {"": loaded(WORKER, job, count, None)}


CASES = (
    FarOneByOne(),
    FarSamples(),
    LocalCrops("tensorstore", Target(1.2, 2.0)),
    LocalCrops("zarr", Target(3.0, 6.0)),
)

"""Loading samples into TensorFlow from a server 10 ms away."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.torch_loading import SAMPLES, write_rows
from benchmarks.far_server import FarServer, far_folder
from benchmarks.loaded import need, timed
from tests.servers.delay_relay import Way


@dataclass(frozen=True)
class FarBatches:
    """Loads samples of one chunk each, in batches of 64, shuffled: both ways by asynctensor."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "frameworks-tensorflow"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            f"10 ms away: {SAMPLES} samples of one chunk each, batches of 64, into `tf.data`: time "
            "of `to_tf_dataset` against `from_generator` with one read for each sample",
            "times",
            Target(1 / 30, 1 / 70, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_rows(scene)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        need("tensorflow")
        data = scene.data[:, :64, :64]
        total = int(data.sum(dtype=np.int64))
        job = {"peer": peer, "setting": setting, "location": f"{scene.server.url}array",
               "count": len(data)}  # fmt: skip
        answers = timed("benchmarks.tensorflow_worker", job)
        for _, count, found in answers:
            if (count, found) != (len(data), total):
                raise WrongResult(f"{peer} loaded {count} samples of the sum {found}")
        return {"": answers[0][0] / answers[1][0]}


CASES = (FarBatches(),)

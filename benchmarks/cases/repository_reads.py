"""Whole reads through a repository, against those of the same array in a plain layout."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.far_reads import loop
from benchmarks.distant import Distant
from benchmarks.layouts import BLOSC
from benchmarks.peers import Ground
from benchmarks.peers.with_asynctensor import s3_base

#: What this process has written, by case: through a repository, and plainly.
_written: dict[str, tuple[Any, Any]] = {}


async def written(scene: Scene, case: str, ground: Ground) -> tuple[Any, Any]:
    """The volume as an array of a repository, and in a plain layout in the same store."""
    import asynctensor as at

    if case not in _written:
        base = s3_base(ground)
        repository = await at.Repository.open(
            {**base, "path": f"{base['path']}repository/"}, create=True
        )
        plain = {**base, "path": f"{base['path']}plain/"}
        arrays = []
        for store in (repository.kvstore("array/"), plain):
            array = await at.open(
                {"driver": "zarr3", "kvstore": store},
                create=True,
                dtype="uint16",
                shape=scene.data.shape,
                chunk_layout=at.ChunkLayout(chunk_shape=[64, 64, 64]),
                codec=at.CodecSpec(
                    {"driver": "zarr3", "codecs": [{"name": "blosc", "configuration": BLOSC}]}
                ),
            )
            await array.write(np.asarray(scene.data))
            arrays.append(array)
        _written[case] = arrays[0], arrays[1]
    return _written[case]


async def ratio(scene: Scene, arrays: tuple[Any, Any], times: int) -> dict[str, float]:
    """The least time of a read through the repository, divided by that of a plain one."""
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(times):
        for array, mine in zip(arrays, taken, strict=True):
            began = time.perf_counter()
            found = await array.read()
            mine.append(time.perf_counter() - began)
            if not np.array_equal(found, scene.data):
                raise WrongResult("a whole read found something else")
            # Its memory is used again.
            del found
    return {"": min(taken[0]) / min(taken[1])}


@dataclass(frozen=True)
class NearRead:
    """Reads the whole volume from files."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "repo-whole-read"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "files: whole read through a repository, 64³ chunks, blosc, divided by that of a plain "
            "array",
            "times",
            Target(1.15, 1.0, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(scene))

    async def _measure(self, scene: Scene) -> dict[str, float]:
        arrays = await written(scene, self.name, Ground(str(scene.folder)))
        return await ratio(scene, arrays, 2 if scene.quick else 5)


@dataclass(frozen=True)
class FarRead(Distant):
    """Reads the whole volume from S3 with 20 ms for each request."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "repo-whole-read-far"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "20 ms away: the same",
            "times",
            Target(1.15, 1.0, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        arrays = await written(scene, self.name, Ground("lab", scene.server.endpoint))
        return await ratio(scene, arrays, 2)


CASES = (NearRead(), FarRead())

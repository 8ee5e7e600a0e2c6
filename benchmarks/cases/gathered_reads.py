"""2,000 reads of 16^3 values gathered, with nothing decoded before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.small_reads import CACHE_BYTES, LAYOUT, regions
from benchmarks.cases.whole_read import write_neutral
from benchmarks.peers import Peer, Region, peer_class

COUNT = 2000


@dataclass(frozen=True)
class GatheredReads:
    """Gathers all reads on one loop; the files are in the page cache, the chunk cache is empty."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    name: str = "gathered-cold"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            f"{COUNT:,} reads of 16³ out of 64³ chunks gathered, chunk cache empty",
            "s",
            Target(1.0, 2.0),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance = peer_class(peer)(setting)
        array = instance.open(scene.folder / "array", cache_bytes=CACHE_BYTES, recheck=False)
        wanted = regions(scene.data.shape[0], COUNT)
        return asyncio.run(self._read(instance, array, wanted, scene))

    async def _read(
        self, instance: Peer, array: object, wanted: list[Region], scene: Scene
    ) -> dict[str, float]:
        started = time.perf_counter()
        found = await asyncio.gather(*(instance.read_async(array, region) for region in wanted))
        seconds = time.perf_counter() - started
        for region, values in zip(wanted, found, strict=True):
            if not np.array_equal(values, scene.data[region]):
                raise WrongResult(f"a read of {region} differs")
        return {"": seconds}


CASES = (GatheredReads(),)

"""Reads of 16^3 values out of 64^3 chunks that are in the cache, awaited one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.whole_read import write_neutral
from benchmarks.layouts import Layout
from benchmarks.peers import Peer, Region, peer_class

EDGE = 16
LAYOUT = Layout(64, "blosc")
CACHE_BYTES = 1 << 30


def regions(length: int, count: int) -> list[Region]:
    """Random cubes at multiples of their edge, so that each lies in one chunk."""
    chance = random.Random(16)
    corners = ([chance.randrange(length // EDGE) * EDGE for _ in range(3)] for _ in range(count))
    return [tuple(slice(i, i + EDGE) for i in corner) for corner in corners]


@dataclass(frozen=True)
class SmallReads:
    """Awaits reads one by one; what is shown is the time of one."""

    recheck: bool
    target: Target
    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    fresh_process: bool = True

    @property
    def name(self) -> str:
        return f"small-{'rechecked' if self.recheck else 'cached'}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        how = "at the default recheck" if self.recheck else "recheck off"
        title = f"one 16³ read out of cached 64³ chunks, {how}, awaited"
        return (RowSpec(title, "us", self.target),)

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance = peer_class(peer)(setting)
        array = instance.open(scene.folder / "array", cache_bytes=CACHE_BYTES, recheck=self.recheck)
        wanted = regions(scene.data.shape[0], 200 if scene.quick else 2000)
        return asyncio.run(self._read(instance, array, wanted, scene))

    async def _read(
        self, instance: Peer, array: object, wanted: list[Region], scene: Scene
    ) -> dict[str, float]:
        for region in wanted:  # Fills the cache.
            found = await instance.read_async(array, region)
            if not np.array_equal(found, scene.data[region]):
                raise WrongResult(f"a read of {region} differs")
        started = time.perf_counter()
        for region in wanted:
            await instance.read_async(array, region)
        return {"": (time.perf_counter() - started) / len(wanted) * 1e6}


CASES = (SmallReads(False, Target(2.0, 4.0)), SmallReads(True, Target(1.0, 1.5)))

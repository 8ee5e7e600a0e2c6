"""How late a 1 ms timer on the caller's loop runs while a large read is awaited there."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.whole_read import write_neutral
from benchmarks.layouts import Layout
from benchmarks.peers import NAMES, Peer, peer_class

LAYOUT = Layout(64, "blosc")
TICK = 0.001
TITLE = "lateness of a 1 ms timer on the caller's loop during large reads"


@dataclass(frozen=True)
class LoopLateness:
    """Reads the volume again and again for three seconds, with asyncio's own event loop."""

    peers: tuple[str, ...] = NAMES
    name: str = "lateness"
    rows: tuple[RowSpec, ...] = (
        RowSpec(f"{TITLE}: p99", "ms", Target(2.0, 1.0, is_ratio=False), "p99"),
        RowSpec(f"{TITLE}: max", "ms", Target(8.0, 5.0, is_ratio=False), "max"),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance = peer_class(peer)(setting)
        array = instance.open(scene.folder / "array")
        return asyncio.run(self._read(instance, array, scene))

    async def _read(self, instance: Peer, array: object, scene: Scene) -> dict[str, float]:
        everything = (slice(None),) * 3
        found = await instance.read_async(array, everything)
        if not np.array_equal(found, scene.data):
            raise WrongResult("a whole read differs")
        del found
        late: list[float] = []
        timer = asyncio.create_task(self._tick(late))
        end = time.perf_counter() + (0.5 if scene.quick else 3)
        while time.perf_counter() < end:
            await instance.read_async(array, everything)
        timer.cancel()
        values = np.array(late) * 1e3
        return {"p99": float(np.percentile(values, 99)), "max": float(values.max())}

    async def _tick(self, late: list[float]) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - started - TICK)


CASES = (LoopLateness(),)

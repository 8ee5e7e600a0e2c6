"""Reading a sharded array from a server that is a round trip of 30 ms away."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.whole_read import write_neutral
from benchmarks.far_server import FarServer, far_folder
from benchmarks.layouts import Layout
from benchmarks.peers import Peer, Region, peer_class

LAYOUT = Layout(32, "blosc", shard=128)
PEERS = ("asynctensor", "tensorstore", "zarr")
BOX = 32
#: Boxes along each edge.
COUNT = 4
#: Arrays that this process has opened, by URL: opening is not what is measured.
_opened: dict[str, tuple[Peer, Any]] = {}
_runners: list[asyncio.Runner] = []


def loop() -> asyncio.Runner:
    """The event loop of this process, the same one in every round: stores live on it."""
    if not _runners:
        _runners.append(asyncio.Runner())
    return _runners[0]


def opened(peer: str, setting: str, url: str) -> tuple[Peer, Any]:
    """A peer and the array below a URL."""
    if url not in _opened:
        instance = peer_class(peer)(setting)
        _opened[url] = instance, instance.open(f"{url}array")
    return _opened[url]


@dataclass(frozen=True)
class FarNeighbours:
    """64 coroutines read small boxes, neighbours of each other, in the same moment."""

    peers: tuple[str, ...] = PEERS
    name: str = "network-far-neighbours"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "30 ms away: 64 coroutines, each reading 32³ beside the others, 32³ in 128³ shards",
            "s",
            Target(2.0, 3.0),
            "time",
        ),
        RowSpec("the same: requests", "", Target(3.0, 8.0), "requests"),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance, array = opened(peer, setting, scene.server.url)
        scene.server.relay.counts()
        seconds = loop().run(self._measure(instance, array, scene))
        return {"time": seconds, "requests": scene.server.relay.counts()["requests"]}

    async def _measure(self, instance: Peer, array: Any, scene: Scene) -> float:
        regions = boxes(scene.data.shape[0])
        started = time.perf_counter()
        found = await asyncio.gather(*(instance.read_async(array, region) for region in regions))
        seconds = time.perf_counter() - started
        for region, values in zip(regions, found, strict=True):
            if not np.array_equal(values, scene.data[region]):
                raise WrongResult(f"a read of {region} differs")
        return seconds


def boxes(edge: int) -> list[Region]:
    """Boxes side by side in the middle of a cube, cut across its chunks."""
    corner = edge // 2 - BOX * COUNT // 2 - BOX // 2
    places = [corner + BOX * k for k in range(COUNT)]
    return [
        tuple(slice(at, at + BOX) for at in position)
        for position in itertools.product(places, repeat=3)
    ]


@dataclass(frozen=True)
class FarRead:
    """Reads the whole volume."""

    peers: tuple[str, ...] = PEERS
    name: str = "network-far-read"
    rows: tuple[RowSpec, ...] = (
        RowSpec(f"30 ms away: whole read, {LAYOUT.title}", "s", Target(1.0, 1.3)),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance, array = opened(peer, setting, scene.server.url)
        started = time.perf_counter()
        found = instance.read(array)
        seconds = time.perf_counter() - started
        if not np.array_equal(found, scene.data):
            raise WrongResult(f"{peer} read something else than was written")
        return {"": seconds}


@dataclass(frozen=True)
class SmallBesideLarge:
    """Reads small boxes one after the other, alone and while everything is read again and again."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    name: str = "network-beside"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "30 ms away: p95 of a small read beside a read of 2 GB, against alone",
            "times",
            Target(3.0, 1.5, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        write_neutral(scene, LAYOUT)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        instance, array = opened(peer, setting, scene.server.url)
        return {"": loop().run(self._measure(instance, array, scene))}

    async def _measure(self, instance: Peer, array: Any, scene: Scene) -> float:
        everything = tuple(slice(0, n) for n in scene.data.shape)
        alone = await _latencies(instance, array, scene, 20)

        async def large() -> None:
            for _ in range(1 if scene.quick else 8):
                await instance.read_async(array, everything)

        reading = asyncio.ensure_future(large())
        beside: list[float] = []
        while not reading.done():
            beside += await _latencies(instance, array, scene, 1)
        await reading
        return quantile(beside, 0.95) / quantile(alone, 0.95)


async def _latencies(instance: Peer, array: Any, scene: Scene, count: int) -> list[float]:
    chance = np.random.default_rng(count)
    found = []
    for _ in range(count):
        corner = [int(chance.integers(0, n - 16)) for n in scene.data.shape]
        region = tuple(slice(at, at + 16) for at in corner)
        started = time.perf_counter()
        values = await instance.read_async(array, region)
        found.append(time.perf_counter() - started)
        if not np.array_equal(values, scene.data[region]):
            raise WrongResult(f"a read of {region} differs")
    return found


def quantile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


CASES = (FarNeighbours(), FarRead(), SmallBesideLarge())

"""Ranged GETs of 64 KiB from a web server on the loopback, 64 in flight."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.peers import StorePeer, store_peer_class
from benchmarks.web_server import WebServer, serving

SIZE = 64 * 1024
OBJECTS = 512
IN_FLIGHT = 64


@dataclass(frozen=True)
class HttpGets:
    """Sixty-four coroutines, each of which awaits one range after the other.

    Every read is of another object than those beside it, so that none can be merged.
    """

    rival: str
    secure: bool
    target: Target
    fresh_process: bool = False

    @property
    def peers(self) -> tuple[str, ...]:
        return ("asynctensor", self.rival)

    @property
    def name(self) -> str:
        return f"{'https' if self.secure else 'http'}-gets-{self.rival}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        scheme = "https" if self.secure else "http"
        title = f"one GET of 64 KiB by {scheme} from the loopback, 64 in flight: {self.rival}"
        return (RowSpec(title, "us", self.target),)

    def prepare(self, scene: Scene) -> None:
        (scene.folder / "objects").mkdir()
        for k in range(OBJECTS):
            (scene.folder / "objects" / f"{k}").write_bytes(content(k))

    def serve(self, folder: Path) -> AbstractContextManager[WebServer]:
        return serving(folder, folder / "server")

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return _loop().run(self._measure(store_peer_class(peer)(setting), scene))

    async def _measure(self, instance: StorePeer, scene: Scene) -> dict[str, float]:
        server: WebServer = scene.server
        url = server.secure_url if self.secure else server.url
        store = _stores.get(url)
        if store is None:
            store = _stores[url] = await instance.open_store(url, server.authority)
        await self._check(instance, store)
        count = 1024 if scene.quick else 8192
        numbers = iter(range(count))

        async def one_after_the_other() -> None:
            for k in numbers:
                found = await instance.read_range(store, *place(k))
                assert len(found) == SIZE

        started = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
        return {"": (time.perf_counter() - started) / count * 1e6}

    async def _check(self, instance: StorePeer, store: Any) -> None:
        reads = [instance.read_range(store, *place(k)) for k in range(IN_FLIGHT)]
        for k, found in enumerate(await asyncio.gather(*reads)):
            _, start, stop = place(k)
            if bytes(found) != content(k)[start:stop]:
                raise WrongResult(f"range {start} to {stop} of object {k} differs")


def content(k: int) -> bytes:
    """Bytes of an object: four times `SIZE`."""
    seed = int.from_bytes(hashlib.sha256(b"%d" % k).digest()[:8])
    return np.random.default_rng(seed).bytes(4 * SIZE)


def place(k: int) -> tuple[str, int, int]:
    """Key and range of the `k`-th read."""
    start = k // OBJECTS % 4 * SIZE
    return f"objects/{k % OBJECTS}", start, start + SIZE


_stores: dict[str, Any] = {}
_runners: list[asyncio.Runner] = []


def _loop() -> asyncio.Runner:
    """The event loop of this process, the same one in every round: stores live on it."""
    if not _runners:
        _runners.append(asyncio.Runner())
    return _runners[0]


CASES = (
    HttpGets("obstore", False, Target(1.0, 1.5)),
    HttpGets("s3fs", False, Target(4.0, 8.0)),
    HttpGets("obstore", True, Target(0.7, 1.0)),
)

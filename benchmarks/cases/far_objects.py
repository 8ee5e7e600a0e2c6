"""Objects 30 ms away: late answers, many writes, much memory."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.request
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import asynctensor as ts
from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.cases.far_reads import loop, quantile
from benchmarks.cases.peak_memory import reset_peak, resident
from benchmarks.far_server import ROUND_TRIP, FarServer, far_objects
from tests.servers.delay_relay import Way

OBJECT = 2**20
SMALL = 16 * 2**10
BUCKET = "bucket"
CREDENTIALS = {"type": "environment"}
_kept: dict[str, Any] = {}


def put(server: FarServer, key: str, value: bytes) -> None:
    """Puts an object by the short way."""
    request = urllib.request.Request(f"{server.near}{key}", data=value, method="PUT")
    urllib.request.urlopen(request).close()


@dataclass(frozen=True)
class Hedging:
    """Small reads, of which one in eighty is answered a second late."""

    peers: tuple[str, ...] = ("asynctensor",)
    name: str = "network-hedging"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "30 ms away, 1% of answers 1 s late: p99 of a small read, hedged against not",
            "times",
            Target(1 / 3, 1 / 5, is_ratio=False),
            "p99",
        ),
        RowSpec(
            "the same: further requests per request",
            "",
            Target(0.05, 0.02, is_ratio=False),
            "requests",
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        # A little more than 1%, so that the 99th percentile is one of the late ones.
        return far_objects(folder, Way(ROUND_TRIP, 0.0, 0.0125, 1.0))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(scene))

    async def _measure(self, scene: Scene) -> dict[str, float]:
        if not _kept:
            put(scene.server, "repeated/content", np.random.default_rng(1).bytes(OBJECT))
            for share in (0.0, 0.05):
                context = ts.Context({"request_hedging": {"extra_requests": share}})
                json = {"driver": "http", "base_url": scene.server.url}
                _kept[f"{share}"] = await ts.KvStore.open(json, context=context)
                await self._reads(_kept[f"{share}"], 400)
        count = 200 if scene.quick else 1000
        counts = scene.server.relay.counts
        counts()
        plain = await self._reads(_kept["0.0"], count)
        usual = counts()["requests"]
        hedged = await self._reads(_kept["0.05"], count)
        made = counts()["requests"]
        return {
            "p99": quantile(hedged, 0.99) / quantile(plain, 0.99),
            "requests": made / usual - 1,
        }

    async def _reads(self, store: ts.KvStore, count: int) -> list[float]:
        times: list[float] = []
        numbers = iter(range(count))
        chance = random.Random(count)

        # Each of objects of its own, so that none can be merged.
        async def reader(key: str) -> None:
            for _ in numbers:
                at = chance.randrange(OBJECT - SMALL)
                started = time.perf_counter()
                found = await store.read(key, byte_range=slice(at, at + SMALL))
                times.append(time.perf_counter() - started)
                if len(found.value) != SMALL:
                    raise WrongResult("a range has another length")

        await asyncio.gather(*(reader(f"repeated/{k}") for k in range(16)))
        return times


CHUNKS = 1000
CHUNK = (64, 64, 32)


@dataclass(frozen=True)
class FarWrite:
    """Writes an array of 1,000 chunks of 256 KiB; obstore puts as many objects."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore", "obstore")
    name: str = "network-far-write"
    rows: tuple[RowSpec, ...] = (
        RowSpec("30 ms away: write of 1,000 chunks of 256 KiB, raw, to S3", "s", Target(1.0, 1.5)),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_objects(folder)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        count = 100 if scene.quick else CHUNKS
        data = np.arange(count * CHUNK[0] * CHUNK[1] * CHUNK[2], dtype=np.uint16)
        data = data.reshape(count * CHUNK[0], *CHUNK[1:])
        _kept["number"] = number = _kept.get("number", 0) + 1
        path = f"{peer}-{setting}-{number}/"
        if peer == "obstore":
            return {"": loop().run(_put_all(scene.server, path, data, count))}
        return {"": loop().run(_write(peer, scene.server, path, data))}


async def _write(peer: str, server: FarServer, path: str, data: Any) -> float:
    import importlib
    import os

    library = importlib.import_module(peer)
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    if "context" not in _kept:
        _kept["context"] = library.Context()
    spec = {
        "driver": "zarr3",
        "kvstore": {
            "driver": "s3",
            "bucket": BUCKET,
            "path": path,
            "endpoint": server.url.rstrip("/"),
            "aws_region": "us-east-1",
            "aws_credentials": CREDENTIALS,
        },
        "metadata": {
            "shape": list(data.shape),
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        },
        "create": True,
    }
    array = await library.open(spec, context=_kept["context"])
    started = time.perf_counter()
    await array.write(data)
    seconds = time.perf_counter() - started
    last = data[-CHUNK[0] :]
    if not np.array_equal(await array[data.shape[0] - CHUNK[0] :].read(), last):
        raise WrongResult(f"{peer} wrote something else")
    return seconds


async def _put_all(server: FarServer, path: str, data: Any, count: int) -> float:
    import obstore
    from obstore.store import S3Store

    if "store" not in _kept:
        _kept["store"] = S3Store(
            BUCKET,
            endpoint=server.url.rstrip("/"),
            region="us-east-1",
            access_key_id="key",
            secret_access_key="secret",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
    store = _kept["store"]
    chunks = [data[k * CHUNK[0] : (k + 1) * CHUNK[0]].tobytes() for k in range(count)]
    started = time.perf_counter()
    puts = (
        obstore.put_async(store, f"{path}c/{k}", chunk, use_multipart=False)
        for k, chunk in enumerate(chunks)
    )
    await asyncio.gather(*puts)
    return time.perf_counter() - started


EDGE = 128


@dataclass(frozen=True)
class FarMemory:
    """Reads 4 GiB, all chunks of which are alike; the output is not counted."""

    peers: tuple[str, ...] = ("asynctensor", "tensorstore")
    name: str = "network-memory"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "30 ms away: peak memory of a read of 4 GiB beyond the output, 128³ chunks, raw",
            "MiB",
            Target(350, 300, is_ratio=False),
        ),
    )
    fresh_process: bool = True

    def prepare(self, scene: Scene) -> None:
        pass

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_objects(folder)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        import importlib

        library = importlib.import_module(peer)
        chunk = np.arange(EDGE**3, dtype=np.uint16)
        put(scene.server, "repeated/content", chunk.tobytes())
        count = 64 if scene.quick else 1024
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "http", "base_url": f"{scene.server.url}repeated/"},
            "metadata": {
                "shape": [count * EDGE, EDGE, EDGE],
                "data_type": "uint16",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [EDGE] * 3}},
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            },
            "open": True,
            "assume_metadata": True,
        }
        array = library.open(spec).result()
        array[:EDGE].read().result()
        reset_peak()
        before = resident("VmRSS")
        found = array.read().result()
        peak = resident("VmHWM")
        if not np.array_equal(found[-EDGE:].reshape(-1), chunk):
            raise WrongResult(f"{peer} read something else")
        return {"": peak - before - found.nbytes / 2**20}


CASES = (Hedging(), FarWrite(), FarMemory())

"""A tile service with FastAPI: how many tiles it serves, and how late a trivial answer comes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.case import RowSpec, Scene, Target, WrongResult
from benchmarks.far_server import FarServer, far_folder
from benchmarks.loaded import need
from benchmarks.tile_client import pixels
from tests.servers.delay_relay import Way

EDGE, SHARD = 4096, 1024
#: Processes that ask, and connections of each.
CLIENTS, CONNECTIONS = 2, 16
#: Bytes of the servers' caches: all of the picture, decoded, and an eighth of it.
ALL, LITTLE = 2**26, 2**22
#: The servers that this process has started, by peer, setting and bytes of the cache: they are
#: measured warm, and end when this process does.
_servers: dict[tuple[str, str, int], tuple[subprocess.Popen[str], int]] = {}


def write_picture(scene: Scene, chunk: int = 256) -> None:
    """Writes a picture."""
    array = zarr.create_array(
        scene.folder / "picture", shape=(EDGE, EDGE), dtype="uint16", shards=(SHARD, SHARD),
        chunks=(chunk, chunk),
    )  # fmt: skip
    array[...] = pixels(np.arange(EDGE), np.arange(EDGE))


def port_of(peer: str, setting: str, scene: Scene, cache: int = ALL) -> int:
    """The port of a server of this peer, which is started when it is first asked for."""
    if (peer, setting, cache) not in _servers:
        command = [sys.executable, "-m", "benchmarks.tile_server", peer, setting, str(cache)]
        server = subprocess.Popen(
            [*command, f"{scene.server.url}picture/"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"a tile server over {peer} did not start")
        _servers[peer, setting, cache] = server, int(line)
    return _servers[peer, setting, cache][1]


@contextmanager
def client(job: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that asks, ready to begin."""
    command = [sys.executable, "-m", "benchmarks.tile_client", json.dumps(job)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as found:
        try:
            assert found.stdout is not None
            if found.stdout.readline() != "ready\n":
                raise RuntimeError("a client did not start")
            yield found
        finally:
            found.kill()


def go(process: subprocess.Popen[str]) -> None:
    """Has a client begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> Any:
    """What a client answers, when it is done."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@dataclass(frozen=True)
class Tiles:
    """Random tiles for many connections at once; everything was asked for before.

    Over the `LITTLE` cache there is a bound that no service passes: tiles come in no order, so that
    whatever is kept, an eighth of them is there (of what `CacheStore` keeps encoded, a quarter);
    tiles that are fetched already when others ask for them do the rest, and 0.79 and 0.77 requests
    are made for each. 32 connections hide 10 ms; what is left is processor time, which clients,
    relay and web server share with the service. A third of zarr-python's is about what a tile
    takes that is in the cache, nearly all of it FastAPI's.

    Attributes:
        chunk: Edge of a chunk.
        cache: Bytes that the server keeps: `ALL`, or so `LITTLE` that it has to ask the store.
        each: Tiles that a connection asks for.
    """

    chunk: int
    cache: int
    each: int
    peers: tuple[str, ...] = ("asynctensor", "zarr")
    fresh_process: bool = False

    @property
    def name(self) -> str:
        return f"web-tiles-{'' if self.cache == ALL else 'far-'}{self.chunk}"

    @property
    def rows(self) -> tuple[RowSpec, ...]:
        return (
            RowSpec(
                f"10 ms away: a tile of 256² by FastAPI, out of a picture of {EDGE}² in shards of "
                f"{SHARD}² with chunks of {self.chunk}², over a cache of {self.cache >> 20} MiB "
                f"({'that holds it all' if self.cache == ALL else 'an eighth of it'}); {CLIENTS} "
                f"client processes with {CONNECTIONS} connections each",
                "ms",
                Target(3.0, 6.0),
            ),
        )

    def prepare(self, scene: Scene) -> None:
        need("fastapi", "uvicorn")
        write_picture(scene, self.chunk)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        port = port_of(peer, setting, scene, self.cache)
        each = self.each // 5 if scene.quick else self.each
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    client({"job": "tiles", "port": port, "each": each, "seed": seed,
                            "tiles": EDGE // 256, "connections": CONNECTIONS})
                )
                for seed in range(CLIENTS)
            ]  # fmt: skip
            started = time.perf_counter()
            for one in clients:
                go(one)
            wrong = sum(map(answer, clients))
            seconds = time.perf_counter() - started
        if wrong:
            raise WrongResult(f"{wrong} tiles are wrong")
        return {"": seconds * 1000 / (CLIENTS * CONNECTIONS * each)}


@dataclass(frozen=True)
class LittleBesideMuch:
    """A trivial answer while another client downloads the whole picture again and again."""

    peers: tuple[str, ...] = ("asynctensor", "zarr")
    name: str = "web-little"
    rows: tuple[RowSpec, ...] = (
        RowSpec(
            "the same: a trivial answer while another process downloads the whole picture: p99",
            "ms",
            Target(20, 10, is_ratio=False),
        ),
    )
    fresh_process: bool = False

    def prepare(self, scene: Scene) -> None:
        need("fastapi", "uvicorn")
        write_picture(scene)

    def serve(self, folder: Path) -> AbstractContextManager[FarServer]:
        return far_folder(folder, Way(0.010))

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        job = {"port": port_of(peer, setting, scene), "each": 200 if scene.quick else 1000}
        with client({**job, "job": "all"}) as much, client({**job, "job": "little"}) as little:
            go(much)
            go(little)
            waits = answer(little)
        return {"": float(np.percentile(waits, 99)) * 1e3}


CASES = (Tiles(256, ALL, 100), Tiles(256, LITTLE, 100), Tiles(64, ALL, 30), LittleBesideMuch())

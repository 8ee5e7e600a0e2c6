"""A tile service with FastAPI, and its load test.

``python -m examples.tiles`` makes a picture of 4096 x 4096, has a process of its own serve it on
this machine, asks for random tiles from many clients at once, then for trivial answers while one
client downloads all of it, and says how that went.
Needs ``pip install fastapi uvicorn``. In your own service, `service` is all you need::

    uvicorn --factory "mymodule:application"
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

import asynctensor as at
from asynctensor.integrations.web import Budget, add_answers, body, until_disconnect

TILE = 256
EDGE = 4096
#: Trivial requests beside a heavy one.
_LITTLE = 300


def service(picture: at.TensorStore) -> FastAPI:
    """Tiles of a picture: cancelled with their clients, at most 64 MiB of them at a time."""
    app, budget = FastAPI(), Budget(64 * 2**20)
    add_answers(app)

    @app.get("/tiles/{y}/{x}")
    async def tile(request: Request, y: int, x: int) -> Response:
        view = picture[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        found = await until_disconnect(request, budget.read(view, timeout=30))
        return Response(memoryview(found).cast("B"), media_type="application/octet-stream")

    @app.get("/picture")
    async def whole() -> StreamingResponse:
        return StreamingResponse(body(picture))

    @app.get("/metrics")
    async def metrics() -> Response:
        lines = at.experimental_collect_prometheus_format_metrics()
        return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


async def paint(folder: Path) -> at.TensorStore:
    """A picture in shards, with a cache of decoded chunks."""
    values = np.add.outer(np.arange(EDGE), np.arange(EDGE)).astype("uint16")
    picture = await at.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}},
        create=True, delete_existing=True, dtype="uint16", shape=[EDGE, EDGE],
        context=at.Context({"cache_pool": {"total_bytes_limit": 2**24}}),
        chunk_layout=at.ChunkLayout(write_chunk_shape=[1024, 1024], read_chunk_shape=[256, 256]),
    )  # fmt: skip
    await picture.write(values)
    return picture


async def serve(folder: Path) -> None:
    """Serves the picture at a free port of this machine, and says its URL."""
    # Said to be of TCP, so that asyncio has answers sent at once, head and body (TCP_NODELAY).
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        app = service(await paint(folder))
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([listening])


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """Has a process of its own serve the picture; gives its URL."""
    command = [sys.executable, "-m", "examples.tiles", "--serve", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.communicate()


@dataclass(frozen=True)
class Load:
    """How a load test went: tiles, seconds of all, and the worst of 100 of a trivial answer."""

    tiles: int
    seconds: float
    health_p99: float


async def load(url: str, clients: int, tiles: int, little: int) -> Load:
    """Asks for tiles from many clients at once; then for little, beside who downloads everything.

    Raises:
        RuntimeError: A tile is wrong.
    """
    chance = random.Random(1)
    waits: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in range(tiles):
            y, x = chance.randrange(EDGE // TILE), chance.randrange(EDGE // TILE)
            async with session.get(f"{url}/tiles/{y}/{x}") as answer:
                found = np.frombuffer(await answer.read(), "uint16").reshape(TILE, TILE)
            if found[3, 5] != (y + x) * TILE + 8:
                raise RuntimeError(f"tile {y}/{x} is wrong")

    async def glutton(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(f"{url}/picture") as answer:
                async for _ in answer.content.iter_any():
                    pass

    async def patient(session: aiohttp.ClientSession) -> None:
        for _ in range(little):
            started = time.perf_counter()
            async with session.get(f"{url}/health") as answer:
                await answer.read()
            waits.append(time.perf_counter() - started)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(session))
        seconds = time.perf_counter() - started
        beside = asyncio.ensure_future(glutton(session))
        await patient(session)
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    return Load(clients * tiles, seconds, sorted(waits)[int(len(waits) * 0.99)])


async def main(clients: int, tiles: int, little: int = _LITTLE) -> Load:
    """Makes the picture, serves it, tests it, and says how it went."""
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder)) as url:
            found = await load(url, clients, tiles, little)
    print(
        f"{found.tiles} tiles of {TILE} x {TILE} for {clients} clients in {found.seconds:.2f} s: "
        f"{found.tiles / found.seconds:.0f} a second; "
        f"p99 of a trivial answer beside a download of everything {found.health_p99 * 1e3:.1f} ms"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A tile service, and its load test.")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--tiles", type=int, default=50, help="tiles that each client asks for")
    parser.add_argument("--serve", type=Path, metavar="FOLDER", help="only serve, from there")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve))
    else:
        asyncio.run(main(arguments.clients, arguments.tiles))

"""A process that asks a tile service; see `loaded.timed`.

Its job is one of three: ``tiles`` asks for random tiles over several connections at once, and
answers with how many had wrong elements; ``little`` asks for trivial answers one after the other,
and answers with how many seconds each took; ``all`` downloads everything again and again until it
is ended.

It talks HTTP by itself, as little of it as is needed: what a client costs is not what is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import numpy as np
import uvloop

TILE = 256


class Connection:
    """A connection that is kept, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        """A connection to a server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def get(self, path: str) -> bytes:
        """The body of an answer that says how long it is.

        Raises:
            RuntimeError: It is not 200.
        """
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{path}: {head!r:.100}")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        return await self._reader.readexactly(length)

    async def drop(self, path: str) -> None:
        """Reads an answer in chunks to its end, and forgets it."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")
        while length := int(await self._reader.readline(), 16):
            while length > 0:
                length -= len(await self._reader.read(min(length, 2**20)))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)


def pixels(rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements of the picture: a slope, and noise in four bits, as cameras give."""
    mixed = np.multiply.outer(rows + 1, columns * 2 + 1).astype("uint64") * 0x9E3779B97F4A7C15
    slope = np.add.outer(rows * 3, columns)
    return (slope + (mixed >> np.uint64(60)).astype(slope.dtype)).astype("uint16")


def expected(y: int, x: int) -> np.ndarray[Any, Any]:
    """The elements of a tile."""
    return pixels(np.arange(TILE) + y * TILE, np.arange(TILE) + x * TILE)


async def tiles(job: dict[str, Any]) -> int:
    """Asks for random tiles; how many were wrong."""
    chance = random.Random(job["seed"])
    firsts = np.arange(job["tiles"]) * TILE
    corners = pixels(firsts, firsts).tolist()
    wrong = 0

    async def some(connection: Connection) -> None:
        nonlocal wrong
        for _ in range(job["each"]):
            y, x = chance.randrange(job["tiles"]), chance.randrange(job["tiles"])
            body = await connection.get(f"/tiles/{y}/{x}")
            corner = int.from_bytes(body[:2], "little")
            wrong += len(body) != 2 * TILE * TILE or corner != corners[y][x]

    connections = [await Connection.to(job["port"]) for _ in range(job["connections"])]
    body = await connections[0].get("/tiles/1/2")
    wrong += not np.array_equal(np.frombuffer(body, "uint16").reshape(TILE, TILE), expected(1, 2))
    ready()
    await asyncio.gather(*map(some, connections))
    return wrong


async def little(job: dict[str, Any]) -> list[float]:
    """Asks for trivial answers; the seconds that each took."""
    connection = await Connection.to(job["port"])
    waits = []
    ready()
    for _ in range(job["each"]):
        started = time.perf_counter()
        await connection.get("/health")
        waits.append(time.perf_counter() - started)
    return waits


async def all_of_it(job: dict[str, Any]) -> None:
    """Downloads everything, again and again."""
    connection = await Connection.to(job["port"])
    await connection.drop("/picture")
    ready()
    while True:
        await connection.drop("/picture")


def ready() -> None:
    """Waits until everybody is."""
    print("ready", flush=True)
    sys.stdin.readline()


JOBS = {"tiles": tiles, "little": little, "all": all_of_it}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(JOBS[asked["job"]](asked))), flush=True)

"""A tile service with FastAPI over one library, in a process of its own.

``python -m benchmarks.tile_server PEER SETTING CACHE URL`` serves the picture at the URL on a free
port of this machine, over a cache of so many bytes, says the port, and ends with its standard
input. Over asynctensor it is the service of `examples.tiles`; over zarr-python one with the same
routes, as its users would write it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

TILE = 256


async def with_asynctensor(url: str, cache: int) -> FastAPI:
    """The service of the examples."""
    import asynctensor as at
    from examples.tiles import service

    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "http", "base_url": url},
        "recheck_cached_data": False,
        "recheck_cached_metadata": "open",
    }
    context = at.Context({"cache_pool": {"total_bytes_limit": cache}})
    return service(await at.open(spec, context=context))


async def with_zarr(url: str, setting: str, cache: int) -> FastAPI:
    """The same over zarr-python: its quickest store, and a cache of what is stored."""
    import zarr.api.asynchronous
    from obstore.store import HTTPStore
    from zarr.experimental.cache_store import CacheStore
    from zarr.storage import MemoryStore, ObjectStore

    from benchmarks.peers.with_zarr import Peer

    Peer(setting)
    options: Any = {"allow_http": True, "timeout": timedelta(seconds=60)}
    far = ObjectStore(HTTPStore.from_url(url, client_options=options), read_only=True)
    store = CacheStore(far, cache_store=MemoryStore(), max_size=cache)
    picture: Any = await zarr.api.asynchronous.open_array(store=store, mode="r")
    app = FastAPI()

    @app.get("/tiles/{y}/{x}")
    async def tile(y: int, x: int) -> Response:
        region = slice(y * TILE, (y + 1) * TILE), slice(x * TILE, (x + 1) * TILE)
        found = await picture.getitem(region)
        return Response(found.tobytes(), media_type="application/octet-stream")

    @app.get("/picture")
    async def whole() -> StreamingResponse:
        async def blocks() -> AsyncIterator[bytes]:
            for y in range(0, picture.shape[0], 4 * TILE):
                yield (await picture.getitem((slice(y, y + 4 * TILE), slice(None)))).tobytes()

        return StreamingResponse(blocks())

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


async def serve(peer: str, setting: str, cache: int, url: str) -> None:
    """Serves until the process is ended."""
    threading.Thread(target=_ends_with_its_parent, daemon=True).start()
    if peer == "asynctensor":
        app = await with_asynctensor(url, cache)
    else:
        app = await with_zarr(url, setting, cache)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
        await uvicorn.Server(config).serve([listening])


def _ends_with_its_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    # As the command line of uvicorn does, where it is installed.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        peer, setting, cache, url = sys.argv[1:]
        runner.run(serve(peer, setting, int(cache), url))

"""A service whose requests each write several arrays, all or none; conflicts are retried.

``python -m examples.laboratory FOLDER`` serves on port 8080::

    POST /measure  {"plate": 0, "readings": [...], "reagent": 2, "amount": 5}
    POST /restock  {"reagent": 2, "amount": 100}
    GET  /stock            what there is, was delivered and was used, and the commit that says so
    GET  /stock?commit=ID  the same as of that commit

At every commit, the stock is what was delivered less what was used: no request sees it otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from aiohttp import web

import asynctensor as at
from asynctensor.errors import Aborted

PLATES, WELLS, REAGENTS = 16, 96, 8
ATTEMPTS = 20
Change = Callable[[at.Transaction], Awaitable[None]]
#: Name: data type, shape, chunks. Each reagent has chunks of its own, so that requests for
#: different ones never conflict.
ARRAYS: dict[str, tuple[str, list[int], list[int]]] = {
    "readings": ("float32", [PLATES, WELLS], [1, WELLS]),
    "stock": ("int64", [REAGENTS], [1]),
    "delivered": ("int64", [REAGENTS], [1]),
    "used": ("int64", [REAGENTS], [1]),
}


class Laboratory:
    """Four arrays of one repository, and what requests do to them."""

    def __init__(self, repository: at.Repository, arrays: dict[str, at.TensorStore]) -> None:
        self.repository = repository
        self._arrays = arrays

    @staticmethod
    async def open(location: Any) -> Laboratory:
        """Opens the repository, or makes it, with all its arrays in one commit."""
        repository = await at.Repository.open(location, create=True)
        async with repository.transaction(message="Open the laboratory") as transaction:
            for name, (dtype, shape, chunks) in ARRAYS.items():
                await at.open(
                    {"driver": "zarr3", "kvstore": repository.kvstore(name)},
                    open=True,
                    create=True,
                    dtype=dtype,
                    shape=shape,
                    chunk_layout=at.ChunkLayout(chunk_shape=chunks),
                    transaction=transaction,
                )
        return Laboratory(repository, await _opened(repository))

    async def measure(self, plate: int, readings: list[float], reagent: int, amount: int) -> str:
        """Notes the readings of a plate, and the reagent that they took. Gives the commit."""

        async def change(transaction: at.Transaction) -> None:
            left = await self._add(transaction, "stock", reagent, -amount)
            if left < 0:
                raise web.HTTPConflict(text=f"only {left + amount} of reagent {reagent} are left")
            await self._add(transaction, "used", reagent, amount)
            await self._arrays["readings"][plate].with_transaction(transaction).write(readings)

        return await self._committed(f"Plate {plate}", change)

    async def restock(self, reagent: int, amount: int) -> str:
        """Notes a delivery. Gives the commit."""

        async def change(transaction: at.Transaction) -> None:
            await self._add(transaction, "stock", reagent, amount)
            await self._add(transaction, "delivered", reagent, amount)

        return await self._committed(f"Delivery of reagent {reagent}", change)

    async def stock(self, commit: str | None = None) -> dict[str, Any]:
        """Three arrays of one state: that after a commit, or the newest."""
        commit = commit or await self.repository.refresh()
        arrays = await _opened(self.repository, snapshot=commit)
        names = ("stock", "delivered", "used")
        values = await asyncio.gather(*(arrays[name].read() for name in names))
        found = {name: np.asarray(v).tolist() for name, v in zip(names, values, strict=True)}
        return {"commit": commit, **found}

    async def _add(self, transaction: at.Transaction, name: str, reagent: int, amount: int) -> int:
        element = self._arrays[name][reagent].with_transaction(transaction)
        total = int(np.asarray(await element.read())) + amount
        await element.write(total)
        return total

    async def _committed(self, message: str, change: Change) -> str:
        """Makes a change, again if somebody else changed what it rests on; gives the commit."""
        made: list[at.Transaction] = []

        async def run(transaction: at.Transaction) -> None:
            made[:] = [transaction]
            await change(transaction)

        try:
            await self.repository.retry(run, attempts=ATTEMPTS, message=message)
        except Aborted:
            raise web.HTTPServiceUnavailable(text="others changed the same all the time") from None
        commit = made[0].commit_id
        assert commit is not None
        return commit


async def _opened(repository: at.Repository, **state: Any) -> dict[str, at.TensorStore]:
    specs = [{"driver": "zarr3", "kvstore": repository.kvstore(n, **state)} for n in ARRAYS]
    return dict(zip(ARRAYS, await asyncio.gather(*map(at.open, specs)), strict=True))


def application(laboratory: Laboratory) -> web.Application:
    """The service."""
    routes = web.RouteTableDef()

    @routes.post("/measure")
    async def measure(request: web.Request) -> web.Response:
        return web.json_response({"commit": await laboratory.measure(**await request.json())})

    @routes.post("/restock")
    async def restock(request: web.Request) -> web.Response:
        return web.json_response({"commit": await laboratory.restock(**await request.json())})

    @routes.get("/stock")
    async def stock(request: web.Request) -> web.Response:
        return web.json_response(await laboratory.stock(request.query.get("commit")))

    made = web.Application()
    made.add_routes(routes)
    return made


async def serve(location: str) -> web.Application:
    return application(await Laboratory.open(location))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a URL, such as file:///data/laboratory/")
    web.run_app(serve(parser.parse_args().folder), port=8080)


if __name__ == "__main__":
    main()

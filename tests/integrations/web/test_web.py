"""Services: clients that go away, budgets, and answers, with a real server of FastAPI's."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

import asynctensor as at
from asynctensor.errors import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)
from asynctensor.integrations.web import (
    Budget,
    ClientDisconnected,
    Overloaded,
    add_answers,
    answer_to,
    body,
    until_disconnect,
)

EDGE = 512


@pytest.fixture
async def store() -> at.TensorStore:
    spec = {"driver": "zarr3", "kvstore": "memory://"}
    layout = at.ChunkLayout(chunk_shape=[128, 128])
    made = await at.open(spec, create=True, dtype="uint16", shape=[EDGE, EDGE], chunk_layout=layout)
    await made.write(np.arange(EDGE * EDGE, dtype="uint32").astype("uint16").reshape(EDGE, EDGE))
    return made


class Service:
    """A service, and what became of its slow reads."""

    def __init__(self, store: at.TensorStore) -> None:
        self.app, self.budget = FastAPI(), Budget(EDGE * EDGE * 2, waiting=0)
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.cancelled = False
        add_answers(self.app)

        @self.app.get("/tile/{y}/{x}")
        async def tile(request: Request, y: int, x: int) -> Response:
            view = store[y : y + 64, x : x + 64]
            found = await until_disconnect(request, self.budget.read(view, timeout=30))
            return Response(found.tobytes())

        @self.app.get("/slow")
        async def slow(request: Request) -> Response:
            await until_disconnect(request, self._slow())
            return Response()

        @self.app.get("/all")
        async def everything() -> StreamingResponse:
            return StreamingResponse(body(store))

    async def _slow(self) -> None:
        async with self.budget.hold(EDGE * EDGE * 2):
            self.begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            finally:
                self.ended.set()


@pytest.fixture
async def service(store) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    made = Service(store)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(made.app, log_level="error", lifespan="off"))
    serving = asyncio.ensure_future(server.serve([listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        yield made, client
    server.should_exit = True
    await serving
    listening.close()


async def test_tiles_and_streams(service, store) -> None:
    _, client = service
    answer = await client.get("/tile/100/30")
    found = np.frombuffer(answer.content, "uint16").reshape(64, 64)
    assert (found == await store[100:164, 30:94].read()).all()
    assert (await client.get("/all")).content == (await store.read()).tobytes()
    wrong = await client.get("/tile/500/500")
    assert (wrong.status_code, wrong.text) == (400, "there is no such region")


async def test_a_client_that_goes_away_cancels_its_read(service) -> None:
    made, client = service
    asking = asyncio.ensure_future(client.get("/slow"))
    await made.begun.wait()
    # All of the budget is held, and nobody may wait.
    busy = await client.get("/tile/0/0")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    asking.cancel()
    await made.ended.wait()
    assert made.cancelled
    assert (await client.get("/tile/0/0")).status_code == 200
    assert made.budget.reading == made.budget.waiting == 0


async def test_what_is_done_before_the_client_goes_is_done() -> None:
    class Asked:
        async def receive(self) -> dict[str, str]:
            await asyncio.Event().wait()
            return {}

    assert await until_disconnect(Asked(), at.Future.resolved(3)) == 3
    with pytest.raises(ZeroDivisionError):
        await until_disconnect(Asked(), _fails())

    class Gone:
        async def receive(self) -> dict[str, str]:
            return {"type": "http.disconnect"}

    promise, future = at.Promise.new()
    with pytest.raises(ClientDisconnected):
        await until_disconnect(Gone(), future)
    assert future.cancelled()
    del promise


@pytest.mark.parametrize(
    ("reading", "waiting"),
    [(0, None), (-1, None), (math.nan, None), ("all", None), (8, -1), (8, math.nan), (8, "none")],
)
def test_a_budget_of_no_bytes(reading, waiting) -> None:
    with pytest.raises(InvalidArgument, match="a budget needs positive numbers of bytes"):
        Budget(reading, waiting=waiting)


async def test_what_is_cached_is_there_at_once() -> None:
    made = await at.open(
        {"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype="uint16", shape=[64, 64],
        context=at.Context({"cache_pool": {"total_bytes_limit": 2**20}}),
    )  # fmt: skip
    await made.write(7)
    budget = Budget(2**20)
    assert (await budget.read(made)).sum() == 7 * 64 * 64
    again = budget.read(made, timeout=30)
    assert isinstance(again, at.Future)
    assert again.done()
    assert budget.reading == 0
    for wrong in (math.nan, "soon", True):
        with pytest.raises(InvalidArgument, match="timeout must be a number of seconds"):
            budget.read(made, timeout=wrong)
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(turning())
    # Nobody to ask whether the client is there, and nobody else has a turn.
    assert (await until_disconnect(None, again))[3, 5] == 7
    assert turns == 0
    with pytest.raises(NotFound):
        await until_disconnect(None, at.Future.failed(NotFound("gone")))
    beside.cancel()
    # Elsewhere it waits for its turn, cached or not.
    async with budget.hold(2**20):
        waiting = asyncio.ensure_future(budget.read(made))
        await asyncio.sleep(0)
        assert budget.waiting == made.size * 2
    assert (await waiting).shape == (64, 64)


async def test_reads_count_from_when_they_begin(store) -> None:
    view = store[:128, :128]
    size = view.size * 2
    budget = Budget(size, waiting=3 * size)
    # Nobody awaits them yet.
    reads = [budget.read(view) for _ in range(4)]
    assert budget.reading == size
    found = await asyncio.gather(*reads)
    assert all((each == found[0]).all() for each in found)
    assert budget.reading == budget.waiting == 0
    # Cancelled before it could be awaited, it is over when the read is.
    begun = asyncio.ensure_future(budget.read(view))
    assert budget.reading == size
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)
    async with budget.hold(size):
        assert budget.reading == size
    assert (await budget.read(view) == found[0]).all()
    with pytest.raises(DeadlineExceeded):
        await budget.read(store, timeout=0)
    assert budget.reading == 0


@pytest.mark.parametrize("leaves", ["cancelled", "too late", "gone"])
async def test_a_read_that_nobody_waits_for_any_more_ends(leaves: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Leaving:
        async def receive(self) -> dict[str, str]:
            await begun.wait()
            return {"type": "http.disconnect"}

    budget = Budget(100)
    view = at.virtual_chunked(endless, dtype="uint8", shape=[10])
    if leaves == "cancelled":
        reading = asyncio.ensure_future(budget.read(view))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    elif leaves == "too late":
        with pytest.raises(DeadlineExceeded):
            await budget.read(view, timeout=0.05)
    else:
        with pytest.raises(ClientDisconnected):
            await until_disconnect(Leaving(), budget.read(view))
    # Where the time was over before it began, there is nothing to end.
    if begun.is_set():
        await ended.wait()
    assert budget.reading == 0


def test_a_budget_may_be_asked_before_its_loop_runs() -> None:
    made = at.open("memory://|zarr3:", create=True, dtype="int8", shape=[3]).result()
    assert asyncio.run(Budget(3).read(made)).tolist() == [0, 0, 0]


async def test_a_handler_that_is_cancelled_by_somebody_else() -> None:
    begun, promise_future = asyncio.Event(), at.Promise.new()

    class There:
        async def receive(self) -> dict[str, str]:
            begun.set()
            await asyncio.Event().wait()
            return {}

    handling = asyncio.ensure_future(until_disconnect(There(), promise_future[1]))
    await begun.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert promise_future[1].cancelled()


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "bool", "complex128"])
async def test_bodies_are_the_bytes_of_blocks_in_small_parts(dtype) -> None:
    layout = at.ChunkLayout(chunk_shape=[300, 1000])
    made = await at.open(
        {"driver": "zarr3", "kvstore": "memory://"}, create=True, dtype=dtype, shape=[700, 1000],
        chunk_layout=layout,
    )  # fmt: skip
    values = np.arange(700)[:, None] % 100 // 50
    await made.write(values.astype(made.dtype.numpy_dtype))
    parts = [bytes(part) async for part in body(made)]
    assert max(map(len, parts)) <= 2**18
    assert b"".join(parts) == b"".join([block.tobytes() async for _, block in made.stream()])
    # Views whose blocks are in another order, and nothing.
    turned = [part.tobytes() async for part in body(made.T)]
    assert b"".join(turned) == b"".join([block.tobytes() async for _, block in made.T.stream()])
    assert [part async for part in body(made[:0])] == []


async def _fails() -> None:
    raise ZeroDivisionError


async def test_a_budget_is_fair_and_bounded(store) -> None:
    budget = Budget(100, waiting=150)
    order: list[int] = []
    most = 0

    async def one(number: int, size: int) -> None:
        nonlocal most
        async with budget.hold(size):
            most = max(most, budget.reading)
            order.append(number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(one(i, size)) for i, size in enumerate([60, 40, 60, 30, 60])]
    await asyncio.sleep(0)
    assert (budget.reading, budget.waiting) == (100, 150)
    with pytest.raises(Overloaded):
        await one(9, 1)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert most == 100
    async with budget.hold(1000):
        assert budget.reading == 1000
    assert budget.reading == budget.waiting == 0


async def test_whoever_waits_may_give_up(store) -> None:
    budget = Budget(10)
    async with budget.hold(10):
        waiting = [asyncio.ensure_future(_held(budget, 4)) for _ in range(2)]
        with pytest.raises(DeadlineExceeded):
            await budget.read(store[0, :1], timeout=0)
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert budget.waiting == 4
    await waiting[1]
    assert budget.reading == budget.waiting == 0


async def _held(budget: Budget, size: int) -> None:
    async with budget.hold(size):
        pass


async def test_a_turn_that_is_given_and_given_up_at_once() -> None:
    budget = Budget(10)
    async with budget.hold(10):
        first, second = (asyncio.ensure_future(_held(budget, 10)) for _ in range(2))
        second.cancel()
        await asyncio.sleep(0)
    # Its turn has come, and it has not gone on yet.
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert budget.reading == budget.waiting == 0
    await _held(budget, 10)


def test_answers() -> None:
    found = {
        kind.__name__: answer_to(kind("of /secret/key")).status
        for kind in (OutOfRange, InvalidArgument, NotFound, DeadlineExceeded, Unavailable, DataLoss)
    }
    assert found == {
        "OutOfRange": 400, "InvalidArgument": 400, "NotFound": 404, "DeadlineExceeded": 504,
        "Unavailable": 503, "DataLoss": 500,
    }  # fmt: skip
    assert "secret" not in answer_to(DataLoss("of /secret/key")).text
    assert answer_to(Overloaded("")).headers == {"Retry-After": "1"}
    for wrong in [(0, None), (1, -1)]:
        with pytest.raises(InvalidArgument):
            Budget(wrong[0], waiting=wrong[1])

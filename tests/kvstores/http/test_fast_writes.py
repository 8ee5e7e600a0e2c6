"""What the narrow transport writes arrives whole, once, or fails as not known."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.runtime.clock import Deadline
from asynctensor.testing.fault_proxy import FaultProxy
from asynctensor.testing.network_faults import Alter, Reset, Stall
from tests.kvstores.http.test_fast_transport import Pair
from tests.servers.object_server import objects


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with objects(tmp_path_factory.mktemp("objects")) as port:
        yield port


@pytest.fixture
def proxy(server: int, fault_proxy_to: Any) -> FaultProxy:
    found: FaultProxy = fault_proxy_to("127.0.0.1", server)
    return found


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.fast.close()
    await made.behind.close()


async def put(pair: Pair, url: str, body: Any, *fields: tuple[str, str]) -> Response:
    return await pair.fast.send(Request("PUT", url, fields, body))


@pytest.mark.parametrize("size", [0, 1, 300_000, 5_000_000])
async def test_bodies_arrive_as_they_are(server: int, pair: Pair, size: int) -> None:
    url = f"http://127.0.0.1:{server}/size-{size}"
    value = os.urandom(size)
    for body in (value, (value[: size // 3], bytearray(value[size // 3 :])), memoryview(value)):
        assert (await put(pair, url, body)).status == 200
        assert (await pair.get(url)).body == value
        head = await pair.fast.send(Request("HEAD", url))
        assert (head.status, head.headers["content-length"], head.body) == (200, f"{size}", b"")
    assert (await put(pair, url, b"", ("If-None-Match", "*"))).status == 412
    # One after the other on one connection, and none by the one behind.
    assert pair.fast.connections() == (1, 0)
    assert pair.behind.sent == 0


async def test_many_writes_at_once(server: int, pair: Pair) -> None:
    values = [os.urandom(100_000) for _ in range(40)]
    url = f"http://127.0.0.1:{server}/many"
    await asyncio.gather(*(put(pair, f"{url}{k}", value) for k, value in enumerate(values)))
    found = await asyncio.gather(*(pair.get(f"{url}{k}") for k in range(40)))
    assert [bytes(each.body) for each in found] == values


async def test_an_answer_that_is_lost_is_not_asked_for_again(
    server: int, proxy: FaultProxy, pair: Pair
) -> None:
    for fault, seconds in ((Reset(after=0), 60), (Reset(after=30), 60), (Stall(after=10), 1)):
        # On a connection that was used before, too: what the server has done is not known.
        assert (await pair.get(proxy.url + "/none")).status == 404
        proxy.plan(fault)
        with pytest.raises((NoAnswer, TimeoutError)) as failure:
            request = Request("PUT", proxy.url + "/lost", body=b"value")
            await pair.fast.send(request, Deadline.of(seconds))
        assert getattr(failure.value, "sent", True)
        assert sum(head.startswith(b"PUT") for head in proxy.statistics.requests) == 1
        proxy.forget()
    assert pair.behind.sent == 0
    assert pair.fast.connections() == (0, 0)


async def test_a_write_with_an_answer_of_another_kind_is_not_repeated_here(
    proxy: FaultProxy, pair: Pair
) -> None:
    proxy.plan(Alter(change=lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)))
    with pytest.raises(NoAnswer, match="not understood"):
        await put(pair, proxy.url + "/k", b"value")
    assert pair.behind.sent == 0
    # The next is sent by who understands more.
    assert (await put(pair, proxy.url + "/k", b"value")).status == 200
    assert pair.behind.sent == 1
    assert len(proxy.statistics.requests) == 2


async def test_an_early_answer_ends_the_connection(pair: Pair) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Of the body nothing is read.
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(answer_early, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/k"
        for count in (1, 2):
            # What of the body is on its way still would be taken for the next request.
            assert (await put(pair, url, bytes(30_000_000))).status == 503
            assert pair.fast.connections() == (0, 0)
            assert len(writers) == count
        for writer in writers:
            writer.transport.abort()


async def test_a_cancelled_write_closes_its_connection(proxy: FaultProxy, pair: Pair) -> None:
    for turns in range(12):
        proxy.plan(Stall(after=0))
        writing = asyncio.ensure_future(put(pair, proxy.url + "/k", bytes(3_000_000)))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        proxy.forget()
    assert pair.fast.connections()[1] == 0
    assert (await put(pair, proxy.url + "/k", b"value")).status == 200


def in_chunks(size: int) -> Any:
    """Has the body of an answer come in chunks of so many bytes."""

    def change(answer: bytes) -> bytes:
        head, end, body = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        pieces = [body[k : k + size] for k in range(0, len(body), size)]
        chunks = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + end + chunks

    return change


async def test_answers_in_chunks(proxy: FaultProxy, pair: Pair) -> None:
    value = os.urandom(10_000)
    await put(pair, proxy.url + "/k", value)
    for size in (7, 5_000, 20_000):
        proxy.plan(Alter(change=in_chunks(size)))
        assert (await pair.get(proxy.url + "/k")).body == value
    proxy.plan(Alter(change=in_chunks(10)))
    assert (await put(pair, proxy.url + "/k", value)).status == 200
    proxy.plan(Alter(change=in_chunks(10)))
    assert (await pair.get(proxy.url + "/none")).status == 404
    assert pair.behind.sent == 0
    assert pair.fast.connections() == (1, 0)


async def begun(pair: Pair, url: str, body: Any) -> Any:
    """What a write is told that was begun without a task."""
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    assert pair.fast.begin_write(Request("PUT", url, (), body), found.set_result)
    async with asyncio.timeout(60):
        return await found


async def test_writes_are_begun_where_a_connection_is_idle(server: int, pair: Pair) -> None:
    url = f"http://127.0.0.1:{server}/begun"
    told: list[Any] = []
    assert not pair.fast.begin_write(Request("PUT", url, (), b"1"), told.append)
    assert not pair.fast.begin_write(Request("GET", url), told.append)
    assert (await pair.get(url)).status == 404
    for value in (b"", b"1", os.urandom(5_000_000)):
        assert (await begun(pair, url, value)).status == 200
        assert (await pair.get(url)).body == value
    assert pair.fast.connections() == (1, 0)
    assert (pair.behind.sent, told) == (0, [])


async def test_begun_writes_whose_answer_is_lost(proxy: FaultProxy, pair: Pair) -> None:
    for fault in (Reset(after=0), Reset(after=30)):
        assert (await pair.get(proxy.url + "/none")).status == 404
        proxy.plan(fault)
        error = await begun(pair, proxy.url + "/lost", b"value")
        assert isinstance(error, NoAnswer)
        assert error.sent
        assert "no whole answer" in error.message
        assert sum(head.startswith(b"PUT") for head in proxy.statistics.requests) == 1
        proxy.forget()
        assert pair.fast.connections() == (0, 0)


async def test_begun_writes_with_an_answer_of_another_kind(proxy: FaultProxy, pair: Pair) -> None:
    assert (await pair.get(proxy.url + "/none")).status == 404
    proxy.plan(Alter(change=lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)))
    error = await begun(pair, proxy.url + "/k", b"value")
    assert isinstance(error, NoAnswer)
    assert "not understood" in error.message
    # The host is left to who understands more.
    request = Request("PUT", proxy.url + "/k", (), b"value")
    assert not pair.fast.begin_write(request, lambda found: None)
    assert (await pair.fast.send(request)).status == 200
    assert pair.behind.sent == 1


async def test_a_cancelled_write_is_told_so_when_it_has_happened(
    proxy: FaultProxy, pair: Pair
) -> None:
    """Of an exchange, with and without a connection that is idle."""
    proxy.latency = 0.02
    for turn in range(6):
        exchange = Exchange(transport=pair.fast)
        url = f"{proxy.url}/cancelled-{turn}"
        if turn % 2:
            assert (await pair.get(url)).status == 404
        writing = asyncio.ensure_future(exchange.send(Request("PUT", url, (), b"value")))
        for _ in range(turn + 1):
            await asyncio.sleep(0)
        is_sent = bool(pair.fast.connections()[1])
        writing.cancel()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert pair.fast.connections()[1] == 0
        found = await pair.get(url)
        assert found.body == b"value" or not is_sent
        if not turn % 2:
            await pair.fast.close()
            pair.fast = FastTransport(pair.behind)

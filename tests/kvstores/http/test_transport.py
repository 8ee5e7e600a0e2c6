"""The transports against real servers and what a `FaultProxy` does to them."""

from __future__ import annotations

import pytest

from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.testing.network_faults import Alter, Refuse, Reply, Reset, Truncate

BODY = bytes(range(256)) * 40
EXCHANGE = Exchange(RetryPolicy(5, 0.001, 0.002))


async def ask(
    request: Request, *, idempotent: bool = True, exchange: Exchange = EXCHANGE
) -> Response:
    async def send():
        return await exchange.send(request, idempotent=idempotent)

    return await start(send)


async def test_whole_value(http_server) -> None:
    (http_server.folder / "a b").write_bytes(BODY)
    answer = await ask(Request("GET", http_server.url + "a%20b"))
    assert (answer.status, answer.body) == (200, BODY)
    ranged = Request("GET", http_server.url + "a%20b", (("Range", "bytes=100-199"),))
    answer = await ask(ranged)
    assert (answer.status, answer.body) == (206, BODY[100:200])


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=503),
        Reply(status=429, headers=(("Retry-After", "0"),)),
        Reply(status=500, body=b"oops"),
        Reset(after=0),
        Reset(after=100),
        Reset(after=5000),
        Truncate(after=100),
        Truncate(after=5000),
        Refuse(),
        Alter(change=lambda head: b"HTTP/1.1 200 OK\r\nbad header\r\n" + head),
        Alter(change=lambda head: b"\0" + head),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_passing_faults_are_survived(caddy, fault_proxy_to, fault) -> None:
    (caddy.folder / "k").write_bytes(BODY)
    proxy = fault_proxy_to(caddy.host, caddy.port)
    request = Request("GET", proxy.url + "/k")
    for _ in range(2):
        proxy.plan(fault)
        answer = await ask(request)
        assert (answer.status, answer.body) == (200, BODY)
    assert proxy.statistics.faults == 2

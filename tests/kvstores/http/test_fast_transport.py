"""The narrow reader: the same answers as aiohttp's, whatever comes, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynctensor.errors import DeadlineExceeded, Error, InvalidArgument, ResourceExhausted
from asynctensor.kvstores._http import response_head
from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport, ConnectionOptions
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.proxies import Proxies
from asynctensor.kvstores._http.response_head import parse_head
from asynctensor.kvstores._http.sent_request import SentRequest
from asynctensor.runtime.clock import Deadline
from asynctensor.testing.network_faults import Alter, Follow, Reset, Stall, Truncate
from tests.kvstores.http.waiting import until

BODY = bytes(range(251)) * 1000
OK = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n"


class Behind:
    """Counts what the fast one leaves to the other."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._other = AiohttpTransport(options)
        self.sent = 0

    async def send(self, request: Request, limit: Deadline) -> Response:
        self.sent += 1
        return await self._other.send(request, limit)

    async def close(self) -> None:
        await self._other.close()


class Pair:
    """A fast transport, and the one behind it."""

    def __init__(self, options: ConnectionOptions | None = None) -> None:
        options = options or ConnectionOptions()
        self.behind = Behind(options)
        self.fast = FastTransport(self.behind, options)

    async def get(self, url: str, *fields: tuple[str, str], **more) -> Response:
        return await self.fast.send(Request("GET", url, fields, **more))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.fast.close()
    await made.behind.close()


@pytest.mark.parametrize("size", [0, 1, 60_000, 98_000, 98_304, 100_000, 1_000_003])
async def test_bodies_of_all_sizes(http_server, pair: Pair, size) -> None:
    (http_server.folder / "k").write_bytes(BODY[:size] if size <= len(BODY) else bytes(size))
    wanted = (http_server.folder / "k").read_bytes()
    for _ in range(3):
        answer = await pair.get(http_server.url + "k")
        assert (answer.status, bytes(answer.body)) == (200, wanted)
    assert pair.behind.sent == 0
    assert pair.fast.connections() == (1, 0)


async def test_ranges_and_what_is_not_there(http_server, pair: Pair) -> None:
    (http_server.folder / "a b").write_bytes(BODY)
    url = http_server.url + "a%20b"
    for low, high in ((0, 0), (5, 70_000), (10, 250_999)):
        answer = await pair.get(url, ("Range", f"bytes={low}-{high}"))
        assert (answer.status, bytes(answer.body)) == (206, BODY[low : high + 1])
        assert answer.headers["content-range"] == f"bytes {low}-{high}/{len(BODY)}"
    assert (await pair.get(url, ("Range", "bytes=300000-300001"))).status == 416
    assert (await pair.get(http_server.url + "none")).status == 404
    assert pair.behind.sent == 0


async def test_many_at_once_share_connections(caddy, pair: Pair) -> None:
    (caddy.folder / "k").write_bytes(BODY)

    async def reader(n: int) -> None:
        for i in range(10):
            at = n * 1000 + i
            answer = await pair.get(caddy.url + "k", ("Range", f"bytes={at}-{at + 99}"))
            assert answer.body == BODY[at : at + 100]

    await asyncio.gather(*(reader(n) for n in range(20)))
    idle, busy = pair.fast.connections()
    assert (idle <= 20, busy) == (True, 0)


@pytest.mark.parametrize(
    "request_",
    [
        Request("HEAD", "http://127.0.0.1:1/"),
        Request("PUT", "http://127.0.0.1:1/", body=b""),
        Request("GET", "https://127.0.0.1:1/"),
        Request("GET", "http://u:p@127.0.0.1:1/"),
        Request("GET", "http://127.0.0.1:1/", (("A", "é"),)),
        Request("GET", "http://127.0.0.1:1/", (("A b", "c"),)),
        Request("GET", "http://127.0.0.1:1/"),
    ],
)
async def test_other_requests_are_left_to_the_one_behind(pair: Pair, request_) -> None:
    with pytest.raises(NoAnswer):
        await pair.fast.send(request_)
    assert pair.behind.sent == 1


async def test_no_field_brings_lines_of_its_own(caddy, pair: Pair) -> None:
    for bad in ("a\r\nB: c", "a\nB: c", "a\r\n\r\nGET /x HTTP/1.1\r\nHost: h"):
        with pytest.raises(InvalidArgument, match="no request that can be sent"):
            await pair.get(caddy.url + "k", ("A", bad))
    assert pair.behind.sent == 3


async def test_proxied_requests_are_left_to_the_one_behind() -> None:
    pair = Pair(ConnectionOptions(proxies=Proxies({"http": "http://127.0.0.1:1"})))
    with pytest.raises(NoAnswer):
        await pair.get("http://some.host/")
    assert pair.behind.sent == 1
    await pair.behind.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked", 1),
        lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        lambda head: head.replace(b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", 1),
        lambda head: head.replace(b"\r\n", b"\r\nContent-Length: 5\r\n", 1),
        lambda head: head.replace(b"\r\n", b"\n", 1),
        lambda head: head.replace(b"\r\n", b"\r\n folded\r\n", 1),
        lambda head: head.replace(b"\r\n", b"\r\nX: " + b"x" * 40_000 + b"\r\n", 1),
    ],
)
async def test_other_answers_are_read_by_the_one_behind(
    caddy, fault_proxy_to, pair, change
) -> None:
    (caddy.folder / "k").write_bytes(b"body")
    proxy = fault_proxy_to(caddy.host, caddy.port)
    proxy.plan(Alter(change=change))
    answer = await pair.get(proxy.url + "/k")
    assert (answer.status, answer.body, pair.behind.sent) == (200, b"body", 1)
    assert pair.fast.connections() == (0, 0)
    # One such answer is forgiven ...
    assert (await pair.get(proxy.url + "/k")).body == b"body"
    assert pair.behind.sent == 1
    # ... a host that always answers so is left alone.
    # (What is asked again gets it right.)
    proxy.plan(*[Alter(change=change), Alter()] * 3)
    for _ in range(6):
        assert (await pair.get(proxy.url + "/k")).body == b"body"
    assert pair.behind.sent == 7
    assert len(proxy.statistics.requests) == 2 + 1 + 2 * 3 + 3


async def test_too_long_a_body_is_not_read(caddy, pair: Pair) -> None:
    (caddy.folder / "k").write_bytes(BODY)
    with pytest.raises(ResourceExhausted):
        await pair.get(caddy.url + "k", max_body=1000)
    assert pair.fast.connections() == (0, 0)


async def test_a_reset_at_every_byte(caddy, fault_proxy_to, pair: Pair) -> None:
    (caddy.folder / "k").write_bytes(b"some value")
    proxy = fault_proxy_to(caddy.host, caddy.port)
    whole = 400
    for after in range(0, whole, 3):
        fault = (Reset if after % 2 else Truncate)(after=after)
        proxy.plan(fault)
        try:
            answer = await pair.get(proxy.url + "/k")
        except NoAnswer:
            assert proxy.statistics.faults == 1
        else:
            # All had come before; or the connection was a kept one, and another was tried.
            assert answer.body == b"some value"
        proxy.forget()
        assert (await pair.get(proxy.url + "/k")).body == b"some value"


async def test_what_follows_an_answer_is_never_taken_for_the_next(
    caddy, fault_proxy_to, pair: Pair
) -> None:
    (caddy.folder / "a").write_bytes(b"A" * 10)
    (caddy.folder / "b").write_bytes(b"B" * 10)
    proxy = fault_proxy_to(caddy.host, caddy.port)
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsmuggled!!"
    proxy.plan(Follow(data=smuggled))
    assert (await pair.get(proxy.url + "/a")).body == b"A" * 10
    assert pair.fast.connections() == (0, 0)
    assert (await pair.get(proxy.url + "/b")).body == b"B" * 10


async def test_a_stall_is_given_up(caddy, fault_proxy_to, monkeypatch) -> None:
    monkeypatch.setattr("asynctensor.kvstores._http.fast_transport._SWEEP", 0.02)
    (caddy.folder / "k").write_bytes(BODY)
    proxy = fault_proxy_to(caddy.host, caddy.port)
    pair = Pair(ConnectionOptions(stall_timeout=0.2))
    for after in (0, 100, 70_000):
        proxy.plan(Stall(after=after))
        with pytest.raises(NoAnswer):
            await pair.get(proxy.url + "/k")
        assert pair.fast.connections() == (0, 0)
    await pair.behind.close()
    pair = Pair()
    proxy.plan(Stall(after=100))
    with pytest.raises(DeadlineExceeded):
        await pair.fast.send(Request("GET", proxy.url + "/k"), Deadline.of(0.05))
    proxy.forget()
    assert (await pair.get(proxy.url + "/k")).body == BODY
    assert pair.fast.connections() == (1, 0)
    await pair.behind.close()
    await pair.fast.close()


async def test_a_connection_that_nobody_uses_is_closed(caddy, monkeypatch) -> None:
    monkeypatch.setattr("asynctensor.kvstores._http.fast_transport._SWEEP", 0.02)
    (caddy.folder / "k").write_bytes(BODY)
    pair = Pair(ConnectionOptions(keep_alive=0.1))
    assert (await pair.get(caddy.url + "k")).body == BODY
    await until(lambda: pair.fast.connections() == (0, 0))
    await pair.behind.close()


async def test_kept_connections_that_the_server_closed_are_replaced(
    caddy, fault_proxy_to, pair: Pair
) -> None:
    (caddy.folder / "k").write_bytes(b"v")
    proxy = fault_proxy_to(caddy.host, caddy.port)
    for _ in range(3):
        assert (await pair.get(proxy.url + "/k")).body == b"v"
        proxy.stop()
        proxy.restart()
    assert (await pair.get(proxy.url + "/k")).body == b"v"
    assert pair.behind.sent == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_a_host_that_says_nothing_is_waited_for_once(begun) -> None:
    """As servers without TLS do that wait for the rest of what is no request to them."""
    # The system accepts its connections, and nobody reads from them.
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    silent = Pair(ConnectionOptions(connect_timeout=0.3))
    request = Request("GET", f"https://127.0.0.1:{port}/k")
    told: asyncio.Future[Response | Exception | None]
    told = asyncio.get_running_loop().create_future()
    if begun:
        assert silent.fast.begin(_Told(told), request)
    else:
        sending = asyncio.ensure_future(silent.fast.send(request))
        sending.add_done_callback(lambda done: told.set_result(done.exception()))
    error = await told
    assert isinstance(error, NoAnswer)
    assert str(error).endswith(
        "no connection to 127.0.0.1 came about in time; does it speak TLS there?"
    )
    assert not error.sent
    assert silent.behind.sent == 0
    server.close()
    await silent.fast.close()
    await silent.behind.close()


class _Told(SentRequest):
    def __init__(self, told: asyncio.Future[Response | Exception | None]) -> None:
        super().__init__()
        self._told = told

    def came(self, found: Response | Error | None) -> None:
        self._told.set_result(found)


async def test_cancelled_reads_leave_nothing(caddy, pair: Pair) -> None:
    (caddy.folder / "k").write_bytes(BODY)

    async def cancelled(turns: int) -> None:
        task = asyncio.ensure_future(pair.get(caddy.url + "k"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    for round_ in range(40):
        await asyncio.gather(*(cancelled(turns + round_ % 7) for turns in range(10)))
    assert pair.fast.connections()[1] == 0
    assert (await pair.get(caddy.url + "k")).body == BODY
    await pair.fast.close()
    # Sockets are closed in the next turns of the loop.
    await until(lambda: not _sockets_to(caddy.port))


def _sockets_to(port: int) -> list[socket.socket]:
    gc.collect()
    return [s for s in gc.get_objects() if isinstance(s, socket.socket) and _peer(s) == port]


def _peer(sock: socket.socket) -> int | None:
    try:
        return int(sock.getpeername()[1])
    except (OSError, IndexError, ValueError):
        return None


# -- the head, by itself ----------------------------------------------------------------------


def test_a_head() -> None:
    head = parse_head(
        b"HTTP/1.1 206\r\nA: b\r\na:c \r\nCONTENT-LENGTH:4\r\nConnection: close\r\n\r\n"
    )
    assert head is not None
    assert (head.status, head.length, head.keeps) == (206, 4, False)
    assert dict(head.headers) == {"a": "b, c", "content-length": "4", "connection": "close"}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_heads_that_were_tampered_with_are_read_rightly_or_not_at_all(data) -> None:
    good = (
        b'HTTP/1.1 206 OK\r\nETag: "a"\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\n'
    )
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(
        st.binary(max_size=4) | st.sampled_from([b"\r", b"\n", b"\0", b":", b" ", b"9"])
    )
    bad = good[:at] + put + good[at + data.draw(st.integers(0, 3)) :]
    head = parse_head(bad)
    if head is not None:
        lines = bad.split(b"\r\n")
        lengths = [line for line in lines if line.lower().startswith(b"content-length:")]
        assert bad.endswith(b"\r\n\r\n")
        assert bad.count(b"\r\n\r\n") == 1
        assert len(lengths) == 1 or head.status in (204, 304)
        assert head.status in (204, 304) or int(lengths[0][15:]) == head.length
        assert not set(b"\0") & set(bad)
        assert b"\n" not in bad.replace(b"\r\n", b"")


_FOUR = "Content-Length: 4"
_NAMES = st.sampled_from(
    ["Content-Length", "content-length", "ETag", "Connection", "Date", "X", ""]
)
_VALUES = st.sampled_from(
    [" 4", "5", " 05", " x", ' "é"', " a\tb", "\t", " keep-alive", " close", "", " a\0", " \x7f"]
)
_LINES = st.lists(st.tuples(_NAMES, _VALUES).map(":".join), min_size=1, max_size=4)


@given(st.lists(_LINES, min_size=2, max_size=6))
@example([[_FOUR, "Connection: keep-alive"], [_FOUR, "Connection: close"]] * 2)
@example([[_FOUR, "ETag: a"], [_FOUR, "ETag: b"], [_FOUR, "ETag c"], ["Content-Length: x", "E"]])
@settings(max_examples=300, deadline=None)
def test_heads_are_read_the_same_whatever_was_read_before(several) -> None:
    for lines in several:
        head = "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("utf-8")
        found = parse_head(head)
        remembered = dict(response_head._alike)
        response_head._alike.clear()
        response_head._known.clear()
        assert found == parse_head(head)
        response_head._alike.update(remembered)


@given(st.binary(max_size=200))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")
@settings(max_examples=200, deadline=None)
def test_noise_is_no_head(noise) -> None:
    assert parse_head(noise) is None

"""https: what is trusted, and what is said of what is not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import trustme

from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.kvstores._http.aiohttp_transport import AiohttpTransport, ConnectionOptions
from asynctensor.kvstores._http.exchange import Exchange
from asynctensor.kvstores._http.fast_transport import FastTransport
from asynctensor.kvstores._http.message import Request
from asynctensor.kvstores._http.transport import Transport
from asynctensor.kvstores.http.address import Address
from asynctensor.kvstores.http.store import HttpStore
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import ReadOptions
from tests.servers.scripted import Said, ScriptedServer

RETRIES = RetryPolicy(3, 0.001, 0.002)
#: Whoever needs them all waits for an hour.
MANY = RetryPolicy(3600, 0.001, 1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, name: str) -> ScriptedServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return ScriptedServer(lambda asked: Said(200, (("ETag", '"a"'),), b"0123456789"), context)


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[ScriptedServer]:
    with serving(authority, "127.0.0.1") as made:
        yield made


@pytest.fixture
def transport(authority: trustme.CA) -> Iterator[AiohttpTransport]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    made = AiohttpTransport(ConnectionOptions(ssl=context))
    yield made
    start(made.close).result()


async def test_what_is_trusted_is_read(server, transport) -> None:
    store = HttpStore(Address(server.url), Exchange(RETRIES, transport=transport))
    for _ in range(3):
        found = await start(store.read, "k", ReadOptions(ByteRange(2, 5)))
        assert found.value == b"234"


async def test_an_unknown_authority_is_told_at_once(server) -> None:
    store = HttpStore(Address(server.url), Exchange(RETRIES))
    with pytest.raises(FailedPrecondition, match=r"certificate of 127\.0\.0\.1 is not trusted"):
        await start(store.read, "k")
    assert server.asked == []


async def test_another_name_is_told_at_once(authority, transport) -> None:
    with serving(authority, "other.example") as server:
        store = HttpStore(Address(server.url), Exchange(RETRIES, transport=transport))
        with pytest.raises(FailedPrecondition, match="is the name right"):
            await start(store.read, "k")
        assert server.asked == []


async def test_http_where_https_is_spoken_and_the_other_way_round(authority, caddy) -> None:
    with serving(authority, "127.0.0.1") as server:
        url = server.url.replace("https", "http")
        with pytest.raises(FailedPrecondition, match=r"speaks TLS there; is it https, not http\?"):
            await start(HttpStore(Address(url), Exchange(MANY)).read, "k")
    url = caddy.url.replace("http", "https").rstrip("/")
    with pytest.raises(FailedPrecondition, match="is it http, not https"):
        await start(HttpStore(Address(url), Exchange(RETRIES)).read, "k")


class Listener:
    """Hands each connection and its number to a function, on a thread."""

    def __init__(self, serve: Callable[[socket.socket, int], object]) -> None:
        self._serve, self._is_over = serve, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._is_over.is_set():
            connection, _ = self._socket.accept()
            self._held.append(connection)
            with suppress(OSError):
                self._serve(connection, len(self._held))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        for each in (self._socket, *self._held):
            each.close()


ANSWER = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1'


def said(connection: socket.socket) -> None:
    """Answers a request, and hangs up."""
    connection.recv(1 << 16)
    connection.sendall(ANSWER)
    connection.shutdown(socket.SHUT_RDWR)


def hung_up(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.shutdown(socket.SHUT_RDWR)


async def test_a_server_that_refuses_what_is_no_tls_by_an_alert(authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(connection: socket.socket, number: int) -> None:
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            context.wrap_socket(connection, server_side=True).close()
            return
        connection.recv(1 << 16)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
        connection.shutdown(socket.SHUT_RDWR)

    with Listener(serve) as server:
        store = HttpStore(Address(f"http://127.0.0.1:{server.port}"), Exchange(MANY))
        with pytest.raises(FailedPrecondition, match=r"speaks TLS there; is it https, not http\?"):
            await start(store.read, "k")


async def test_a_server_that_hangs_up_for_a_while_is_asked_again() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        (hung_up if number <= 5 else said)(connection)

    with Listener(serve) as server:
        store = HttpStore(Address(f"http://127.0.0.1:{server.port}"), Exchange(MANY))
        assert (await start(store.read, "k")).value == b"1"


@pytest.fixture
def impatient(authority) -> Iterator[Transport]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    options = ConnectionOptions(ssl=context, connect_timeout=0.3)
    behind = AiohttpTransport(options)
    made = FastTransport(behind, options)
    yield made
    start(made.close).result()
    start(behind.close).result()


async def test_https_where_a_server_waits_for_plain_requests(impatient) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        # What begins a conversation by TLS is to it the beginning of a request.
        if connection.recv(1, socket.MSG_PEEK) != b"\x16":
            said(connection)

    with Listener(serve) as server:
        url = f"https://127.0.0.1:{server.port}"
        store = HttpStore(Address(url), Exchange(MANY, transport=impatient))
        with pytest.raises(FailedPrecondition, match="is it http, not https"):
            await start(store.read, "k")


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\nHTTPS port"])
async def test_https_where_a_server_is_slow_at_first(authority, impatient, words: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(connection: socket.socket, number: int) -> None:
        if number == 1:
            return
        if connection.recv(1, socket.MSG_PEEK) == b"\x16":
            with context.wrap_socket(connection, server_side=True) as secure:
                said(secure)
            return
        connection.recv(1 << 16)
        connection.sendall(words)
        connection.shutdown(socket.SHUT_RDWR)

    with Listener(serve) as server:
        url = f"https://127.0.0.1:{server.port}"
        store = HttpStore(Address(url), Exchange(MANY, transport=impatient))
        assert (await start(store.read, "k")).value == b"1"


@pytest.mark.parametrize(
    "words",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
        b"You're speaking plain HTTP to an SSL-enabled server port.<br />",
        b"Bad Request\nThis combination of host and port requires TLS.\n",
    ],
)
async def test_servers_that_say_that_they_speak_https(words: bytes) -> None:
    with ScriptedServer(lambda asked: Said(400, body=words, length=False)) as server:
        with pytest.raises(FailedPrecondition, match=r"speaks TLS there; is it https, not http\?"):
            await start(HttpStore(Address(server.url), Exchange(RETRIES)).read, "k")
        assert len({asked.method for asked in server.asked}) == 1


async def test_other_refusals_are_not_taken_for_that() -> None:
    with (
        ScriptedServer(lambda asked: Said(400, body=b"Use HTTPS")) as server,
        pytest.raises(InvalidArgument, match="answered 400"),
    ):
        await start(HttpStore(Address(server.url), Exchange(RETRIES)).read, "k")


async def test_the_systems_trust_is_heeded(
    authority, server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    made = AiohttpTransport(ConnectionOptions(ssl=ssl.create_default_context()))
    try:
        answer = await start(made.send, Request("GET", server.url + "/k"))
    finally:
        await start(made.close)
    assert answer.body == b"0123456789"


async def test_an_unknown_host_is_told_at_once() -> None:
    store = HttpStore(Address("http://no-such-host.invalid"), Exchange(RETRIES))
    with pytest.raises(OSError, match=r"no address of no-such-host\.invalid was found"):
        await start(store.read, "k")

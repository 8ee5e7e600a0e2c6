"""The transport for plain ranged GETs: a narrow reader of HTTP/1.1, with another one behind it.

It speaks no TLS, to no proxy, and reads no chunked bodies. Everything else goes to the transport
behind it, and so does, on a fresh connection, a request whose answer is of another kind than those
that it reads (`response_head`). A host that answers so again and again is left to the other one for
a while.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from asynctensor.errors import DeadlineExceeded
from asynctensor.kvstores._http.aiohttp_transport import ConnectionOptions
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.fast_connection import FastConnection, Unexpected
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.transport import Transport
from asynctensor.runtime.clock import NEVER, Deadline

#: A request that is sent as it is (RFC 9112, section 3).
_MESSAGE: Final = re.compile(
    r"GET [!-~]+ HTTP/1\.1\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e]*\r\n)+\r\n"
)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.\-_]+)(?::(\d{1,5}))?")
#: Seconds between two looks at the connections of a host.
_SWEEP: Final = 5.0
#: Unexpected answers in a row, and the seconds for which a host is left alone after them.
_PATIENCE: Final = 3
_SHUNNED: Final = 300.0


@dataclass(slots=True, eq=False)
class _Host:
    """The connections to one host.

    Attributes:
        host: Its name or address.
        port: Its port.
        idle: Connections that wait for a request, the latest used last.
        busy: Connections that wait for an answer.
        unexpected: Unexpected answers in a row.
        shunned_until: When it may be asked again (monotonic).
    """

    host: str
    port: int
    idle: deque[FastConnection] = field(default_factory=deque)
    busy: set[FastConnection] = field(default_factory=set)
    unexpected: int = 0
    shunned_until: float = 0.0


class FastTransport:
    """A `Transport` on the running loop; close it there.

    Args:
        behind: What sends all else; it is closed by whoever made it.
        options: How connections are made.
    """

    def __init__(self, behind: Transport, options: ConnectionOptions | None = None) -> None:
        self._behind = behind
        self._options = options or ConnectionOptions()
        self._hosts: dict[str, _Host | None] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Closes all connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for host in self._hosts.values():
            for connection in (*host.idle, *host.busy) if host is not None else ():
                connection.close()
        self._hosts.clear()

    def connections(self) -> tuple[int, int]:
        """How many connections are idle and how many are busy."""
        hosts = [host for host in self._hosts.values() if host is not None]
        return sum([len(h.idle) for h in hosts]), sum([len(h.busy) for h in hosts])

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        """See `Transport.send`."""
        plain = self._plain(request)
        if plain is None:
            return await self._behind.send(request, limit)
        host, message = plain
        try:
            if limit.never:
                answer = await self._asked(host, message, request)
            else:
                async with asyncio.timeout(limit.remaining()):
                    answer = await self._asked(host, message, request)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"the time was over before {request!r} was done") from error
        except Unexpected:
            host.unexpected += 1
            if host.unexpected >= _PATIENCE:
                host.unexpected, host.shunned_until = 0, monotonic() + _SHUNNED
            answer = None
        if answer is None:
            return await self._behind.send(request, limit)
        host.unexpected = 0
        return answer

    # -- which requests -----------------------------------------------------------------------

    def _plain(self, request: Request) -> tuple[_Host, bytes] | None:
        """The host, and the bytes to send it; None if the request is none for here."""
        url = request.url
        if request.method != "GET" or request.body is not None or url[:7] != "http://":
            return None
        before, mark, query = url[7:].partition("?")
        authority, _, path = before.partition("/")
        host = self._hosts.get(authority)
        if host is None:
            host = self._host(url, authority)
            if host is None:
                return None
        if host.shunned_until and host.shunned_until > monotonic():
            return None
        lines = [f"GET /{path}{mark}{query} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if not any([name in ("Host", "host") for name, _ in request.headers]):
            lines.insert(1, f"Host: {authority}")
        text = "\r\n".join([*lines, "", ""])
        # No field may bring lines of its own.
        if _MESSAGE.fullmatch(text) is None or text.count("\n") != len(lines) + 1:
            return None
        return host, text.encode("ascii")

    def _host(self, url: str, authority: str) -> _Host | None:
        if authority in self._hosts:
            return None
        found = _AUTHORITY.fullmatch(authority)
        if found is None or self._options.proxies.of(url) is not None:
            # Remembered: there is none.
            self._hosts[authority] = None
            return None
        made = _Host(found[1].strip("[]"), int(found[2] or 80))
        self._hosts[authority] = made
        return made

    # -- asking -------------------------------------------------------------------------------

    async def _asked(self, host: _Host, message: bytes, request: Request) -> Response | None:
        """The answer; None where no connection came about, which the other one explains better."""
        connection = self._idle(host)
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self._connected(host)
                if connection is None:
                    return None
            answer = await self._exchanged(host, connection, message, request, reused=reused)
            if answer is not None:
                return answer
            # The others are as old.
            connection = None

    async def _exchanged(
        self,
        host: _Host,
        connection: FastConnection,
        message: bytes,
        request: Request,
        *,
        reused: bool,
    ) -> Response | None:
        """One request on one connection; None where the server had closed that meanwhile."""
        host.busy.add(connection)
        try:
            answer = await connection.request(message, request.max_body)
        except NoAnswer as error:
            if reused and not connection.begun:
                return None
            text = f"{host.host} gave no whole answer to {request!r}: {error.message}"
            raise NoAnswer(text) from None
        finally:
            host.busy.discard(connection)
            if connection.closed or not connection.is_idle:
                connection.close()
            else:
                # Also where the answer came together with a cancellation.
                host.idle.append(connection)
        return answer

    @staticmethod
    def _idle(host: _Host) -> FastConnection | None:
        while host.idle:
            connection = host.idle.pop()
            if not connection.closed:
                return connection
        return None

    async def _connected(self, host: _Host) -> FastConnection | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                _, connection = await loop.create_connection(FastConnection, host.host, host.port)
        except (OSError, TimeoutError):
            return None
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)
        return connection

    def _sweep(self) -> None:
        """Closes connections that are idle for too long, or on which nothing moves."""
        now = monotonic()
        left = False
        for host in self._hosts.values():
            if host is None:
                continue
            while host.idle and now - host.idle[0].idle_since > self._options.keep_alive:
                host.idle.popleft().close()
            for connection in [*host.busy]:
                if now - connection.active_at > self._options.stall_timeout:
                    connection.close()
            left = left or bool(host.idle or host.busy)
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_SWEEP, self._sweep) if left else None

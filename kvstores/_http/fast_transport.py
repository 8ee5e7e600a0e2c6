"""The transport for plain requests: a narrow reader of HTTP/1.1, with another one behind it.

It speaks to no proxy. Everything else goes to the transport behind it, and so does, on a fresh
connection, a GET whose answer is of another kind than those that it reads (`response_head`). A host
that answers so again and again is left to the other one for a while; one that answers a write so,
at once, and the write counts as not answered: whether it may be repeated is for others to know.
TLS is the event loop's, and to the reader a connection like others; why a certificate is refused is
for the other transport to say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from ssl import SSLContext, create_default_context
from time import monotonic
from typing import Final

from asynctensor.errors import Aborted, DeadlineExceeded, Error
from asynctensor.kvstores._http.aiohttp_transport import ConnectionOptions
from asynctensor.kvstores._http.errors import TOO_LATE, NoAnswer
from asynctensor.kvstores._http.fast_connection import FastConnection, Unexpected
from asynctensor.kvstores._http.fast_host import (
    FastHost,
    fields_of,
    lose_patience,
    no_connection_in_time,
    no_whole_answer,
    not_understood,
    write_error,
)
from asynctensor.kvstores._http.message import Request, Response
from asynctensor.kvstores._http.read_slots import ReadSlots
from asynctensor.kvstores._http.sent_request import SentRequest
from asynctensor.kvstores._http.transport import Transport
from asynctensor.runtime.clock import NEVER, Deadline
from asynctensor.storage.kvstore import size_of

#: What is sent from here.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "POST", "PUT"})
#: Methods that change nothing: they may be sent again.
_READS: Final = frozenset({"GET", "HEAD"})
#: Methods whose requests have no body unless they say so.
_BODILESS: Final = frozenset({"DELETE", "GET", "HEAD"})
#: Requests whose fields are remembered, of each host.
_MOST_FIELDS: Final = 64
_ROOT: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.\-_]+)(?::(\d{1,5}))?")
#: Seconds between two looks at the connections of a host.
_SWEEP: Final = 5.0


class FastTransport:
    """A `Transport` on the running loop; close it there.

    Args:
        behind: What sends all else; it is closed by whoever made it.
        options: How connections are made.

    Attributes:
        behind: See above.
        is_closed: Whether nothing more is to be sent.
    """

    def __init__(self, behind: Transport, options: ConnectionOptions | None = None) -> None:
        self.behind = behind
        self._options = options or ConnectionOptions()
        self._hosts: dict[str, FastHost | None] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._context: SSLContext | None = None
        self.is_closed = False
        #: Shared by all connections: the loop reads when something has come, and what is read is
        #: taken out at once.
        self._slots = ReadSlots()

    async def close(self) -> None:
        """Closes all connections."""
        self.is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for host in self._hosts.values():
            for connection in (*host.idle, *host.busy) if host is not None else ():
                connection.close()
        self._hosts.clear()
        self._slots.forget()
        # The loop closes their sockets in its next turn, and may be about to end.
        await asyncio.sleep(0)

    def connections(self) -> tuple[int, int]:
        """How many connections are idle and how many are busy."""
        hosts = [host for host in self._hosts.values() if host is not None]
        return sum([len(h.idle) for h in hosts]), sum([len(h.busy) for h in hosts])

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        """See `Transport.send`."""
        plain = self._plain(request)
        if plain is None:
            return await self.behind.send(request, limit)
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
            if request.method not in _READS:
                raise not_understood(host, request) from None
            lose_patience(host)
            return await self._patiently(request, limit)
        if answer is None:
            return await self.behind.send(request, limit)
        host.unexpected = 0
        return answer

    async def _patiently(self, request: Request, limit: Deadline) -> Response:
        """Sends a request again whose answer was not understood."""
        try:
            return await self.behind.send(request, limit)
        except NoAnswer as error:
            error.patient = True
            raise

    def begin(self, sent: SentRequest, request: Request) -> bool:
        """Sends a request once, without a task.

        Args:
            sent: Is told what came of it (`SentRequest.came`), after this has returned.
            request: What to send.

        Returns:
            Whether it was sent; if not, it is none that is sent from here.
        """
        plain = self._plain(request) if request.method == "GET" else None
        if plain is None:
            return False
        host, message = plain
        sent.goes(self, host, message, request)
        connection = self._idle(host)
        if connection is not None:
            sent.ask(connection)
        elif self.is_closed:
            asyncio.get_running_loop().call_soon(sent.refuse)
        else:
            sent.connect()
        return True

    def begin_write(self, request: Request, told: Callable[[Response | Error], object]) -> bool:
        """Sends a request that changes something, without a task, on a connection that is idle.

        It cannot be given up: what is on its way may be done already.

        Args:
            request: What to send.
            told: Called once, after this has returned, with the answer, or with what `send` would
                have raised.

        Returns:
            Whether it was sent; if not, it is for `send`.
        """
        if request.method in _READS:
            return False
        plain = self._plain(request)
        connection = None if plain is None else self._idle(plain[0])
        if plain is None or connection is None:
            return False
        host, message = plain
        host.busy.add(connection)

        def answered(found: Response | Exception) -> None:
            host.busy.discard(connection)
            if isinstance(found, Response):
                host.unexpected = 0
                if not connection.closed:
                    host.idle.append(connection)
                told(found)
            else:
                told(write_error(host, request, found))

        connection.ask(message, request.max_body, answered, request.body)
        return True

    # -- which requests -----------------------------------------------------------------------

    def _plain(self, request: Request) -> tuple[FastHost, bytes] | None:
        """The host, and the bytes to send it; None if the request is none for here."""
        url, method = request.url, request.method
        if method not in _METHODS or (request.body is not None and method in _READS):
            return None
        before, mark, query = url.partition("?")
        end = before.find("/", 8)
        root, path = (before, "/") if end < 0 else (before[:end], before[end:])
        host = self._hosts.get(root)
        if host is None:
            host = self._host(url, root)
            if host is None:
                return None
        if host.shunned_until and host.shunned_until > monotonic():
            return None
        headers, part = request.headers, ""
        if headers and headers[-1][0] == "Range":
            # Of the fields the one that nearly every request has of its own.
            part = headers[-1][1]
            if not (part.isascii() and part.isprintable()):
                return None
            part = f"Range: {part}\r\n"
            headers = headers[:-1]
        fields = host.fields.get(headers)
        if fields is None:
            fields = fields_of(root.partition("://")[2], headers)
            if fields is None:
                return None
            if len(host.fields) >= _MOST_FIELDS:
                host.fields.clear()
            host.fields[headers] = fields
        if request.body is not None or method not in _BODILESS:
            part += f"Content-Length: {size_of(request.body)}\r\n"
        # `Request` has looked at the URL: it is visible ASCII.
        return host, f"{method} {path}{mark}{query} HTTP/1.1\r\n{part}".encode("ascii") + fields

    def _host(self, url: str, root: str) -> FastHost | None:
        if root in self._hosts:
            return None
        found = _ROOT.fullmatch(root)
        if found is None or self._options.proxies.of(url) is not None:
            # Remembered: there is none.
            self._hosts[root] = None
            return None
        is_secure = found[1] == "https"
        port = int(found[3] or (443 if is_secure else 80))
        made = self._hosts[root] = FastHost(found[2].strip("[]"), port, is_secure)
        return made

    # -- asking -------------------------------------------------------------------------------

    async def _asked(self, host: FastHost, message: bytes, request: Request) -> Response | None:
        """The answer; None where no connection came about, which the other one explains better."""
        connection = self._idle(host)
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self.connected(host)
                if connection is None:
                    return None
            again = reused and request.method in _READS
            answer = await self._exchanged(host, connection, message, request, again=again)
            if answer is not None:
                return answer
            # The others are as old.
            connection = None

    async def _exchanged(
        self,
        host: FastHost,
        connection: FastConnection,
        message: bytes,
        request: Request,
        *,
        again: bool,
    ) -> Response | None:
        """One request on one connection.

        Args:
            host: Whose.
            connection: An idle one.
            message: The request, up to its body.
            request: The same.
            again: Whether another connection may be tried where the server had closed this one.

        Returns:
            The answer; None: another connection is to be tried.
        """
        host.busy.add(connection)
        try:
            is_look = request.method == "HEAD"
            answer = await connection.request(
                message, request.max_body, request.body, is_look=is_look
            )
        except NoAnswer as error:
            if again and not connection.begun:
                return None
            raise no_whole_answer(host, request, error) from None
        finally:
            host.busy.discard(connection)
            if connection.closed or not connection.is_idle:
                connection.close()
            else:
                # Also where the answer came together with a cancellation.
                host.idle.append(connection)
        return answer

    @staticmethod
    def _idle(host: FastHost) -> FastConnection | None:
        while host.idle:
            connection = host.idle.pop()
            if not connection.closed:
                return connection
        return None

    async def connected(self, host: FastHost) -> FastConnection | None:
        """A new connection; None where it was refused: why, the other one says better.

        Raises:
            NoAnswer: None came about in time. To try once more, elsewhere, would only take as long.
            Aborted: The transport is closed.
        """
        if self.is_closed:
            # What is tried again while the loop ends would be left open.
            raise Aborted(TOO_LATE)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: FastConnection(self._slots),
                    host.host,
                    host.port,
                    ssl=await self._trusted() if host.is_secure else None,
                )
        except TimeoutError:
            raise no_connection_in_time(host) from None
        except OSError:
            return None
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)
        return connection

    async def _trusted(self) -> SSLContext:
        """What TLS trusts."""
        if self._options.ssl is not None:
            return self._options.ssl
        if self._context is None:
            # It reads some hundred certificates.
            self._context = await asyncio.to_thread(create_default_context)
        return self._context

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
        if not left:
            self._slots.forget()
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_SWEEP, self._sweep) if left else None

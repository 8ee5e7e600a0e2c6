"""The transport for everything: TLS, proxies, uploads, any well-formed HTTP/1.1, on aiohttp."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from ssl import SSLContext, SSLError
from typing import Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from asynctensor.errors import (
    Aborted,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from asynctensor.kvstores._http.errors import TOO_LATE, NoAnswer
from asynctensor.kvstores._http.message import Body, Headers, Request, Response
from asynctensor.kvstores._http.proxies import NO_PROXIES, Proxies
from asynctensor.runtime.clock import NEVER, Deadline

#: Bytes handed to a socket at once: large enough to be cheap, small enough that others of the loop
#: have their turn.
_PIECE = 1 << 18
#: Codes of ``getaddrinfo`` that say for certain that there is no such host.
_NO_SUCH_NAME = frozenset(
    code for name in ("EAI_NONAME", "EAI_NODATA") if (code := getattr(socket, name, None))
)
#: What aiohttp would add by itself; nothing is sent that was not asked for and signed.
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How connections are made and kept.

    Attributes:
        connect_timeout: Seconds for name, connection and TLS together; a host that has not
            answered by then answers late or never.
        stall_timeout: Seconds without a single byte after which a connection is given up. Servers
            may think for long before they answer (a multipart completion), but not this long.
        keep_alive: Seconds for which an idle connection is kept: less than the 60 to 75 after which
            most servers close it, so that few requests meet a closed one.
        max_connections: Connections to one host at once.
        ssl: What TLS trusts; None: what the system trusts.
        proxies: Which hosts are reached through which proxy.
    """

    connect_timeout: float = 20.0
    stall_timeout: float = 60.0
    keep_alive: float = 45.0
    max_connections: int = 256
    ssl: SSLContext | None = None
    proxies: Proxies = NO_PROXIES


#: What errors of aiohttp say of an answer.
_MEANINGS: Final = (
    (aiohttp.ClientResponseError, "what it said is no answer in HTTP"),
    (aiohttp.ClientPayloadError, "the body was cut off, or is not what its head says"),
    (aiohttp.ServerDisconnectedError, "it closed the connection"),
)


class AiohttpTransport:
    """A `Transport` over one aiohttp session of the running loop; close it there.

    Args:
        options: How connections are made.
    """

    def __init__(self, options: ConnectionOptions | None = None) -> None:
        self.options = options or ConnectionOptions()
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    def _opened(self) -> aiohttp.ClientSession:
        if self._is_closed:
            # What is tried again while the loop ends would be left open.
            raise Aborted(TOO_LATE)
        if self._session is None:
            options = self.options
            connector = aiohttp.TCPConnector(
                limit=0,
                limit_per_host=options.max_connections,
                keepalive_timeout=options.keep_alive,
                ssl=options.ssl if options.ssl is not None else True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_AUTOMATIC,
                requote_redirect_url=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=options.connect_timeout,
                    sock_read=options.stall_timeout,
                ),
                read_bufsize=_PIECE,
            )
            # aiohttp repeats a PUT by itself when a kept connection turns out to be closed: the
            # second of two conditional writes would then fail on the success of the first.
            self._session._retry_connection = False
        return self._session

    async def close(self) -> None:
        """Closes all connections; nothing is sent any more."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: Request, limit: Deadline = NEVER) -> Response:
        """See `Transport.send`."""
        try:
            if limit.never:
                return await self._exchanged(request)
            async with asyncio.timeout(limit.remaining()):
                return await self._exchanged(request)
        except Error:
            raise
        except TimeoutError as error:
            if limit.expired():
                raise DeadlineExceeded(f"the time was over before {request!r} was done") from error
            raise _no_answer(request, error) from error
        except OSError as error:
            raise _no_answer(request, error) from error
        except aiohttp.ClientError as error:
            # Its text may show the whole URL.
            raise _no_answer(request, error) from None
        except ValueError:
            # A header that cannot be sent, and that the text may show.
            raise InvalidArgument(f"{request!r} is no request that can be sent") from None

    async def _exchanged(self, request: Request) -> Response:
        moment = time.time()
        async with self._opened().request(
            request.method,
            URL(request.url, encoded=True),
            headers=list(request.headers),
            data=None if request.body is None else _Pieces(request.body),
            allow_redirects=False,
            proxy=self.options.proxies.of(request.url),
        ) as answer:
            return await _read(answer, request, moment)


async def _read(answer: aiohttp.ClientResponse, request: Request, moment: float) -> Response:
    expected = answer.content_length
    if expected is not None and expected > request.max_body and request.method != "HEAD":
        raise _too_long(request)
    pieces: list[bytes] = []
    size = 0
    failure: Error | None = None
    try:
        while piece := await answer.content.readany():
            size += len(piece)
            if size > request.max_body:
                raise _too_long(request)
            pieces.append(piece)
    except (aiohttp.ClientError, OSError) as error:
        # Its text may show what was received. Where the status says enough, none is needed: rclone
        # promises a body with 412 and sends none.
        failure = None if answer.status >= 400 else _no_answer(request, error)
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    response = Response(answer.status, Headers(answer.headers.items()), body, moment)
    if failure is None:
        return response
    if isinstance(failure, NoAnswer) and expected is not None:
        failure.cut = response
    raise failure


def _too_long(request: Request) -> ResourceExhausted:
    return ResourceExhausted(
        f"the answer to {request!r} is longer than the {request.max_body} bytes that were expected"
    )


def _no_answer(request: Request, error: Exception) -> Error:
    host = URL(request.url, encoded=True).host or ""
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidArgument(f"{request!r} is no URL that can be asked")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return no_connection(host, error)
    if isinstance(error, TimeoutError):
        return NoAnswer(f"{host} stopped answering {request!r}")
    return NoAnswer(f"{host} gave no whole answer to {request!r} ({_reason(error)})")


def no_connection(host: str, error: Exception) -> Error:
    """Why no connection to a host came about; where its name is not known, that does not pass."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return FailedPrecondition(
            f"the certificate of {host} is not trusted ({error.certificate_error}); is the name "
            "right, and is its authority known here?"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        cause = error.os_error
        made = NoAnswer.unsent(f"no address of {host} was found ({cause}); is its name right?")
        made.passing = cause.errno not in _NO_SUCH_NAME
        return made
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
            return FailedPrecondition(f"{host} does not speak TLS there; is it http, not https?")
        return NoAnswer.unsent(f"no connection to {host} came about ({_reason(cause)})")
    return NoAnswer.unsent(f"no connection to {host} came about in time")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # The texts of aiohttp's other errors may quote what was received, or the URL.
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning
    return type(error).__name__


class _Pieces(aiohttp.Payload):
    """A body in pieces, sent without joining them."""

    def __init__(self, body: Body) -> None:
        super().__init__(body, content_type="application/octet-stream")
        pieces = body if isinstance(body, tuple) else (body,)
        self._views = [memoryview(piece).cast("B") for piece in pieces]
        self._size = sum([view.nbytes for view in self._views])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._views).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for view in self._views:
            for start in range(0, len(view), _PIECE):
                await writer.write(view[start : start + _PIECE])

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)

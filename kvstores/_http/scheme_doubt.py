"""Whether a server that says nothing speaks the other scheme: https, not http, or http, not https.

Such servers close without a word (TLS, asked without it), or wait for the rest of what is no
request to them (plain ones, asked with it). Neither can be told from trouble that passes but by
speaking to them as they expect it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from asynctensor.errors import FailedPrecondition

#: Seconds within which a server has to show it; who is slower than that is asked as before.
_PATIENCE: Final = 5.0
#: What nginx, servers in Go, Apache and Tomcat say where TLS was expected.
NOT_TLS: Final = re.compile(rb"HTTPS port|HTTPS server|SSL-enabled server|requires TLS")
#: Bytes of an answer that are looked at.
_LOOKED_AT: Final = 1024
#: Says nothing that could be secret.
_QUESTION: Final = b"OPTIONS * HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


async def check_scheme(url: str, seconds: float) -> None:
    """Asks a server that has said nothing whether the URL's scheme is wrong.

    Args:
        url: What was asked for in vain.
        seconds: How long to wait for what it says; nothing is told then.

    Raises:
        FailedPrecondition: It is.
    """
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    try:
        async with asyncio.timeout(min(_PATIENCE, seconds)):
            wrong = await (_speaks_plainly if is_secure else _speaks_tls)(host, port)
    except (OSError, asyncio.IncompleteReadError):
        return
    if wrong and is_secure:
        raise FailedPrecondition(f"{host} does not speak TLS there; is it http, not https?")
    if wrong:
        raise FailedPrecondition(f"{host} speaks TLS there; is it https, not http?")


async def _speaks_tls(host: str, port: int) -> bool:
    # Nothing is told it, and nothing believed but that it knows TLS.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        # It refuses something of it, by an alert.
        return "ALERT" in (error.reason or "")
    writer.transport.abort()
    return True


async def _speaks_plainly(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_QUESTION % host.encode("idna"))
        answer = await reader.readexactly(len(b"HTTP/1.1 400"))
        if not answer.startswith(b"HTTP/1."):
            return False
        rest = b""
        # Servers that speak TLS say so, and close.
        while answer.endswith(b"400") and len(rest) < _LOOKED_AT:
            piece = await reader.read(_LOOKED_AT)
            if not piece:
                break
            rest += piece
        return NOT_TLS.search(rest) is None
    finally:
        writer.transport.abort()

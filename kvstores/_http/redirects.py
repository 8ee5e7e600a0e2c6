"""Where a redirect leads. Pure (RFC 9110, section 15.4)."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urljoin, urlsplit, urlunsplit

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Response
from asynctensor.pipeline_url import shown_url

#: Statuses after which a read is to be repeated elsewhere.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Redirects in a row; browsers follow twenty.
MOST_REDIRECTS = 10
_PORTS = {"http": 80, "https": 443}


def redirect_target(url: str, response: Response) -> str:
    """The URL that an answer to `url` sends to.

    Raises:
        FailedPrecondition: It names none, one that is not HTTP, or leaves TLS.
    """
    location = response.headers.get("location")
    if location is None:
        raise FailedPrecondition(
            f"the server answered {response.status} without saying where to go"
        )
    try:
        parts = urlsplit(urljoin(url, location))
        port = parts.port
    except ValueError:
        raise _bad(url, "to no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _bad(url, "to no HTTP URL")
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise _bad(url, "from https to http; if that is meant, open the other URL")
    # Whatever credentials stand in it are not ours.
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if port is None else f"{host}:{port}"
    path = "".join(c if "!" <= c <= "~" else _escaped(c) for c in parts.path)
    return urlunsplit((parts.scheme, authority, path or "/", parts.query, ""))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what may see the same credentials (RFC 6454)."""
    end = url.find("/", 8)
    return _origin(url if end < 0 else url[:end])


@lru_cache(maxsize=256)
def _origin(root: str) -> tuple[str, str, int]:
    parts = urlsplit(root)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _bad(url: str, what: str) -> FailedPrecondition:
    return FailedPrecondition(f"{shown_url(url)} redirects {what}")

"""Who asks, in requests to Azure. Pure.

Source: "Authorize with Shared Key" in Microsoft's reference of the Storage Services REST API::

    to-sign   = method LF encoding LF language LF length LF md5 LF type LF date LF
                if-modified-since LF if-match LF if-none-match LF if-unmodified-since LF range LF
                *( name ":" value LF ) resource     ; the fields that begin with "x-ms-", sorted
    resource  = "/" account path *( LF name ":" value *( "," value ) )   ; the query, decoded
    signature = base64(hmac-sha256(key, to-sign))

The path is signed as it is sent; a length of 0 is left empty.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from ipaddress import ip_address
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Request
from asynctensor.storage.kvstore import size_of

#: Of the API: names that XML cannot hold are listed encoded from 2021-02-12 on.
VERSION: Final = "2021-12-02"
#: The fields that are signed by their place.
_STANDARD: Final = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The key of a whole account.

    Attributes:
        account: Whose.
        key: Its bytes.
    """

    account: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SasToken:
    """A shared access signature: the query of a URL that may be asked by whoever has it.

    Attributes:
        token: Without the question mark.
    """

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token of Microsoft Entra.

    Attributes:
        token: As it was given.
    """

    token: str = field(repr=False)


Authority: TypeAlias = "SharedKey | SasToken | BearerToken"


def authorized(request: Request, who: Authority, time: float) -> Request:
    """`request` with what says who asks.

    Args:
        request: Complete otherwise.
        who: Whose request it is.
        time: Now, in Unix seconds.

    Raises:
        FailedPrecondition: A token of Entra would be sent to another machine without TLS.
    """
    if isinstance(who, SasToken):
        joint = "&" if "?" in request.url else "?"
        return replace(request, url=f"{request.url}{joint}{who.token}")
    fields = (*request.headers, ("x-ms-date", formatdate(time, usegmt=True)))
    if isinstance(who, BearerToken):
        if not request.url.startswith("https:") and not _is_here(request.url):
            raise FailedPrecondition(
                "a token of Microsoft Entra is not sent without TLS: use an endpoint with https"
            )
        return replace(request, headers=(*fields, ("Authorization", f"Bearer {who.token}")))
    dated = replace(request, headers=fields)
    digest = hmac.digest(who.key, string_to_sign(dated, who.account).encode(), "sha256")
    signature = base64.b64encode(digest).decode()
    fields = (*fields, ("Authorization", f"SharedKey {who.account}:{signature}"))
    return replace(request, headers=fields)


def string_to_sign(request: Request, account: str) -> str:
    """What of a request is signed."""
    given = {name.lower(): value for name, value in request.headers}
    size = size_of(request.body)
    given["content-length"] = str(size) if size else ""
    lines = [request.method, *[given.get(name, "") for name in _STANDARD]]
    lines += [f"{n}:{' '.join(given[n].split())}" for n in sorted(given) if n.startswith("x-ms-")]
    lines.append(_resource(request.url, account))
    return "\n".join(lines)


def _resource(url: str, account: str) -> str:
    before, _, query = url.partition("?")
    path = before.partition("://")[2].partition("/")[2]
    found: dict[str, list[str]] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        found.setdefault(unquote(name).lower(), []).append(unquote(value))
    asked = [f"\n{name}:{','.join(sorted(found[name]))}" for name in sorted(found)]
    return f"/{account}/{path}{''.join(asked)}"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

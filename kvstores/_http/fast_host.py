"""One host that `FastTransport` speaks to: its connections, and what it is told and may answer."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Final

from asynctensor.errors import Error
from asynctensor.kvstores._http.errors import NoAnswer
from asynctensor.kvstores._http.fast_connection import FastConnection, Unexpected
from asynctensor.kvstores._http.message import Request

#: The name of a field, and what its value cannot hold (RFC 9112, section 5).
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_VALUE: Final = re.compile(r"[^\t\x20-\x7e]")
#: Unexpected answers in a row, and the seconds for which a host is left alone after them.
_PATIENCE: Final = 3
_SHUNNED: Final = 300.0


@dataclass(slots=True, eq=False)
class FastHost:
    """A host, and the connections to it.

    Attributes:
        host: Its name or address.
        port: Its port.
        is_secure: Whether it is spoken to by TLS.
        idle: Connections that wait for a request, the latest used last.
        busy: Connections that wait for an answer.
        fields: Fields of requests as they are sent, the end of the head included.
        unexpected: Unexpected answers in a row.
        shunned_until: When it may be asked again (monotonic).
    """

    host: str
    port: int
    is_secure: bool
    idle: deque[FastConnection] = field(default_factory=deque)
    busy: set[FastConnection] = field(default_factory=set)
    fields: dict[tuple[tuple[str, str], ...], bytes] = field(default_factory=dict, repr=False)
    unexpected: int = 0
    shunned_until: float = 0.0


def shun(host: FastHost) -> None:
    """Leaves a host to others for a while."""
    host.unexpected, host.shunned_until = 0, monotonic() + _SHUNNED


def lose_patience(host: FastHost) -> None:
    """Counts one more answer that was not understood."""
    host.unexpected += 1
    if host.unexpected >= _PATIENCE:
        shun(host)


def not_understood(host: FastHost, request: Request) -> NoAnswer:
    """Of a write whose answer is of a kind that is not read here; the host is left to others."""
    shun(host)
    return NoAnswer(f"{host.host} answered {request!r} in a way that is not understood")


def misread(host: FastHost, request: Request) -> NoAnswer:
    """Of a read whose answer is of a kind that is not read here: it is for the other transport."""
    made = NoAnswer(f"{host.host} answered {request!r} in a way that is not understood")
    made.patient = True
    return made


def no_connection_in_time(host: FastHost) -> NoAnswer:
    """Of a host that says neither yes nor no."""
    doubt = "; does it speak TLS there?" if host.is_secure else ""
    made = NoAnswer.unsent(f"no connection to {host.host} came about in time{doubt}")
    made.silent = host.is_secure
    return made


def no_whole_answer(host: FastHost, request: Request, error: NoAnswer) -> NoAnswer:
    """Of a request whose connection was lost, closed or silent for too long."""
    doubt = "; is it https, not http?" if error.silent and not host.is_secure else ""
    made = NoAnswer(f"{host.host} gave no whole answer to {request!r}: {error.message}{doubt}")
    made.cut, made.silent = error.cut, error.silent
    return made


def write_error(host: FastHost, request: Request, error: Exception) -> Error:
    """What is raised where a write brought no answer."""
    if isinstance(error, Unexpected):
        return not_understood(host, request)
    if isinstance(error, NoAnswer):
        return no_whole_answer(host, request, error)
    assert isinstance(error, Error)
    return error


def fields_of(authority: str, headers: tuple[tuple[str, str], ...]) -> bytes | None:
    """The fields of a request, and its end; None if one cannot be sent as it is."""
    lines = [f"{name}: {value}" for name, value in headers]
    if not any([name in ("Host", "host") for name, _ in headers]):
        lines.insert(0, f"Host: {authority}")
    # No field may bring lines of its own.
    for name, value in headers:
        # A tab may be there, and does not count as printable.
        is_plain = value.isascii() and (value.isprintable() or _NO_VALUE.search(value) is None)
        if not is_plain or not _is_name(name):
            return None
    return "\r\n".join([*lines, "", ""]).encode("ascii")


@lru_cache(maxsize=256)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None

"""The head of an HTTP/1.1 response, read strictly: pure.

Grammar (RFC 9112, sections 2 to 5), less what is obsolete or unusual::

    head        = status-line *( field-line CRLF ) CRLF
    status-line = "HTTP/1.1 " 3DIGIT [ SP reason ] CRLF
    field-line  = token ":" OWS value OWS

Whatever else there is in a head, somebody more patient reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asynctensor.kvstores._http.message import Headers

_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEAD = re.compile(
    rb"HTTP/1\.1 [2-5]\d\d(?: " + _TEXT + rb")?\r\n(?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*\r\n"
)
#: More digits are not meant seriously.
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
#: Statuses whose answers have no body (RFC 9110, section 6.4.1).
_BODILESS = frozenset({204, 304})
#: Fields that two of in one head say nothing.
_SINGLE = frozenset({"content-length", "content-range", "etag"})


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What a head says.

    Attributes:
        status: ``206``.
        headers: Its fields.
        length: Bytes of the body that follows.
        keeps: Whether the connection may be used again.
    """

    status: int
    headers: Headers
    length: int
    keeps: bool


def parse_head(head: bytes) -> ResponseHead | None:
    """Reads a head, its empty line included; None if it is of no kind that is read here.

    Such are: what breaks the grammar, HTTP/1.0, interim responses, transfer codings, no length or
    several.
    """
    if _HEAD.fullmatch(head) is None:
        return None
    lines = head[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    status = int(lines[0][9:12])
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in fields:
            if name in _SINGLE:
                return None
            value = f"{fields[name]}, {value}"
        fields[name] = value
    if "transfer-encoding" in fields:
        return None
    length = 0
    if status not in _BODILESS:
        text = fields.get("content-length", "")
        if _LENGTH.fullmatch(text) is None:
            return None
        length = int(text)
    connection = fields.get("connection", "").lower()
    keeps = connection in ("", "keep-alive")
    return ResponseHead(status, Headers.of_lower(fields), length, keeps)

"""The head of an HTTP/1.1 response, read strictly: pure.

Grammar (RFC 9112, sections 2 to 5), less what is obsolete or unusual::

    head        = status-line *( field-line CRLF ) CRLF
    status-line = "HTTP/1.1 " 3DIGIT [ SP reason ] CRLF
    field-line  = token ":" OWS value OWS

Whatever else there is in a head, somebody more patient reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from asynctensor.kvstores._http.message import Headers

T = TypeVar("T")
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)(?: " + _TEXT + rb")?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(" + _TEXT + rb")")
#: Lines, status lines and names that were read before, and how many are remembered: most are the
#: same in all answers.
_known: dict[bytes, tuple[str, str]] = {}
_statuses: dict[bytes, int] = {}
_names: dict[bytes, str] = {}
_MOST_KNOWN = 256
_LONGEST_KNOWN = 128
#: Lengths of more digits are not meant seriously.
_DIGITS = 15
#: What ends a head.
_EMPTY = [b"", b""]
#: Statuses whose answers have no body (RFC 9110, section 6.4.1).
_BODILESS = frozenset({204, 304})
#: Fields that are another in each answer: their lines are not remembered.
_OF_ITS_OWN = frozenset({"content-length", "content-range", "etag", "last-modified"})
#: Fields that two of in one head say nothing.
_SINGLE = frozenset({"content-length", "content-range", "etag"})


class ResponseHead(NamedTuple):
    """What a head says.

    Attributes:
        status: ``206``.
        headers: Its fields.
        length: Bytes of the body that follows; None: it comes in chunks (`chunked_body`).
        keeps: Whether the connection may be used again.
    """

    status: int
    headers: Headers
    length: int | None
    keeps: bool


def parse_head(head: bytes) -> ResponseHead | None:
    """Reads a head, its empty line included; None if it is of no kind that is read here.

    Such are: what breaks the grammar, HTTP/1.0, interim responses, transfer codings beyond chunks,
    no length or several.
    """
    lines = head.split(b"\r\n")
    status = _statuses.get(lines[0]) or _read_status(lines[0])
    if status is None or lines[-2:] != _EMPTY:
        return None
    known = _known
    pairs: list[Any] = [known.get(line) or _read_field(line) for line in lines[1:-2]]
    if None in pairs:
        return None
    fields = dict(pairs)
    if len(fields) < len(pairs) and not _join(fields, pairs):
        return None
    length: int | None = 0
    if (coding := fields.get("transfer-encoding")) is not None:
        # With a length, too, somebody on the way may see another body (section 6.3).
        if coding.lower() != "chunked" or "content-length" in fields or status in _BODILESS:
            return None
        length = None
    elif status not in _BODILESS:
        text = fields.get("content-length", "")
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            return None
        length = int(text)
    connection = fields.get("connection", "").lower()
    keeps = connection in ("", "keep-alive")
    return ResponseHead(status, Headers.of_lower(fields), length, keeps)


def _join(fields: dict[str, str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Joins the values of fields of one name; False if one of them may be there but once."""
    fields.clear()
    for name, value in pairs:
        if name in fields and name in _SINGLE:
            return False
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return True


def _read_status(line: bytes) -> int | None:
    """The status that a status line says; None if it breaks the grammar."""
    found = _STATUS.fullmatch(line)
    if found is None:
        return None
    return _remember(_statuses, line, int(found[1]))


def _read_field(line: bytes) -> tuple[str, str] | None:
    """Name, in lower case, and value of a line; None if it breaks the grammar."""
    before, colon, after = line.partition(b":")
    name = _names.get(before)
    if name is not None and colon and after.isascii():
        value = after.decode("ascii")
        # What is printable is text; a tab is that, too, and counts as not printable.
        if value.isprintable():
            field = name, value.strip(" ")
            return field if name in _OF_ITS_OWN else _remember(_known, line, field)
    found = _FIELD.fullmatch(line)
    if found is None:
        return None
    name = _remember(_names, found[1], found[1].decode("ascii").lower())
    field = name, found[2].decode("utf-8", "surrogateescape").strip(" \t")
    return field if name in _OF_ITS_OWN else _remember(_known, line, field)


def _remember(known: dict[bytes, T], text: bytes, meaning: T) -> T:
    if len(text) <= _LONGEST_KNOWN:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[text] = meaning
    return meaning

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

K = TypeVar("K")
T = TypeVar("T")
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)(?: " + _TEXT + rb")?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(" + _TEXT + rb")")
#: Lines that were read before, and how many are remembered: most are the same in all answers.
_known: dict[bytes, tuple[str, str]] = {}
_MOST_KNOWN = 256
_LONGEST_KNOWN = 128
#: The last heads, by their status lines and how many lines they had.
_alike: dict[tuple[bytes, int], _Alike] = {}
_LONGEST_ALIKE = 2048
#: Lengths of more digits are not meant seriously.
_DIGITS = 15
#: What ends a head.
_EMPTY = [b"", b""]
#: Statuses whose answers have no body (RFC 9110, section 6.4.1).
_BODILESS = frozenset({204, 304})
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
    kind = lines[0], len(lines)
    alike = _alike.get(kind)
    if alike is not None:
        if (found := alike.read(lines)) is not None:
            return found
        lines = head.split(b"\r\n")
    match = _STATUS.fullmatch(lines[0])
    if match is None or lines[-2:] != _EMPTY:
        return None
    status = int(match[1])
    known = _known
    pairs: list[Any] = [known.get(line) or _read_field(line) for line in lines[1:-2]]
    if None in pairs:
        return None
    fields = dict(pairs)
    is_plain = len(fields) == len(pairs)
    if not is_plain and not _join(fields, pairs):
        return None
    length: int | None = 0
    if (coding := fields.get("transfer-encoding")) is not None:
        # With a length, too, somebody on the way may see another body (section 6.3).
        if coding.lower() != "chunked" or "content-length" in fields or status in _BODILESS:
            return None
        length = None
    elif status not in _BODILESS:
        length = _length_of(fields.get("content-length", ""))
        if length is None:
            return None
        if is_plain and len(head) <= _LONGEST_ALIKE:
            _remember(_alike, kind, _Alike(status, lines, fields, alike))
    return ResponseHead(status, Headers.of_lower(fields), length, _keeps(fields))


class _Alike:
    """A head with a length, for reading others that differ in few lines: most of a server do.

    Args:
        status: What it says.
        lines: Its lines.
        fields: What those of its fields say, in their order.
        before: The last one of as many lines: what it said otherwise, others do as well.
    """

    __slots__ = ("_fields", "_keeps", "_lines", "_own", "_status")

    def __init__(
        self, status: int, lines: list[bytes], fields: dict[str, str], before: _Alike | None
    ) -> None:
        self._status, self._keeps = status, _keeps(fields)
        self._fields = fields.copy()
        #: Its lines, of those that each answer has of its own the name alone.
        self._lines = [*lines]
        #: Where those are, what they say, and where that begins.
        self._own: list[tuple[int, str, int]] = []
        known = {} if before is None else before._fields
        own = {"content-length"} if before is None else {name for _, name, _ in before._own}
        for k, (name, value) in enumerate(fields.items(), 1):
            # What says how long a connection lasts is looked at in full.
            if name != "connection" and (name in own or known.get(name, value) != value):
                self._own.append((k, name, len(name) + 1))
                self._lines[k] = lines[k][: len(name) + 1]

    def read(self, lines: list[bytes]) -> ResponseHead | None:
        """Reads a head of as many lines, which are not left as they are; None if it differs."""
        fields = self._fields.copy()
        for k, name, start in self._own:
            line = lines[k]
            if not line.isascii():
                return None
            text = line.decode("ascii")
            # What is not printable may be a tab, or nothing that may be there.
            if not text.isprintable():
                return None
            fields[name] = text[start:].strip(" ")
            lines[k] = line[:start]
        if lines != self._lines:
            return None
        length = _length_of(fields["content-length"])
        if length is None:
            return None
        return ResponseHead(self._status, Headers.of_lower(fields), length, self._keeps)


def _length_of(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _keeps(fields: dict[str, str]) -> bool:
    return fields.get("connection", "").lower() in ("", "keep-alive")


def _join(fields: dict[str, str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Joins the values of fields of one name; False if one of them may be there but once."""
    fields.clear()
    for name, value in pairs:
        if name in fields and name in _SINGLE:
            return False
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return True


def _read_field(line: bytes) -> tuple[str, str] | None:
    """Name, in lower case, and value of a line; None if it breaks the grammar."""
    found = _FIELD.fullmatch(line)
    if found is None:
        return None
    value = found[2].decode("utf-8", "surrogateescape").strip(" \t")
    field = found[1].decode("ascii").lower(), value
    if len(line) <= _LONGEST_KNOWN:
        _remember(_known, line, field)
    return field


def _remember(known: dict[K, T], what: K, meaning: T) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[what] = meaning

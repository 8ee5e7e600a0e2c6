"""Versions of values as HTTP tells them apart. Pure (RFC 9110, section 8.8).

Grammar of a generation::

    generation = %x00 opaque-tag                      ; a strong ETag, without its quotes
               / %x01 unix-seconds "-" [ size ]       ; Last-Modified, where that is strong enough
               / %x03 8OCTET                          ; nothing to tell versions by: like no other

A weak ETag promises less than equal bytes, so it is none here, as in TensorStore.
"""

from __future__ import annotations

import itertools
import re
from email.utils import formatdate, parsedate_to_datetime

from asynctensor.kvstores._http.message import Headers
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.generation import NO_VALUE, UNKNOWN

_ETAG, _MODIFIED, _UNIQUE = b"\x00", b"\x01", b"\x03"
#: Seconds that a value must have rested for its time to tell versions apart: the time has whole
#: seconds (section 8.8.2.2).
_REST = 1
#: A strong ETag that is not empty.
_STRONG = re.compile('"[!-~]+"')
_serial = itertools.count(int.from_bytes(random_bytes(6), "big"))


def generation_of(headers: Headers, size: int | None) -> bytes:
    """The generation of a value.

    Args:
        headers: Of an answer about it.
        size: Bytes in the whole value, if known.
    """
    tag = headers.get("etag", "")
    if _STRONG.fullmatch(tag) is not None:
        return _ETAG + tag[1:-1].encode()
    modified = _seconds(headers.get("last-modified"))
    answered = _seconds(headers.get("date"))
    if modified is not None and answered is not None and modified + _REST < answered:
        return _MODIFIED + f"{modified}-{'' if size is None else size}".encode()
    return _UNIQUE + (next(_serial) % 2**64).to_bytes(8, "big")


def if_equal_headers(generation: bytes) -> list[tuple[str, str]] | None:
    """The condition that a value still has a generation; None: HTTP cannot ask that."""
    if generation[:1] == _ETAG:
        return [("If-Match", _quoted(generation))]
    if generation[:1] == _MODIFIED and (time := _time(generation)) is not None:
        return [("If-Unmodified-Since", time)]
    return None


def if_not_equal_headers(generation: bytes) -> list[tuple[str, str]]:
    """The condition that a value has another generation; empty: HTTP cannot ask that."""
    if generation[:1] == _ETAG:
        return [("If-None-Match", _quoted(generation))]
    if generation[:1] == _MODIFIED and (time := _time(generation)) is not None:
        return [("If-Modified-Since", time)]
    return []


def is_special(generation: bytes) -> bool:
    """Whether it is no version: nothing known, or no value."""
    return generation in (UNKNOWN, NO_VALUE)


def last_modified(headers: Headers) -> float | None:
    """When a value was written, by the server's clock (Unix seconds); None if it does not say."""
    seconds = _seconds(headers.get("last-modified"))
    return None if seconds is None else float(seconds)


def _quoted(generation: bytes) -> str:
    # Whatever a caller made up must not end the header.
    return f'"{"".join(c for c in generation[1:].decode("latin-1") if "!" <= c <= "~")}"'


def _time(generation: bytes) -> str | None:
    seconds = generation[1:].partition(b"-")[0]
    if not seconds.isdigit() or len(seconds) > 11:
        return None
    return formatdate(int(seconds), usegmt=True)


def _seconds(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp()))
    except (ValueError, OverflowError, TypeError):
        return None

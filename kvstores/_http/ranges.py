"""Byte ranges on the wire: what is asked for, and whether the answer is that. Pure.

Grammar (RFC 9110, sections 14.1.2 and 14.4)::

    Range         = "bytes=" ( first "-" [ last ] | "-" length )
    Content-Range = "bytes " ( first "-" last "/" ( size | "*" ) | "*/" size )
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Response
from asynctensor.storage.byte_range import ByteRange

Bytes: TypeAlias = "bytes | bytearray | memoryview"
#: Sizes of more digits are not meant seriously.
_DIGITS = 18
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes an answer says that it holds.

    Attributes:
        start: The first.
        stop: One past the last.
        size: Bytes in the whole value; None if the server does not say.
    """

    start: int
    stop: int
    size: int | None


def range_header(byte_range: ByteRange) -> str | None:
    """The value of ``Range``; None where the whole value is asked for, or nothing of it.

    A range of no bytes cannot be asked for: look at the head of the value instead.
    """
    start, stop = byte_range.inclusive_min, byte_range.exclusive_max
    if byte_range.is_full or stop == start:
        return None
    if start < 0:
        return f"bytes=-{-start}"
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def parse_content_range(text: str | None) -> ContentRange | None:
    """What ``Content-Range`` of a partial answer says; None if it is none.

    ``bytes 4-3/4`` passes as no bytes at the end of the value: azurite says so.
    """
    found = _CONTENT_RANGE.fullmatch(text) if text is not None else None
    if found is None:
        return None
    start, stop = int(found[1]), int(found[2]) + 1
    size = None if found[3] == "*" else int(found[3])
    if stop < start or (size is not None and stop > size):
        return None
    return ContentRange(start, stop, size)


def unsatisfied_size(response: Response) -> int | None:
    """The size of the value, where the answer is 416 (no such range) and says it."""
    found = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
    return int(found[1]) if found is not None else None


def ranged_body(response: Response, byte_range: ByteRange) -> tuple[Bytes, int | None]:
    """The bytes asked for, from an answer of status 200 or 206.

    A server may answer 200, with the whole value, whatever range it is asked for.

    Returns:
        The bytes, and the size of the whole value; None if that is not known.

    Raises:
        OutOfRange: The value is too short.
        FailedPrecondition: The answer is not to what was asked.
    """
    body = response.body
    if response.status != 206:
        start, stop = byte_range.resolve(len(body))
        return body if stop - start == len(body) else body[start:stop], len(body)
    said = response.headers.get("content-range")
    size = _size_if_exact(said, len(body), byte_range)
    if size is not None:
        return body, size
    given = parse_content_range(said)
    if given is None or len(body) != given.stop - given.start:
        raise FailedPrecondition(
            f"asked for bytes {byte_range}, the server sent {len(body)} bytes and called them "
            f"{said!r}"
        )
    first, end = byte_range.inclusive_min, byte_range.exclusive_max
    if given.size is not None:
        wanted = byte_range.resolve(given.size)
    elif first < 0:
        wanted = (given.stop + first, given.stop)
    else:
        wanted = (first, given.stop if end is None else end)
    if wanted != (given.start, given.stop):
        raise FailedPrecondition(
            f"asked for bytes {byte_range}, the server sent those from {given.start} to "
            f"{given.stop} of {given.size if given.size is not None else 'an unknown size'}"
        )
    return body, given.size


def _size_if_exact(said: str | None, length: int, byte_range: ByteRange) -> int | None:
    """The size of the value where an answer holds just what was asked for, as nearly all do.

    None: look closer.
    """
    start, stop = byte_range.inclusive_min, byte_range.exclusive_max
    if said is None or stop is None or length != stop - start or not length:
        return None
    before, _, size = said.partition("/")
    if before != f"bytes {start}-{stop - 1}" or not size.isascii() or not size.isdigit():
        return None
    found = int(size) if len(size) <= _DIGITS else 0
    return found if found >= stop else None

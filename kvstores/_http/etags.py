"""Versions of objects that are told by strong ETags. Pure (RFC 9110, section 8.8.3).

Grammar of a generation::

    generation = %x00 etag      ; without its quotes
"""

from __future__ import annotations

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Headers
from asynctensor.kvstores._http.query import Pairs
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.kvstore import ReadOptions

_ETAG = b"\x00"


def generation_of(headers: Headers) -> bytes:
    """The generation of an object, by the head of an answer about it.

    Raises:
        FailedPrecondition: The server does not say.
    """
    return generation_of_etag(headers.get("etag", ""))


def generation_of_etag(text: str) -> bytes:
    """The generation that an ETag is, quoted or not.

    Raises:
        FailedPrecondition: It is none.
    """
    tag = text.removeprefix("W/").strip('"')
    if not tag or not tag.isascii() or not tag.isprintable() or " " in tag:
        raise FailedPrecondition("the server gave no ETag, by which versions of objects are told")
    return _ETAG + tag.encode()


def etag_of(generation: bytes, *, quoted: bool = True) -> str | None:
    """The ETag of a generation; None if it is none of a store with ETags."""
    if generation[:1] != _ETAG:
        return None
    # Whatever a caller made up must not end the header.
    tag = "".join(c for c in generation[1:].decode("latin-1") if "!" <= c <= "~" and c != '"')
    return f'"{tag}"' if quoted else tag


def write_condition(if_equal: bytes, *, quoted: bool = True) -> tuple[str, str] | None:
    """The condition that an object has this generation; None if none can have it."""
    if if_equal == NO_VALUE:
        return "If-None-Match", "*"
    tag = etag_of(if_equal, quoted=quoted)
    return None if tag is None else ("If-Match", tag)


def read_conditions(options: ReadOptions) -> Pairs | None:
    """The conditions of a read as headers; None: none can hold, only its absence is of interest."""
    found: list[tuple[str, str]] = []
    if options.if_equal != UNKNOWN:
        tag = etag_of(options.if_equal)
        if tag is None:
            return None
        found.append(("If-Match", tag))
    if options.if_not_equal not in (UNKNOWN, NO_VALUE):
        tag = etag_of(options.if_not_equal)
        if tag is not None:
            found.append(("If-None-Match", tag))
    return found

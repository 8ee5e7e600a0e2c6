"""Versions of objects: their ETags. Pure.

Grammar of a generation::

    generation = %x00 etag      ; without its quotes

S3 says of an ETag that it is one object's version. Of an object that was put in one piece it is
mostly the MD5 of its bytes, so equal bytes may be one generation, before and after others.
"""

from __future__ import annotations

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.message import Headers

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
    if not tag or not all("!" <= c <= "~" for c in tag):
        raise FailedPrecondition("the server gave no ETag, by which versions of objects are told")
    return _ETAG + tag.encode()


def etag_of(generation: bytes, *, quoted: bool = True) -> str | None:
    """The ETag of a generation; None if it is none of this store."""
    if generation[:1] != _ETAG:
        return None
    # Whatever a caller made up must not end the header.
    tag = "".join(c for c in generation[1:].decode("latin-1") if "!" <= c <= "~" and c != '"')
    return f'"{tag}"' if quoted else tag

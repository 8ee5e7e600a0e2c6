"""Content codings: undone where a server insists on them, and never beyond a bound."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from asynctensor.errors import DataLoss, ResourceExhausted, Unimplemented
from asynctensor.kvstores._http.message import Response

#: ``wbits`` of `zlib` for gzip and zlib formats alike.
_ANY_HEADER: Final = zlib.MAX_WBITS | 32
#: Codings undone one after the other; more are nobody's intention.
_MOST: Final = 3


def codings(response: Response) -> tuple[str, ...]:
    """The content codings of an answer, in the order in which they were applied."""
    text = response.headers.get("content-encoding")
    if not text:
        return ()
    names = [name.strip().lower() for name in text.split(",")]
    return tuple(name for name in names if name not in ("", "identity", "aws-chunked"))


async def decoded_body(response: Response, max_size: int) -> bytes | bytearray | memoryview:
    """The body of a whole answer without its content codings.

    Args:
        response: The answer.
        max_size: Bytes that the result may have.

    Raises:
        Unimplemented: A coding is not known here.
        DataLoss: The body is damaged.
        ResourceExhausted: The result is longer than `max_size`.
    """
    applied = codings(response)
    if not applied:
        return response.body
    # Unpacking takes long enough to hold up the I/O loop.
    return await asyncio.to_thread(_decoded, response.body, applied, max_size)


def _decoded(
    body: bytes | bytearray | memoryview, applied: tuple[str, ...], max_size: int
) -> bytes | bytearray | memoryview:
    if len(applied) > _MOST:
        raise Unimplemented(f"the answer has {len(applied)} content codings")
    for name in reversed(applied):
        if name not in ("gzip", "x-gzip", "deflate"):
            raise Unimplemented(f"the answer has the content coding {name!r}; gzip is known here")
        body = _inflated(body, max_size)
    return body


def _inflated(body: bytes | bytearray | memoryview, max_size: int) -> bytes:
    pieces: list[bytes] = []
    size, rest = 0, bytes(body)
    while rest or not pieces:
        decompressor = zlib.decompressobj(_ANY_HEADER)
        try:
            piece = decompressor.decompress(rest, max_size - size + 1)
        except zlib.error as error:
            raise DataLoss(f"the answer is damaged: {error}") from error
        pieces.append(piece)
        size += len(piece)
        if size > max_size:
            raise ResourceExhausted(f"the answer unpacks to more than {max_size} bytes")
        if not decompressor.eof:
            raise DataLoss("the answer is damaged: its content coding ends too early")
        # Members of a gzip file follow each other.
        rest = decompressor.unused_data
    return b"".join(pieces)

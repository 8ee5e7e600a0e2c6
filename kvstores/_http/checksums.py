"""CRC-32C and MD5, by which object stores tell damaged bytes."""

from __future__ import annotations

import asyncio
import base64
from hashlib import md5
from typing import Final

import google_crc32c
import numpy as np

from asynctensor.storage.kvstore import Buffer

#: Bytes of which a worker thread takes the checksum: fewer are sooner done than handed over.
_LARGE: Final = 1 << 22
_LARGE_MD5: Final = 1 << 17


def crc32c(*pieces: Buffer) -> str:
    """The CRC-32C of what the pieces are together, as services write it: base64, big-endian."""
    total = 0
    for piece in pieces:
        # The C function takes bytes and arrays, but no memoryview.
        whole = piece if isinstance(piece, bytes) else np.frombuffer(piece, np.uint8)
        total = google_crc32c.extend(total, whole)
    return base64.b64encode(total.to_bytes(4, "big")).decode()


async def crc32c_of(body: Buffer) -> str:
    """The same of one body, without holding up the I/O loop."""
    if len(body) > _LARGE:
        return await asyncio.to_thread(crc32c, body)
    return crc32c(body)


def md5_digest(body: Buffer) -> str:
    """The MD5 of a body, as services write it: base64."""
    return base64.b64encode(md5(body, usedforsecurity=False).digest()).decode()


async def md5_of(body: Buffer) -> str:
    """The same without holding up the I/O loop."""
    if len(body) > _LARGE_MD5:
        return await asyncio.to_thread(md5_digest, body)
    return md5_digest(body)

"""The checksums by which object stores tell damaged bytes."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Final, Literal

import google_crc32c
import numpy as np

from asynctensor.errors import DataLoss
from asynctensor.kvstores._http.digests import digest_of
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
        return await digest_of(crc32c, body)
    return crc32c(body)


def md5_digest(body: Buffer) -> str:
    """The MD5 of a body, as services write it: base64."""
    return base64.b64encode(md5(body, usedforsecurity=False).digest()).decode()


async def md5_of(body: Buffer) -> str:
    """The same without holding up the I/O loop."""
    if len(body) > _LARGE_MD5:
        return await digest_of(md5_digest, body)
    return md5_digest(body)


def _crc32(body: Buffer) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def _sha256(body: Buffer) -> str:
    return base64.b64encode(sha256(body).digest()).decode()


#: Kind -> what computes it, and of how many bytes it is left to a worker thread.
_KINDS: Final[dict[str, tuple[Callable[[Buffer], str], int]]] = {
    "CRC-32C": (crc32c, _LARGE),
    "CRC-32": (_crc32, _LARGE),
    "MD5": (md5_digest, _LARGE_MD5),
    "SHA-256": (_sha256, _LARGE_MD5),
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a server says that the bytes of an object come to.

    Attributes:
        kind: Which checksum, as errors call it.
        value: As it says it (base64).
    """

    kind: Literal["CRC-32C", "CRC-32", "MD5", "SHA-256"]
    value: str

    def takes_long(self, body: Buffer) -> bool:
        """Whether it is for a worker thread to compute."""
        return len(body) > _KINDS[self.kind][1]

    def fits(self, body: Buffer) -> bool:
        """Whether a body has it."""
        return self._of(body) == self.value

    async def check(self, body: Buffer) -> None:
        """Compares a body with it, without holding up the I/O loop.

        Raises:
            DataLoss: They differ.
        """
        long = self.takes_long(body)
        found = await asyncio.to_thread(self._of, body) if long else self._of(body)
        if found != self.value:
            raise DataLoss(
                f"the bytes that came have the {self.kind} {found}, those stored have {self.value}"
            )

    def _of(self, body: Buffer) -> str:
        return _KINDS[self.kind][0](body)

"""What is sent with a body: its checksum, and the hash that the signature covers.

Source: "Checking object integrity" in AWS's documentation of S3.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from asynctensor.kvstores._http.checksums import crc32c
from asynctensor.kvstores._http.digests import digest_of
from asynctensor.kvstores.s3.address import Algorithm
from asynctensor.kvstores.s3.signing import UNSIGNED_PAYLOAD, payload_hash
from asynctensor.storage.kvstore import Buffer

#: Bytes of which a worker thread takes the digests, without and with SHA-256: fewer are sooner done
#: than handed over.
_LARGE: Final = {False: 1 << 22, True: 1 << 16}


class Digests(NamedTuple):
    """What a request says of its body.

    Attributes:
        checksum: The checksum, base64.
        payload: What ``x-amz-content-sha256`` says.
    """

    checksum: str
    payload: str


async def digests_of(body: Buffer, algorithm: Algorithm, *, signed: bool) -> Digests:
    """The digests of a body, without holding up the I/O loop.

    Args:
        body: It.
        algorithm: Which checksum.
        signed: Whether the signature covers the body.
    """
    compute: Callable[[Buffer], Digests]
    compute = partial(_digests, algorithm=algorithm, signed=signed)
    if len(body) > _LARGE[signed or algorithm == "SHA256"]:
        return await digest_of(compute, body)
    return compute(body)


def _digests(body: Buffer, algorithm: Algorithm, *, signed: bool) -> Digests:
    if algorithm == "SHA256":
        found = sha256(body)
        payload = found.hexdigest() if signed else UNSIGNED_PAYLOAD
        return Digests(base64.b64encode(found.digest()).decode(), payload)
    return Digests(crc32c(body), payload_hash(body) if signed else UNSIGNED_PAYLOAD)


def checksum_field(algorithm: Algorithm) -> str:
    """The field that says such a checksum."""
    return f"x-amz-checksum-{algorithm.lower()}"

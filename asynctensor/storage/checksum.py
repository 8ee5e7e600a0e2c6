"""CRC-32C of bytes in any kind of buffer (RFC 3720, appendix B.4)."""

from __future__ import annotations

import google_crc32c
import numpy as np

from asynctensor.storage.kvstore import Buffer


def crc32c(data: Buffer) -> int:
    """The checksum of contiguous bytes, which are not copied for it."""
    if type(data) is bytes:
        return int(google_crc32c.value(data))
    # The C function refuses memoryviews, and takes arrays over the same memory.
    return int(google_crc32c.value(np.frombuffer(data, np.uint8)))

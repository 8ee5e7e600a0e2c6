"""The CRC-32C checksum (RFC 3720, appendix B.4): four little-endian bytes after the data."""

from __future__ import annotations

from asynctensor.chunked.compression.codec import LengthlessCodec, damaged, wrong_length
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.kvstore import Buffer

SIZE = 4


class Crc32cCodec(LengthlessCodec):
    """Appends a checksum, and checks it."""

    name = "crc32c"

    def decode(self, data: Buffer, limit: int) -> Buffer:
        view = memoryview(data)
        size = len(view) - SIZE
        if size < 0:
            raise damaged(self.name, f"{len(view)} bytes are too few to hold a checksum")
        if size > limit:
            raise wrong_length(self.name, size, limit)
        found = int.from_bytes(view[size:], "little")
        expected = crc32c(view[:size])
        if found != expected:
            raise damaged(self.name, f"the checksum is {found:#010x}, expected {expected:#010x}")
        return view[:size]

    def encode(self, data: Buffer) -> Buffer:
        return b"".join((data, crc32c(data).to_bytes(SIZE, "little")))

    def encoded_size(self, size: int) -> int:
        return size + SIZE

    def largest_encoding(self, size: int) -> int:
        return size + SIZE

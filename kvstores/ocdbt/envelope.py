"""The envelope of everything that OCDBT stores but values, and the fields in it. Pure.

::

    envelope = magic length version compression body crc
    magic    = 4 bytes, big-endian          ; `MANIFEST` or `NODE`
    length   = 8 bytes, little-endian       ; of the envelope
    version  = varint                       ; 0
    compression = varint                    ; of the body: 0 none, 1 zstd
    crc      = 4 bytes, little-endian       ; crc32c of all bytes before it
    varint   = base 128, little-endian, as of protocol buffers

Source: TensorStore's ``kvstore/ocdbt`` documentation, "Storage format".
"""

from __future__ import annotations

import io
import struct
from typing import Final

import zstandard

from asynctensor.errors import DataLoss, ResourceExhausted, Unimplemented
from asynctensor.storage.checksum import crc32c

MANIFEST: Final = 0x0CDB3A2A
NODE: Final = 0x0CDB20DE
#: Decoded bytes of one body. TensorStore makes nodes of 8 MiB, and allows ten times as many.
MAX_BODY: Final = 1 << 28
#: TensorStore's greatest window.
_MAX_WINDOW: Final = 1 << 27

_HEAD = struct.Struct(">I")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


class Fields:
    """The fields of a body, one after the other.

    Args:
        body: Its bytes.

    Raises (its methods):
        DataLoss: There are not so many bytes, or a number is none.
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._body):
            raise DataLoss(f"{size} bytes are missing at byte {self._at} of {len(self._body)}")
        taken, self._at = self._body[self._at : end], end
        return taken

    def byte(self) -> int:
        """A number of one byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """A varint of at most 64 bits."""
        body, at = self._body, self._at
        value = shift = 0
        while True:
            if at >= len(body) or shift > 63:
                raise DataLoss(f"the number at byte {self._at} of {len(body)} is cut off")
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self._at = at
        return value

    def numbers(self, count: int) -> list[int]:
        """A column of them."""
        # Each is at least a byte: no list is longer than what there is.
        if count > len(self._body) - self._at:
            raise DataLoss(f"{count} numbers cannot be in {len(self._body) - self._at} bytes")
        return [self.number() for _ in range(count)]

    def count(self) -> int:
        """How many entries follow, which take a byte each at least."""
        found = self.number()
        if found > len(self._body) - self._at:
            raise DataLoss(f"{found} entries cannot be in {len(self._body) - self._at} bytes")
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        """Nothing is left."""
        if self._at != len(self._body):
            raise DataLoss(f"{len(self._body) - self._at} bytes too many follow")


def opened(magic: int, data: bytes) -> Fields:
    """The fields in an envelope.

    Args:
        magic: What it must be.
        data: All of it.

    Raises:
        DataLoss: It is none, or damaged.
        Unimplemented: It is of a version, or compressed by a method, that is not known.
        ResourceExhausted: It decodes to more than `MAX_BODY`.
    """
    if len(data) < _HEAD.size + _LENGTH.size + 2 + _CRC.size:
        raise DataLoss(f"{len(data)} bytes are too few")
    (found,) = _HEAD.unpack_from(data)
    if found != magic:
        raise DataLoss(f"it begins with {found:#010x}, and should with {magic:#010x}")
    (length,) = _LENGTH.unpack_from(data, _HEAD.size)
    if length != len(data):
        raise DataLoss(f"it says to have {length} bytes, and has {len(data)}")
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc != crc32c(data[: -_CRC.size]):
        raise DataLoss("its checksum is wrong")
    head = Fields(data[_HEAD.size + _LENGTH.size : -_CRC.size])
    version, method = head.number(), head.number()
    if version != 0 or method > 1:
        raise Unimplemented(
            f"it is of version {version}, compressed by method {method}: version 0 is known, and "
            "of methods none (0) and zstd (1)"
        )
    body = head.rest()
    return Fields(_decoded(body) if method else body)


def _decoded(body: bytes) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    try:
        with decoder.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            found = reader.read(MAX_BODY + 1)
    except zstandard.ZstdError as error:
        raise DataLoss(f"it cannot be decompressed: {error}") from error
    if len(found) > MAX_BODY:
        raise ResourceExhausted(f"it decompresses to more than {MAX_BODY} bytes")
    return found

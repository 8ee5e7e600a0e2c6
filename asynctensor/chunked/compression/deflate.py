"""gzip (RFC 1952) and zlib (RFC 1950), and bzip2, which has the same shape."""

from __future__ import annotations

import bz2
import zlib
from abc import abstractmethod
from typing import ClassVar, Protocol

from asynctensor.chunked.compression.codec import LengthlessCodec, damaged, wrong_length
from asynctensor.storage.kvstore import Buffer

#: `zlib`'s wbits for the two containers, both with the largest window.
_GZIP, _ZLIB = 31, 15


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


class StreamCodec(LengthlessCodec):
    """What the stream compressors of the standard library have in common.

    Several streams after each other count as one, as for the command-line tools.
    """

    #: What the decompressor raises for damaged data.
    errors: ClassVar[tuple[type[Exception], ...]] = (zlib.error, OSError, ValueError)

    @abstractmethod
    def _decompressor(self) -> _Decompressor: ...

    def decode(self, data: Buffer, limit: int) -> Buffer:
        parts: list[bytes] = []
        room = limit
        rest: Buffer = data
        while rest or not parts:
            stream = self._decompressor()
            try:
                # One byte more than allowed tells "exactly full" from "too much".
                part = stream.decompress(rest, room + 1)
            except self.errors as error:
                raise damaged(self.name, error) from error
            room -= len(part)
            if room < 0:
                raise wrong_length(self.name, f"more than {limit}", limit)
            if not stream.eof:
                raise damaged(self.name, f"it is cut off after {len(data)} bytes")
            parts.append(part)
            rest = stream.unused_data
        return parts[0] if len(parts) == 1 else b"".join(parts)


class GzipCodec(StreamCodec):
    """gzip, without a time stamp, so that equal chunks have equal bytes.

    Args:
        level: 0 to 9.
    """

    name = "gzip"

    def __init__(self, *, level: int) -> None:
        self._level = level

    def _decompressor(self) -> _Decompressor:
        return zlib.decompressobj(_GZIP)

    def encode(self, data: Buffer) -> Buffer:
        return zlib.compress(data, self._level, _GZIP)


class ZlibCodec(StreamCodec):
    """zlib.

    Args:
        level: -1 (zlib's default) to 9.
    """

    name = "zlib"

    def __init__(self, *, level: int) -> None:
        self._level = level

    def _decompressor(self) -> _Decompressor:
        return zlib.decompressobj(_ZLIB)

    def encode(self, data: Buffer) -> Buffer:
        return zlib.compress(data, self._level, _ZLIB)


class Bz2Codec(StreamCodec):
    """bzip2.

    Args:
        level: 1 to 9.
    """

    name = "bz2"

    def __init__(self, *, level: int) -> None:
        self._level = level

    def _decompressor(self) -> _Decompressor:
        return bz2.BZ2Decompressor()

    def encode(self, data: Buffer) -> Buffer:
        return bz2.compress(data, self._level)

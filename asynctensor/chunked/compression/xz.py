"""xz, the container of LZMA2 (the .xz file format, version 1.1)."""

from __future__ import annotations

import lzma

from asynctensor.chunked.compression.deflate import StreamCodec
from asynctensor.storage.kvstore import Buffer

#: The dictionary is allocated as the stream's header says; the largest preset needs 65 MiB.
_MAX_MEMORY = 2**27


class XzCodec(StreamCodec):
    """xz.

    Args:
        preset: 0 to 9.
    """

    name = "xz"
    errors = (lzma.LZMAError,)

    def __init__(self, *, preset: int) -> None:
        self._preset = preset

    def _decompressor(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _MAX_MEMORY)

    def encode(self, data: Buffer) -> Buffer:
        return lzma.compress(data, lzma.FORMAT_XZ, preset=self._preset)

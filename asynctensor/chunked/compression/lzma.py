"""LZMA: the xz and legacy lzma formats, and raw streams."""

from __future__ import annotations

import lzma
from typing import Any, ClassVar

from asynctensor.chunked.compression.codec import damaged
from asynctensor.chunked.compression.deflate import StreamCodec
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer

#: A stream may ask for this much memory to be decoded: twice what the highest preset needs.
_MEMORY = 256 * 2**20


class LzmaCodec(StreamCodec):
    """LZMA, with numcodecs' parameters.

    Args:
        container: 1 (xz), 2 (legacy) or 3 (raw).
        check: Of the xz format; -1 for its default.
        preset: 0 to 9, or with the bit 31 set.
        filters: Specified filters, instead of a preset.
    """

    name = "lzma"
    errors: ClassVar[tuple[type[Exception], ...]] = (lzma.LZMAError, ValueError)

    def __init__(
        self,
        *,
        container: int,
        check: int,
        preset: int | None,
        filters: list[dict[str, Any]] | None,
    ) -> None:
        self._format, self._check, self._preset, self._filters = container, check, preset, filters
        if filters is None and container == lzma.FORMAT_RAW:
            raise InvalidArgument('lzma: the raw format needs "filters"')

    def _decompressor(self) -> lzma.LZMADecompressor:
        try:
            if self._format == lzma.FORMAT_RAW:
                return lzma.LZMADecompressor(self._format, filters=self._filters)
            return lzma.LZMADecompressor(self._format, memlimit=_MEMORY)
        except (lzma.LZMAError, ValueError, TypeError, OverflowError) as error:
            raise damaged(self.name, error) from error

    def encode(self, data: Buffer) -> Buffer:
        try:
            return lzma.compress(
                data,
                format=self._format,
                check=self._check,
                preset=self._preset,
                filters=self._filters,
            )
        except (lzma.LZMAError, ValueError, TypeError, OverflowError) as error:
            raise InvalidArgument(f"lzma: {error}") from error

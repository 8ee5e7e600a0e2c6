"""Zstandard (RFC 8878).

A frame: magic (4 bytes), header (descriptor, window, dictionary id, content size), blocks (each a
3-byte header: last (1 bit), type (2), size (21)), and a 4-byte checksum if the header says so.
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

import zstandard

from asynctensor.chunked.compression.codec import BytesCodec, damaged, scratch, wrong_length
from asynctensor.storage.kvstore import Buffer

#: Compiled, and without types.
_numcodecs: Any = import_module("numcodecs.zstd")

_MAGIC = b"\x28\xb5\x2f\xfd"
_RLE = 1
#: A window larger than this is refused: zstd's own default limit of its command line.
_MAX_WINDOW = 2**27
#: From here on numcodecs' decoder is faster, by a tenth: the assembly that zstd has is built into
#: it, and its new context for each frame (10 us) no longer counts.
_LARGE = 2**18


class ZstdCodec(BytesCodec):
    """Zstandard, with one compressor and one decompressor per thread.

    A reused context encodes 4 KiB three times as fast as a fresh one.

    Args:
        level: -131072 to 22; 0 is zstd's default, 3.
        checksum: Whether frames end with a checksum of their content.
    """

    name = "zstd"

    def __init__(self, *, level: int, checksum: bool = False) -> None:
        self._level = level
        self._checksum = checksum
        self._contexts = threading.local()

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        if self._is_one_frame(data, len(out)):
            self._decode_frame(data, out)
        else:
            out[:] = self._decode_all(data, len(out), exact=True)

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        if not self._is_one_frame(data, size):
            return self._decode_all(data, size, exact=True)
        out = scratch(size)
        self._decode_frame(data, out)
        return out

    def _is_one_frame(self, data: Buffer, expected: int) -> bool:
        """Whether it is; else several, or one that does not say its length: legal, and rare.

        Raises:
            DataLoss: It is one frame of another length.
        """
        end, size = _frame(data)
        if size is None or end != len(data):
            return False
        if size != expected:
            raise wrong_length(self.name, size, expected)
        return True

    def _decode_frame(self, data: Buffer, out: memoryview) -> None:
        size = len(out)
        if size >= _LARGE:
            try:
                _numcodecs.decompress(data, out)
            except (RuntimeError, ValueError) as error:
                raise damaged(self.name, error) from error
            return
        try:
            # With all input there and all output fitting, zstd decodes in one pass, no copy.
            with self._decompressor().stream_reader(data, closefd=False) as reader:
                filled = reader.readinto(out) if size else 0
        except zstandard.ZstdError as error:
            raise damaged(self.name, error) from error
        if filled != size:
            raise wrong_length(self.name, filled, size)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        return self._decode_all(data, limit, exact=False)

    def _decode_all(self, data: Buffer, limit: int, *, exact: bool) -> bytes:
        _check_frames(data)
        try:
            reader = self._decompressor().stream_reader(data, read_across_frames=True)
            out = reader.read(limit + 1)
        except zstandard.ZstdError as error:
            raise damaged(self.name, error) from error
        if len(out) > limit:
            raise wrong_length(self.name, f"more than {limit}", limit)
        if exact and len(out) != limit:
            raise wrong_length(self.name, len(out), limit)
        return out

    def encode(self, data: Buffer) -> Buffer:
        return self._compressor().compress(data)

    def _compressor(self) -> zstandard.ZstdCompressor:
        try:
            found: zstandard.ZstdCompressor = self._contexts.compressor
        except AttributeError:
            found = zstandard.ZstdCompressor(level=self._level or 3, write_checksum=self._checksum)
            self._contexts.compressor = found
        return found

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        try:
            found: zstandard.ZstdDecompressor = self._contexts.decompressor
        except AttributeError:
            found = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
            self._contexts.decompressor = found
        return found


def _check_frames(data: Buffer) -> None:
    at = 0
    view = memoryview(data)
    while at < len(view):
        end, _ = _frame(view[at:])
        at += end
    if at == 0:
        raise damaged("zstd", "there are no bytes")


def _frame(data: Buffer) -> tuple[int, int | None]:
    """Where the first frame ends, and its content size if its header says so.

    Raises:
        DataLoss: It is no whole frame.
    """
    try:
        if bytes(data[:4]) != _MAGIC:
            return _skippable(data), 0
        descriptor = data[4]
        single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
        size_length = (single, 2, 4, 8)[descriptor >> 6]
        at = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
        size = int.from_bytes(data[at : at + size_length], "little") if size_length else None
        if size is not None and size_length == 2:
            size += 256
        at += size_length
        last = 0
        while not last:
            header = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            last = header & 1
            at += 3 + (1 if header >> 1 & 3 == _RLE else header >> 3)
    except IndexError:
        raise damaged("zstd", f"it is cut off after {len(data)} bytes") from None
    at += 4 * checksum
    if at > len(data):
        raise damaged("zstd", f"a frame of {at} bytes is cut off after {len(data)}")
    return at, size


def _skippable(data: Buffer) -> int:
    if 0x50 <= data[0] <= 0x5F and bytes(data[1:4]) == b"\x2a\x4d\x18" and len(data) >= 8:
        return 8 + int.from_bytes(data[4:8], "little")
    raise damaged("zstd", f"no frame begins with the bytes {bytes(data[:4]).hex()}")

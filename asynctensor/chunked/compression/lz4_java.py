"""The block stream of lz4-java (``LZ4BlockOutputStream``), which is no LZ4 frame.

All numbers are little-endian::

    stream   = *block end [ *stream ]
    block    = header data
    header   = "LZ4Block" token csize dsize checksum      ; 21 bytes
    token    = u8                   ; high 4 bits: 1 stored, 2 LZ4; low 4 bits: see below
    csize    = i32                  ; length of data
    dsize    = i32                  ; decoded length, at most 2 ** (10 + low 4 bits of the token)
    checksum = u32                  ; XXH32 of the decoded bytes, seed 0x9747b28c, low 28 bits
    end      = header               ; csize, dsize and checksum 0

Stored data have csize = dsize. Source: lz4-java, ``net.jpountz.lz4`` and ``net.jpountz.xxhash``
(whose checksum adapter is what drops the four high bits).
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from typing import Any

import xxhash

from asynctensor.chunked.compression.codec import BytesCodec, damaged, scratch, wrong_length
from asynctensor.storage.kvstore import Buffer

#: Compiled, and without types.
lz4: Any = importlib.import_module("numcodecs.lz4")

_MAGIC = b"LZ4Block"
_HEADER = struct.Struct("<8sBiiI")
_STORED, _COMPRESSED = 0x10, 0x20
_SEED, _CHECKSUM_BITS = 0x9747B28C, 0x0FFFFFFF
#: Of a block's decoded size, as lz4-java allows.
MIN_BLOCK, MAX_BLOCK = 64, 2**25
_LEVEL_BASE = 10
#: Length prefix with which numcodecs wants its input, and gives its output.
_PREFIX = struct.Struct("<I")


class Lz4JavaCodec(BytesCodec):
    """LZ4 as Java programs write it.

    Args:
        block_size: Bytes that are compressed at once, `MIN_BLOCK` to `MAX_BLOCK`.
    """

    name = "lz4"

    def __init__(self, *, block_size: int) -> None:
        self._block_size = block_size
        self._level = max(0, (block_size - 1).bit_length() - _LEVEL_BASE)

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        at = 0
        for token, size, part in self._blocks(data):
            if size > len(out) - at:
                raise wrong_length(self.name, f"more than {len(out)}", len(out))
            self._decode_block(token, part, out[at : at + size])
            at += size
        if at != len(out):
            raise wrong_length(self.name, at, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        return self._decode(data, size, size)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        return self._decode(data, 0, limit)

    def _decode(self, data: Buffer, least: int, limit: int) -> Buffer:
        size = sum(size for _, size, _ in self._blocks(data))
        if not least <= size <= limit:
            raise wrong_length(self.name, size, limit)
        out = scratch(size)
        self.decode_into(data, out)
        return out

    def _blocks(self, data: Buffer) -> Iterator[tuple[int, int, memoryview]]:
        """Token, decoded size, and checksum with the stored bytes after it, of every block."""
        view = memoryview(data).cast("B")
        at, ended = 0, False
        while at < len(view) or not ended:
            if len(view) - at < _HEADER.size:
                raise damaged(self.name, f"it is cut off after {len(view)} bytes")
            magic, token, stored, size, checksum = _HEADER.unpack_from(view, at)
            at += _HEADER.size
            if magic != _MAGIC:
                raise damaged(self.name, f'no block begins with the bytes "{magic.hex()}"')
            self._check_header(token, stored, size, len(view) - at)
            ended = not size
            if ended:
                if checksum:
                    raise damaged(self.name, "the mark of its end has a checksum")
                continue
            yield token, size, view[at - _PREFIX.size : at + stored]
            at += stored

    def _check_header(self, token: int, stored: int, size: int, rest: int) -> None:
        method, level = token & 0xF0, token & 0x0F
        if (
            method not in (_STORED, _COMPRESSED)
            or not 0 <= size <= 1 << (level + _LEVEL_BASE)
            or not 0 <= stored <= rest
            or (method == _STORED and size != stored)
            or (size == 0) != (stored == 0)
        ):
            raise damaged(
                self.name,
                f"a block header says method {method >> 4}, level {level}, {stored} bytes stored "
                f"and {size} decoded, with {rest} bytes left",
            )

    def _decode_block(self, token: int, part: memoryview, out: memoryview) -> None:
        if token & 0xF0 == _STORED:
            out[:] = part[_PREFIX.size :]
        else:
            try:
                # The library wants the size where the checksum is.
                lz4.decompress(_PREFIX.pack(len(out)) + part[_PREFIX.size :], out)
            except (RuntimeError, ValueError) as error:
                raise damaged(self.name, error) from error
        (checksum,) = _PREFIX.unpack_from(part)
        if _checksum(out) != checksum:
            raise damaged(self.name, "a checksum does not match")

    def encode(self, data: Buffer) -> Buffer:
        view = memoryview(data).cast("B")
        pieces: list[Buffer] = []
        for at in range(0, len(view), self._block_size):
            block = view[at : at + self._block_size]
            stored: Buffer = memoryview(lz4.compress(block))[_PREFIX.size :]
            method = _COMPRESSED
            if len(stored) >= len(block):
                stored, method = block, _STORED
            pieces += [self._header(method, len(stored), len(block), _checksum(block)), stored]
        return b"".join([*pieces, self._header(_STORED, 0, 0, 0)])

    def _header(self, method: int, stored: int, size: int, checksum: int) -> bytes:
        return _HEADER.pack(_MAGIC, method | self._level, stored, size, checksum)


def _checksum(data: Buffer) -> int:
    return xxhash.xxh32_intdigest(data, _SEED) & _CHECKSUM_BITS

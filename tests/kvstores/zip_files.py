"""Zip files for tests: of any method, and wrong in any way."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import zstandard

LOCAL, CENTRAL, END = "<4s5H3I2H", "<4s6H3I5H2I", "<4s4H2IH"


def deflated(data: bytes) -> bytes:
    """Raw deflate."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encoder.compress(data) + encoder.flush()


def lzma_entry(data: bytes) -> bytes:
    """An LZMA entry with an end marker, as Python's `zipfile` writes them (flag bit 1)."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a", data)
        info = file.getinfo("a")
    return archive.getvalue()[31 : 31 + info.compress_size]


METHODS: Mapping[int, Callable[[bytes], bytes]] = {
    0: bytes,
    8: deflated,
    12: bz2.compress,
    14: lzma_entry,
    20: zstandard.ZstdCompressor().compress,
    93: zstandard.ZstdCompressor().compress,
    95: lzma.compress,
}


@dataclass(frozen=True)
class Made:
    """An entry to be written; every number can be made to lie.

    Attributes:
        name: Its name.
        stored: Its stored bytes.
        method: Compression method.
        size: What it claims to become.
        crc: Its checksum.
        flags: Flags.
        stored_size: What it claims to be stored in; None: the truth.
        offset: Where it claims to begin; None: the truth.
        extra: Extra fields of the local header.
        zip64: Whether its numbers are in a ZIP64 field.
    """

    name: bytes
    stored: bytes
    method: int = 0
    size: int = 0
    crc: int = 0
    flags: int = 0
    stored_size: int | None = None
    offset: int | None = None
    extra: bytes = b""
    zip64: bool = False


def entry(name: str, data: bytes, method: int = 0, **changes: object) -> Made:
    """An honest entry, but for `changes`."""
    flags = 2 if method == 14 else 0
    made = Made(
        name.encode(), METHODS[method](data), method, len(data), zlib.crc32(data), flags=flags
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def archive(
    *entries: Made,
    comment: bytes = b"",
    zip64: bool = False,
    extensible: bytes = b"",
    count: int | None = None,
    directory_size: int | None = None,
    directory_offset: int | None = None,
    disk: int = 0,
) -> bytes:
    """A zip file of `entries`."""
    data, directory = bytearray(), bytearray()
    for each in entries:
        offset = len(data) if each.offset is None else each.offset
        stored = len(each.stored) if each.stored_size is None else each.stored_size
        data += struct.pack(
            LOCAL, b"PK\3\4", 20, each.flags, each.method, 0, 0, each.crc, stored & 0xFFFFFFFF,
            each.size & 0xFFFFFFFF, len(each.name), len(each.extra),
        )  # fmt: skip
        data += each.name + each.extra + each.stored
        numbers, extra = (stored, each.size, offset), b""
        if each.zip64:
            extra = struct.pack("<HHHHQQQ", 9, 0, 1, 24, each.size, stored, offset)
            numbers = (0xFFFFFFFF,) * 3
        directory += struct.pack(
            CENTRAL, b"PK\1\2", 20, 45, each.flags, each.method, 0, 0, each.crc, numbers[0],
            numbers[1], len(each.name), len(extra), 3, 0, 0, 0, numbers[2],
        )  # fmt: skip
        directory += each.name + extra + b"why"
    count = len(entries) if count is None else count
    size = len(directory) if directory_size is None else directory_size
    start = len(data) if directory_offset is None else directory_offset
    data += directory
    if zip64:
        end64 = len(data)
        data += struct.pack(
            "<4sQ2H2I4Q",
            b"PK\6\6",
            44 + len(extensible),
            45,
            45,
            disk,
            0,
            count,
            count,
            size,
            start,
        )
        data += extensible + struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
        count, size, start = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    return bytes(data) + struct.pack(
        END, b"PK\5\6", disk if not zip64 else 0, 0, count, count, size, start, len(comment)
    ) + comment  # fmt: skip

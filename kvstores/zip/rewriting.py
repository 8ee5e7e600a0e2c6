"""A new zip file from an old one: some entries replaced, added or left out. Pure.

Entries that stay are copied as they are, with their local headers and whatever follows their data,
and so is their time; the directory is written anew. New entries bear no time, so that equal values
make equal files.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import zstandard

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.zip.directory import Directory, Entry
from asynctensor.kvstores.zip.records import (
    CENTRAL,
    CENTRAL_MARK,
    END,
    END64,
    END64_MARK,
    END_MARK,
    LOCAL,
    LOCAL_MARK,
    LOCATOR64,
    LOCATOR64_MARK,
    damaged,
    key_of,
)
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import Buffer

#: Compression methods by TensorStore's names (APPNOTE 4.4.5).
METHODS: Final[Mapping[str, int]] = {"store": 0, "deflate": 8, "zstd": 93, "xz": 95}
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
#: Flag bit 11: the name is UTF-8.
_UTF8: Final = 1 << 11
#: The first day that the format knows (4.4.6).
_NO_DATE: Final = 1 << 5 | 1
#: 4.5, which ZIP64 needs; and the reader of zstd and xz, 6.3.
_VERSIONS: Final[Mapping[int, int]] = {93: 63, 95: 63}
_VERSION: Final = 45


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A value that was compressed for a zip file.

    Attributes:
        name: Its key, encoded.
        method: How it is compressed.
        crc: CRC-32 of the value.
        size: Its length in bytes.
        data: What is stored.
    """

    name: bytes
    method: int
    crc: int
    size: int
    data: Buffer


def check_key(key: str) -> None:
    """Checks that an entry can have this name.

    Raises:
        InvalidArgument: It cannot.
    """
    if not key or key.endswith("/") or len(key.encode("utf-8", "surrogateescape")) > _MAX16:
        raise InvalidArgument(
            "an entry of a zip file has a name of at most 65535 bytes, that is not empty and does "
            "not end in a slash",
            key=key,
        )


def compressed(key: str, value: Buffer, compression: str) -> NewEntry:
    """The entry of a value.

    Args:
        key: Its name; see `check_key`.
        value: The value.
        compression: One of `METHODS`.
    """
    view = memoryview(value).cast("B")
    data: Buffer = view
    match compression:
        case "deflate":
            encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            data = encoder.compress(view) + encoder.flush()
        case "zstd":
            data = zstandard.ZstdCompressor().compress(view)
        case "xz":
            data = lzma.compress(view)
    name = key.encode("utf-8", "surrogateescape")
    return NewEntry(name, METHODS[compression], zlib.crc32(view), view.nbytes, data)


def rewritten(
    file: memoryview, directory: Directory | None, changes: Mapping[str, NewEntry | None]
) -> bytes:
    """The zip file with the changes.

    Args:
        file: The old file, whole.
        directory: Its directory; None if there is no file yet.
        changes: New entries by key; None: none of this key.

    Raises:
        DataLoss: An entry that stays is not where the directory says.
    """
    pieces: list[Buffer] = []
    central: list[bytes] = []
    at = 0
    kept = [] if directory is None else [*directory.within(KeyRange())]
    for entry in sorted(kept, key=lambda each: each.offset):
        if entry.key in changes:
            continue
        piece = file[entry.offset : entry.limit]
        name, moment = _kept(entry, piece)
        sizes = (entry.stored, entry.size)
        central.append(_central(name, entry.flags, entry.method, moment, entry.crc, sizes, at))
        pieces.append(piece)
        at += len(piece)
        yield_gil()
    for new in changes.values():
        if new is None:
            continue
        sizes = (memoryview(new.data).nbytes, new.size)
        header = _local(new, sizes)
        central.append(_central(new.name, _UTF8, new.method, (0, _NO_DATE), new.crc, sizes, at))
        pieces += [header, new.data]
        at += len(header) + sizes[0]
    listing = b"".join(central)
    return b"".join([*pieces, listing, _end(len(central), len(listing), at)])


def _kept(entry: Entry, piece: memoryview) -> tuple[bytes, tuple[int, int]]:
    """Name and time of an entry that stays.

    Args:
        entry: What the directory says.
        piece: All that is between its beginning and what comes next.

    Raises:
        DataLoss: It is not there.
    """
    if len(piece) < max(LOCAL.size, entry.limit - entry.offset):
        damaged(f"{entry.key!r} is cut off")
    mark, _, flags, _, time, date, *_, length, _ = LOCAL.unpack_from(piece)
    name = bytes(piece[LOCAL.size : LOCAL.size + length])
    if mark != LOCAL_MARK or key_of(name, flags) != entry.key:
        damaged(f"{entry.key!r} is not where its directory says")
    return name, (time, date)


def _version(method: int) -> int:
    return _VERSIONS.get(method, _VERSION)


def _local(new: NewEntry, sizes: tuple[int, int]) -> bytes:
    extra, shown = b"", sizes
    if max(sizes) >= _MAX32:
        extra, shown = struct.pack("<2H2Q", 1, 16, sizes[1], sizes[0]), (_MAX32, _MAX32)
    header = LOCAL.pack(
        LOCAL_MARK, _version(new.method), _UTF8, new.method, 0, _NO_DATE, new.crc, *shown,
        len(new.name), len(extra),
    )  # fmt: skip
    return header + new.name + extra


def _central(
    name: bytes,
    flags: int,
    method: int,
    moment: tuple[int, int],
    crc: int,
    sizes: tuple[int, int],
    offset: int,
) -> bytes:
    extra, shown, place = b"", sizes, offset
    if max(*sizes, offset) >= _MAX32:
        extra = struct.pack("<2H3Q", 1, 24, sizes[1], sizes[0], offset)
        shown, place = (_MAX32, _MAX32), _MAX32
    version = _version(method)
    record = CENTRAL.pack(
        CENTRAL_MARK, version, version, flags, method, *moment, crc, *shown,
        len(name), len(extra), 0, 0, 0, 0, place,
    )  # fmt: skip
    return record + name + extra


def _end(entries: int, size: int, offset: int) -> bytes:
    found = b""
    if entries >= _MAX16 or max(size, offset) >= _MAX32:
        found = END64.pack(
            END64_MARK, END64.size - 12, _VERSION, _VERSION, 0, 0, entries, entries, size, offset
        ) + LOCATOR64.pack(LOCATOR64_MARK, 0, offset + size, 1)
        entries, size, offset = _MAX16, _MAX32, _MAX32
    return found + END.pack(END_MARK, 0, 0, entries, entries, size, offset, 0)

"""Where the bytes of an entry begin: only its local header tells."""

from __future__ import annotations

from asynctensor.kvstores.zip.directory import Entry
from asynctensor.kvstores.zip.records import LOCAL, LOCAL_MARK, damaged, is_encrypted, key_of

#: Longest extra fields that are expected, so that one request gets header and data: those of
#: common writers have 0 to 36 bytes; alignment to 64 bytes adds some.
_EXPECTED_EXTRA = 256


def header_length(entry: Entry) -> int:
    """How many bytes of an entry `data_start` needs to see."""
    return LOCAL.size + len(entry.key.encode("utf-8", "surrogateescape"))


def expected_end(entry: Entry, length: int) -> int:
    """Where the first `length` bytes of the data end at the latest, by all likelihood."""
    return min(entry.limit, entry.offset + header_length(entry) + _EXPECTED_EXTRA + length)


def data_start(entry: Entry, header: bytes | memoryview) -> int:
    """Where the data begin in the file.

    Args:
        entry: What the directory says.
        header: The bytes from ``entry.offset`` on, at least `header_length`.

    Raises:
        DataLoss: The header is none, or contradicts the directory.
    """
    if len(header) < header_length(entry):
        damaged(f"{entry.key!r} is cut off")
    mark, _, flags, method, _, _, _, _, _, name_length, extra_length = LOCAL.unpack_from(header)
    if mark != LOCAL_MARK:
        damaged(f"{entry.key!r} is not where its directory says")
    name = bytes(header[LOCAL.size : LOCAL.size + name_length])
    if key_of(name, flags) != entry.key or method != entry.method or is_encrypted(flags):
        damaged(f"the header of {entry.key!r} contradicts its directory")
    start = entry.offset + LOCAL.size + name_length + extra_length
    if start + entry.stored > entry.limit:
        damaged(f"{entry.key!r} overlaps what comes after it")
    return int(start)

r"""The records of a zip file, as bytes and back (PKWARE APPNOTE 6.3.10; all numbers little-endian).

Grammar::

    file      = *entry directory [ end64 locator64 ] end
    entry     = local name extra data [ descriptor ]
    local     = "PK\\3\\4" version(2) flags(2) method(2) time(2) date(2) crc(4) stored(4) size(4)
                name_length(2) extra_length(2)                                       ; 4.3.7
    directory = *( central name extra comment )                                      ; 4.3.12
    central   = "PK\\1\\2" made_by(2) version(2) flags(2) method(2) time(2) date(2) crc(4)
                stored(4) size(4) name_length(2) extra_length(2) comment_length(2) disk(2)
                internal(2) external(4) offset(4)
    end64     = "PK\\6\\6" rest(8) made_by(2) version(2) disk(4) directory_disk(4)
                entries_here(8) entries(8) directory_size(8) directory_offset(8) extensible
    locator64 = "PK\\6\\7" end64_disk(4) end64_offset(8) disks(4)                      ; 4.3.15
    end       = "PK\\5\\6" disk(2) directory_disk(2) entries_here(2) entries(2)
                directory_size(4) directory_offset(4) comment_length(2) comment      ; 4.3.16

A number that is all ones stands in the ZIP64 field (id 1) of `extra`, or in `end64`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NoReturn

from asynctensor.errors import DataLoss, Error, Unimplemented

LOCAL: Final = struct.Struct("<4s5H3I2H")
CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
END: Final = struct.Struct("<4s4H2IH")
END64: Final = struct.Struct("<4sQ2H2I4Q")
LOCATOR64: Final = struct.Struct("<4sIQI")
LOCAL_MARK: Final = b"PK\x03\x04"
CENTRAL_MARK: Final = b"PK\x01\x02"
END_MARK: Final = b"PK\x05\x06"
END64_MARK: Final = b"PK\x06\x06"
LOCATOR64_MARK: Final = b"PK\x06\x07"
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
#: Bits of ``flags`` (4.4.4): encrypted; encrypted strongly; the directory is encrypted.
_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_ZIP64_FIELD: Final = 1
#: Where every end record is, whatever its comment, with the fixed parts of the ZIP64 ones.
TAIL_BYTES: Final = END.size + _MAX16 + LOCATOR64.size + END64.size


def damaged(what: str) -> NoReturn:
    """Says that the file is no valid zip file.

    Raises:
        DataLoss: Always.
    """
    raise DataLoss(f"this is no valid zip file: {what}; restore it, or write it again")


@dataclass(frozen=True, slots=True)
class EndRecord:
    """Where the directory is.

    Attributes:
        entries: Number of entries.
        directory_size: Its length in bytes.
        directory_offset: Where it begins in the file.
        trailer: Bytes from its end to the end of the file.
    """

    entries: int
    directory_size: int
    directory_offset: int
    trailer: int


def find_end(tail: bytes) -> EndRecord:
    """The end record in the last bytes of a file (`TAIL_BYTES`, or all there are).

    Raises:
        DataLoss: There is none, or it contradicts itself.
        Unimplemented: The archive spans several files.
    """
    start = len(tail)
    while True:
        start = tail.rfind(END_MARK, 0, start)
        if start < 0:
            damaged("it has no end record")
        if start + END.size <= len(tail):
            fields = END.unpack_from(tail, start)
            if start + END.size + fields[7] == len(tail):
                break
    _, disk, directory_disk, here, entries, size, offset, _ = fields
    if _MAX16 in (disk, directory_disk, here, entries) or _MAX32 in (size, offset):
        found = _find_end64(tail, start)
        if found is not None:
            return found
    _check_disks(disk, directory_disk, here, entries)
    return _checked(EndRecord(entries, size, offset, len(tail) - start))


def is_zip_file(head: bytes, tail: bytes) -> bool:
    """Whether the last bytes of a file are those of a zip file.

    Args:
        head: Not looked at: data may begin with anything.
        tail: The last `TAIL_BYTES` bytes, or all there are.
    """
    del head
    try:
        find_end(tail)
    except Error:
        return False
    return True


def _find_end64(tail: bytes, end: int) -> EndRecord | None:
    """The ZIP64 end record before the locator that stands before `end`; None without locator."""
    at = end - LOCATOR64.size
    if at < 0 or tail[at : at + 4] != LOCATOR64_MARK:
        return None
    _, end64_disk, end64_offset, disks = LOCATOR64.unpack_from(tail, at)
    if end64_disk != 0 or disks > 1:
        _several_disks()
    # The locator counts from the start of the file, which may be far away; the record says its
    # own length, and so is found from its end.
    start = at
    while True:
        start = tail.rfind(END64_MARK, 0, start)
        if start < 0:
            damaged("its ZIP64 end record is not before its locator")
        if start + END64.size <= at:
            fields = END64.unpack_from(tail, start)
            if start + 12 + fields[1] == at:
                break
    _, _, _, _, disk, directory_disk, here, entries, size, offset = fields
    _check_disks(disk, directory_disk, here, entries)
    if offset + size != end64_offset:
        damaged("its directory does not end where its ZIP64 end record begins")
    return _checked(EndRecord(entries, size, offset, len(tail) - start))


def _check_disks(disk: int, directory_disk: int, here: int, entries: int) -> None:
    if disk or directory_disk or here != entries:
        _several_disks()


def _several_disks() -> NoReturn:
    raise Unimplemented("zip archives split over several files are not supported; join the parts")


def _checked(end: EndRecord) -> EndRecord:
    if end.entries * CENTRAL.size > end.directory_size:
        damaged(f"{end.entries} entries do not fit in a directory of {end.directory_size} bytes")
    return end


def zip64_numbers(extra: bytes, numbers: list[int]) -> None:
    """Puts the numbers of the ZIP64 field in place of those of `numbers` that are all ones.

    Args:
        extra: The extra fields: ``*( id(2) length(2) data )``.
        numbers: Size, stored size and offset, in this order (4.5.3); changed in place.

    Raises:
        DataLoss: The field is missing or too short.
    """
    wanted = [place for place, number in enumerate(numbers) if number == _MAX32]
    at = 0
    while at + 4 <= len(extra):
        name, length = struct.unpack_from("<HH", extra, at)
        at += 4
        if name == _ZIP64_FIELD:
            if length < 8 * len(wanted) or at + length > len(extra):
                damaged("a ZIP64 field is too short")
            for place, number in zip(
                wanted, struct.unpack_from(f"<{len(wanted)}Q", extra, at), strict=True
            ):
                numbers[place] = number
            return
        at += length
    # All ones and no such field: a file of just this size, from before ZIP64.


def is_encrypted(flags: int) -> bool:
    """Whether an entry of these flags needs a password."""
    return bool(flags & _ENCRYPTED)


def key_of(name: bytes, flags: int) -> str:
    """The name of an entry as a key.

    UTF-8 whether or not flag bit 11 says so, as most writers mean it; other bytes survive as
    they do everywhere in keys.
    """
    del flags
    return name.decode("utf-8", "surrogateescape")

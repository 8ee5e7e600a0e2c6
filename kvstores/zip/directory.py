"""The directory of a zip file: which keys there are, and where their bytes lie."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from asynctensor.errors import ResourceExhausted, Unimplemented
from asynctensor.kvstores.zip.records import (
    CENTRAL,
    CENTRAL_MARK,
    LOCAL,
    TAIL_BYTES,
    EndRecord,
    damaged,
    key_of,
    zip64_numbers,
)
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.key_range import KeyRange

#: A larger directory is not read into memory: ten million entries or so.
_MAX_DIRECTORY_BYTES: Final = 2**30
#: Entries parsed between two chances for other threads, about half a millisecond.
_PIECE: Final = 300
#: Key; method, flags, crc, stored, size, offset, and where it ends at the earliest.
_Row: TypeAlias = tuple[str, tuple[int, ...]]
_OFFSET: Final = 5
#: `array` type codes of all but the last.
_CODES: Final = "HHIQQQ"


@dataclass(frozen=True, slots=True)
class Entry:
    """One value in a zip file.

    Attributes:
        key: Its name.
        method: How it is compressed (APPNOTE 4.4.5).
        flags: APPNOTE 4.4.4.
        crc: CRC-32 of the value.
        stored: Length in bytes as it is stored.
        size: Length in bytes of the value.
        offset: Where its local header begins.
        limit: Where its bytes end at the latest: the next entry or the directory begins there.
    """

    key: str
    method: int
    flags: int
    crc: int
    stored: int
    size: int
    offset: int
    limit: int


class Directory:
    """Entries sorted by key, in columns: about 100 bytes each, so that millions are no burden.

    Args:
        keys: Their keys, sorted.
        columns: Of each in this order: method, flags, crc, stored, size, offset, limit.
        end: Where the directory begins in the file, and so all data end.
    """

    def __init__(self, keys: list[str], columns: tuple[array[int], ...], end: int) -> None:
        self._keys = keys
        self._columns = columns
        self.end = end

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Directory({len(self._keys)} entries)"

    def find(self, key: str) -> Entry | None:
        """The entry of `key`."""
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        return self._at(place)

    def within(self, key_range: KeyRange) -> Iterator[Entry]:
        """The entries of a range of keys, in order."""
        # Code points order strings as their UTF-8 bytes do.
        start = bisect_left(self._keys, key_range.inclusive_min)
        stop = len(self._keys)
        if key_range.exclusive_max:
            stop = bisect_left(self._keys, key_range.exclusive_max)
        return map(self._at, range(start, stop))

    def _at(self, place: int) -> Entry:
        return Entry(self._keys[place], *(column[place] for column in self._columns))


def wanted_tail(tail: bytes, end: EndRecord) -> int:
    """How many of the file's last bytes hold its directory and what follows.

    Args:
        tail: The last `TAIL_BYTES` bytes of the file, or all that it has.
        end: What `find_end` found there.

    Raises:
        DataLoss: It cannot be.
        ResourceExhausted: The directory is too large.
    """
    if end.directory_size > _MAX_DIRECTORY_BYTES:
        raise ResourceExhausted(
            f"the directory of this zip file has {end.directory_size} bytes, and at most "
            f"{_MAX_DIRECTORY_BYTES} are read into memory; split the archive"
        )
    wanted = end.trailer + end.directory_size
    if len(tail) < TAIL_BYTES and end.directory_offset + wanted != len(tail):
        damaged("its directory is not where its end record says; is there something before it?")
    return wanted


def directory_of(tail: bytes, end: EndRecord) -> Directory:
    """The directory in the last bytes of a file, at least `wanted_tail`.

    Raises:
        DataLoss: See `parse_directory`.
    """
    start = len(tail) - end.trailer - end.directory_size
    return parse_directory(memoryview(tail)[start : start + end.directory_size], end)


def parse_directory(data: memoryview, end: EndRecord) -> Directory:
    """The directory in `data`.

    Raises:
        DataLoss: It does not say what `end` says, names a key twice, or entries overlap.
    """
    rows: list[_Row] = []
    at = 0
    for number in range(end.entries):
        row, at = _parse_entry(data, at, end.directory_offset)
        if row is not None:
            rows.append(row)
        if number % _PIECE == 0:
            yield_gil()
    if at != len(data):
        damaged(f"its directory holds more than its {end.entries} entries")
    return _sorted(rows, end.directory_offset)


def _parse_entry(data: memoryview, at: int, limit: int) -> tuple[_Row | None, int]:
    """One entry (None: a folder), and where the next begins."""
    if at + CENTRAL.size > len(data):
        damaged("its directory is cut off")
    (
        mark, _, _, flags, method, _, _, crc, stored, size, name_length, extra_length,
        comment_length, disk, _, _, offset,
    ) = CENTRAL.unpack_from(data, at)  # fmt: skip
    if mark != CENTRAL_MARK:
        damaged("an entry of its directory has a wrong signature")
    at += CENTRAL.size
    following = at + name_length + extra_length + comment_length
    if following > len(data):
        damaged("its directory is cut off")
    if 0xFFFFFFFF in (size, stored, offset):
        numbers = [size, stored, offset]
        zip64_numbers(bytes(data[at + name_length : at + name_length + extra_length]), numbers)
        size, stored, offset = numbers
    if disk not in (0, 0xFFFF):
        raise Unimplemented(
            "zip archives split over several files are not supported; join the parts"
        )
    key = key_of(bytes(data[at : at + name_length]), flags)
    least = offset + LOCAL.size + name_length + stored
    if least > limit:
        damaged(f"{key!r} would reach into its directory")
    if key.endswith("/"):
        return None, following
    return (key, (method, flags, crc, stored, size, offset, least)), following


def _sorted(rows: list[_Row], end: int) -> Directory:
    rows.sort(key=lambda row: row[1][_OFFSET])
    limits = array("Q", (row[1][_OFFSET] for row in rows[1:]))
    limits.append(end)
    for (key, numbers), limit in zip(rows, limits, strict=False):
        # How bombs get gigabytes of data into a small file.
        if numbers[-1] > limit:
            damaged(f"{key!r} overlaps the entry after it")
    order = sorted(range(len(rows)), key=lambda place: rows[place][0])
    keys = [rows[place][0] for place in order]
    for one, other in pairwise(keys):
        if one == other:
            damaged(f"{one!r} is in it twice")
    columns = tuple(
        array(code, (rows[place][1][field] for place in order)) for field, code in enumerate(_CODES)
    )
    return Directory(keys, (*columns, array("Q", (limits[place] for place in order))), end)

"""An entry of a zip file, held open for reading by a worker thread."""

from __future__ import annotations

from typing import Final

from asynctensor.errors import Error, OutOfRange
from asynctensor.kvstores.zip.compression import STORED, check_crc, check_readable, decode
from asynctensor.kvstores.zip.directory import Entry
from asynctensor.kvstores.zip.held_directory import Version
from asynctensor.kvstores.zip.local_header import data_start, header_length
from asynctensor.kvstores.zip.partial import BLOCK, Part
from asynctensor.storage.kvstore import OpenValue

#: Inner chunks of a shard are read one after the other, all from what was decoded once.
_KEPT: Final = 2**26


class ZipValue:
    """One entry of one version of a zip file (`OpenValue`).

    Nothing of it is read before `read_into`, so that callers can look at its size first. What is
    compressed is decoded whole and kept while it is open, if it has at most `_KEPT` bytes.

    Args:
        opened: The zip file; closed with the value.
        version: What is known of it.
        entry: The entry.
    """

    __slots__ = (
        "_decoded",
        "_entry",
        "_opened",
        "_start",
        "_version",
        "generation",
        "size",
        "value",
    )

    def __init__(self, opened: OpenValue, version: Version, entry: Entry) -> None:
        self._opened = opened
        self._version = version
        self._entry = entry
        self._start = version.data_starts.get(entry.offset)
        self._decoded: bytes | None = None
        self.size = entry.size
        self.generation = opened.generation
        self.value: bytes | None = None

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenValue.read_into`.

        Raises:
            DataLoss, Unimplemented, ResourceExhausted: See `check_readable` and `decode`.
        """
        target = buffer if buffer.format == "B" and buffer.ndim == 1 else buffer.cast("B")
        if offset < 0 or offset + len(target) > self.size:
            raise OutOfRange(
                f"bytes {offset} to {offset + len(target)} are not in a value of {self.size} bytes",
                key=self._entry.key,
            )
        try:
            self._read(target, offset)
        except Error as error:
            error.located(key=self._entry.key, operation="read")
            raise

    def _read(self, target: memoryview, offset: int) -> None:
        entry = self._entry
        if self._decoded is None:
            check_readable(entry)
            if self._start is None:
                self._start = self._find_start()
            if entry.method == STORED:
                self._opened.read_into(target, self._start + offset)
                if len(target) == entry.size:
                    check_crc(entry, target)
                return
            if entry.size > _KEPT and len(target) < entry.size:
                target[:] = self._part(self._start, offset, offset + len(target))
                return
            stored = bytearray(entry.stored)
            self._opened.read_into(memoryview(stored), self._start)
            self._decoded = decode(entry, memoryview(stored))
        target[:] = memoryview(self._decoded)[offset : offset + len(target)]

    def _part(self, begin: int, start: int, stop: int) -> bytearray:
        part = Part(self._entry, start, stop, self._version.restarts)
        block = memoryview(bytearray(min(BLOCK, self._entry.stored)))
        while not part.done:
            filled = block[: self._entry.stored - part.needed]
            self._opened.read_into(filled, begin + part.needed)
            part.feed(filled)
        return part.value

    def _find_start(self) -> int:
        header = bytearray(header_length(self._entry))
        self._opened.read_into(memoryview(header), self._entry.offset)
        start = data_start(self._entry, memoryview(header))
        self._version.remember(self._entry, start)
        return start

    def close(self) -> None:
        """See `OpenValue.close`."""
        self._opened.close()
        self._decoded = None

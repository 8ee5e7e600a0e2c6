"""``file_io_mode`` ``"memmap"``: large values are mapped into memory, not read.

A mapped file that somebody cuts off kills the process that looks at it. So only files on file
systems of this machine are mapped, and none of a store that writes in place: everyone who uses this
library replaces files, and never changes them.
"""

from __future__ import annotations

import mmap

import numpy as np

from asynctensor.kvstores.file.open_file import OpenFile

#: Smaller values are read: mapping costs more than it saves. TensorStore's.
LEAST_MAPPED = 256 * 1024


class MappedFile(OpenFile):
    """An open file that is read through a memory map; it takes over what was opened.

    Args:
        opened: The file, which is not to be used any more.

    Raises:
        OSError: It cannot be mapped; `opened` is as it was.
    """

    __slots__ = ("_map",)

    def __init__(self, opened: OpenFile) -> None:
        opened.hand_over(self)
        self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        self._check_offset(offset)
        count = max(0, min(len(buffer), self.size - offset))
        # NumPy gives up the GIL, which a page that must come from the disk would hold for long.
        source = np.frombuffer(self._map, np.uint8, count, offset) if count else b""
        if count:
            np.copyto(np.frombuffer(buffer, np.uint8, count), source)
        return count

    def _pread(self, length: int, offset: int) -> bytes:
        data = bytearray(length)
        return bytes(data[: self._read_some(memoryview(data), offset)])

    def close(self) -> None:
        """See `OpenValue.close`."""
        super().close()
        self._map.close()


def mapped(opened: OpenFile) -> OpenFile:
    """`opened` through a memory map, where that is worth it and safe; else itself."""
    if opened.size < LEAST_MAPPED or not opened.is_local():
        return opened
    try:
        return MappedFile(opened)
    except (OSError, ValueError):
        # It cannot be mapped, or was cut off meanwhile: reading it tells.
        return opened

"""``file_io_mode`` ``"direct"``: values are read past the page cache (``O_DIRECT``).

For data that is read once and larger than memory. The disk wants whole blocks at aligned places in
aligned memory, so everything goes through a buffer per thread. Where a file system cannot do it,
or wants larger blocks, the file is read as ever. Writes are not direct.
"""

from __future__ import annotations

import errno
import mmap
import threading

from asynctensor.kvstores.file.open_file import OpenFile

#: No disk's block is larger, nor any page; more than that is refused and then read as ever.
_BLOCK = 4096
#: Bytes read at once: enough that the disk is busy.
_PIECE = 1 << 20
#: What is said where it cannot be done.
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


class DirectBuffers:
    """One aligned buffer for each thread that reads."""

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self) -> memoryview:
        """This thread's; `_PIECE` bytes, aligned to a page."""
        if not hasattr(self._local, "buffer"):
            self._local.buffer = mmap.mmap(-1, _PIECE)
        return memoryview(self._local.buffer)


class DirectFile(OpenFile):
    """An open file that is read past the page cache; it takes over what was opened.

    Args:
        opened: The file, which is not to be used any more.
        buffers: Where to read to.
    """

    __slots__ = ("_buffers", "_direct")

    def __init__(self, opened: OpenFile, buffers: DirectBuffers) -> None:
        opened.hand_over(self)
        self._buffers = buffers
        self._direct = self._set_direct(on=True)

    @property
    def is_direct(self) -> bool:
        """Whether the file system does it, as far as is known."""
        return self._direct

    def _set_direct(self, *, on: bool) -> bool:
        try:
            self._file_system.set_direct(self._fd, on)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return False
        return on

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        if not self._direct:
            return super()._read_some(buffer, offset)
        self._check_offset(offset)
        skipped = offset % _BLOCK
        blocks = -(-(skipped + len(buffer)) // _BLOCK)
        piece = self._buffers.get()[: min(_PIECE, blocks * _BLOCK)]
        try:
            count = super()._read_some(piece, offset - skipped)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self._direct = self._set_direct(on=False)
            return super()._read_some(buffer, offset)
        count = max(0, min(count - skipped, len(buffer)))
        buffer[:count] = piece[skipped : skipped + count]
        return count

    def _pread(self, length: int, offset: int) -> bytes:
        if not self._direct:
            return super()._pread(length, offset)
        data = bytearray(length)
        done = 0
        while done < length and (count := self._read_some(memoryview(data)[done:], offset + done)):
            done += count
        return bytes(data[:done])

    def _reopen(self) -> None:
        super()._reopen()
        self._direct = self._set_direct(on=self._direct)

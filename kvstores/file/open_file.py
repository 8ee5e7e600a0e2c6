"""A file of the store, open for reading."""

from __future__ import annotations

import errno
import os
import stat

from asynctensor.errors import Aborted, OutOfRange, os_errors_mapped
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.generation import generation_of
from asynctensor.kvstores.file.root import Root
from asynctensor.runtime.counters import Counter


class OpenFile:
    """One version of a value (`OpenValue`); later writes replace the file and never change it.

    It is read with plain calls. `MappedFile` and `DirectFile` are for those who ask for them.
    """

    __slots__ = (
        "_bytes_read",
        "_fd",
        "_file_system",
        "_key",
        "_root",
        "generation",
        "size",
        "value",
    )

    def __init__(
        self,
        root: Root,
        file_system: FileSystem,
        key: str,
        fd: int,
        status: os.stat_result,
        bytes_read: Counter,
    ) -> None:
        self._bytes_read = bytes_read
        self._root = root
        self._file_system = file_system
        self._key = key
        self._fd = fd
        self.size = status.st_size
        self.generation = generation_of(status)
        self.value: bytes | None = None

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenValue.read_into`."""
        with os_errors_mapped(key=self._key, store=self._root.path, operation="read"):
            rest = buffer if buffer.format == "B" and buffer.ndim == 1 else buffer.cast("B")
            while rest:
                count = self._read_some(rest, offset)
                if count == 0:
                    raise OutOfRange(
                        f"the file ends at byte {offset}, {len(rest)} bytes before what was asked "
                        f"for (it had {self.size} bytes when it was opened)"
                    )
                self._bytes_read.value += count
                rest = rest[count:]
                offset += count

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        self._check_offset(offset)
        try:
            return self._file_system.read_into(self._fd, buffer, offset)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        self._reopen()
        return self._file_system.read_into(self._fd, buffer, offset)

    def _check_offset(self, offset: int) -> None:
        if offset < 0:
            raise OutOfRange(f"offset {offset} is before the start of the file")

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, which must be within the value.

        Raises:
            OutOfRange: The file was cut off meanwhile.
        """
        data = self._pread(stop - start, start)
        self._bytes_read.value += len(data)
        if len(data) == stop - start:
            return data
        whole = bytearray(stop - start)
        whole[: len(data)] = data
        self.read_into(memoryview(whole)[len(data) :], start + len(data))
        return bytes(whole)

    def _pread(self, length: int, offset: int) -> bytes:
        try:
            return self._file_system.pread(self._fd, length, offset)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        self._reopen()
        return self._file_system.pread(self._fd, length, offset)

    def _reopen(self) -> None:
        """After ESTALE: a file server forgot the file, perhaps because it was replaced."""
        fd = self._root.open_to_read(self._key)
        if generation_of(self._file_system.fstat(fd)) != self.generation:
            self._file_system.close(fd)
            raise Aborted("the value was replaced while it was being read; read it again")
        self.close()
        self._fd = fd

    def is_local(self) -> bool:
        """Whether it is known to be on a file system of this machine."""
        return self._file_system.glance.is_local(self._fd)

    def hand_over(self, other: OpenFile) -> None:
        """Makes `other` this file, which is not to be used any more, nor closed."""
        for name in OpenFile.__slots__:
            setattr(other, name, getattr(self, name))

    def close(self) -> None:
        """See `OpenValue.close`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._file_system.close(fd)


def open_file(
    root: Root, file_system: FileSystem, key: str, bytes_read: Counter
) -> OpenFile | None:
    """Opens the value of a key that was checked; None if it has none.

    What is no regular file (a directory, a socket) is no value.
    """
    try:
        fd = root.open_to_read(key)
    except OSError as error:
        if error.errno in NO_SUCH_FILE:
            return None
        if error.errno != errno.ESTALE:
            raise
        # The name was looked up in an old copy of a directory; the second look is fresh.
        fd = root.open_to_read(key)
    try:
        status = file_system.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            return OpenFile(root, file_system, key, fd, status, bytes_read)
    except BaseException:
        file_system.close(fd)
        raise
    file_system.close(fd)
    return None


#: ENXIO: a socket, or a FIFO without a reader; EISDIR: some platforms on directories.
NO_SUCH_FILE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EISDIR))

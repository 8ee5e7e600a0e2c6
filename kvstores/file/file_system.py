"""The system calls that the ``file`` store makes, in one object that tests can replace.

What is an attribute here rather than a method costs nothing over calling `os` itself.

No path is ever followed through a symbolic link unseen: `open_no_links` fails with ``ELOOP`` at
the first one. On Linux the kernel checks that (``openat2(2)`` with ``RESOLVE_NO_SYMLINKS``), on
macOS too (``O_NOFOLLOW_ANY``); elsewhere, and under sandboxes without ``openat2``, each component
is opened by itself relative to the one before.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

from asynctensor.kvstores.file.glance import Glance

if sys.platform != "win32":
    import fcntl

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
#: A FIFO planted under a key must not hold a reader up; regular files ignore the flag.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)

READ = os.O_RDONLY | _CLOEXEC | _BINARY | _NONBLOCK
DIRECTORY = os.O_RDONLY | _CLOEXEC | _DIRECTORY
#: Names a file without opening it, where the platform can.
NAME_ONLY = getattr(os, "O_PATH", os.O_RDONLY | _NONBLOCK) | _CLOEXEC | _BINARY
CREATE = os.O_RDWR | os.O_CREAT | _CLOEXEC | _BINARY | _NOFOLLOW
CREATE_NEW = CREATE | os.O_EXCL

#: A directory on the way.
_STEP = NAME_ONLY | _DIRECTORY | _NOFOLLOW
#: Linux's, so that each way of opening refuses the same keys.
_PATH_MAX = 4096

_SYS_OPENAT2 = 437
_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 0x04
_SYNC_FILE_RANGE_WRITE = 2
_O_NOFOLLOW_ANY = 0x20000000
#: What answers where the kernel, or a sandbox around it, does not know the call.
_NO_SUCH_CALL = (errno.ENOSYS, errno.EPERM, errno.EINVAL)
_MAX_WRITE = 1 << 30
#: Pieces written by one call: Linux's ``IOV_MAX``.
_MAX_PIECES = 1024


class FileSystem:
    """The real one."""

    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    link = staticmethod(os.link)
    mkdir = staticmethod(os.mkdir)
    open = staticmethod(os.open)
    rename = staticmethod(os.replace)
    rmdir = staticmethod(os.rmdir)
    unlink = staticmethod(os.unlink)
    utime = staticmethod(os.utime)
    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    #: Whether names can be looked up relative to an open directory.
    has_dir_fd = os.open in os.supports_dir_fd and os.scandir in os.supports_fd

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        #: What can be known of a file without waiting.
        self.glance = Glance()
        self._how: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self._syscall: Any = None
        self._sync_file_range: Any = None
        if self._libc is not None:
            self._bind(self._libc)

    def __reduce__(self) -> tuple[object, ...]:
        return (FileSystem, ())

    def _bind(self, libc: ctypes.CDLL) -> None:
        self._syscall = libc.syscall
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = [
            ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
        ]  # fmt: skip
        self._sync_file_range = getattr(libc, "sync_file_range", None)
        if self._sync_file_range is not None:
            self._sync_file_range.argtypes = [
                ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
            ]  # fmt: skip

    def open_no_links(self, path: str, flags: int) -> int:
        """Opens an existing file or directory; no component of `path` may be a symbolic link.

        Args:
            path: Absolute and normalised.
            flags: As for `os.open`.

        Raises:
            OSError: ``ELOOP`` at a symbolic link; otherwise as `os.open`.
        """
        if self._syscall is None:
            return self._open_portably(path, flags)
        how = self._how.get(flags)
        if how is None:
            how = ctypes.create_string_buffer(
                struct.pack("=QQQ", flags, 0, _RESOLVE_NO_SYMLINKS), 24
            )
            self._how[flags] = how
        while True:
            fd: int = self._syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), how, 24)
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code in _NO_SUCH_CALL:
                return self._open_portably(path, flags)
            if code != errno.EINTR:
                raise OSError(code, os.strerror(code), path)

    def _open_portably(self, path: str, flags: int) -> int:
        if sys.platform == "darwin":
            return os.open(path, flags | _O_NOFOLLOW_ANY)
        if not self.has_dir_fd:
            if os.path.realpath(path) != path:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            return os.open(path, flags)
        return self._open_by_component(path, flags)

    def _open_by_component(self, path: str, flags: int) -> int:
        names = [name for name in path.split("/") if name] or ["."]
        if len(os.fsencode(path)) >= _PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        here = os.open("/", _STEP)
        try:
            for name in names[:-1]:
                here, above = self._step(name, _STEP, here), here
                os.close(above)
            return self._step(names[-1], flags | _NOFOLLOW, here)
        finally:
            os.close(here)

    @staticmethod
    def _step(name: str, flags: int, above: int) -> int:
        # A link that is not followed is "no directory" to some flags, and opened by others.
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        return os.open(name, flags, dir_fd=above)

    def realpath(self, path: str) -> str:
        """`path` without symbolic links; what does not exist stays as it is."""
        return os.path.realpath(path)

    def scandir(self, directory: int | str) -> Iterator[os.DirEntry[str]]:
        """The entries of an open directory (or of the path of one); they have a `close`."""
        return cast("Iterator[os.DirEntry[str]]", os.scandir(directory))

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Reads at `offset` into `buffer`; returns how many bytes came, 0 at the end."""
        if hasattr(os, "preadv"):
            return os.preadv(fd, [buffer], offset)
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read_into_both(self, fd: int, first: memoryview, second: bytearray) -> int:
        """Reads from the start of a file into `first`, and what is left into `second`.

        Only where `os.preadv` exists.
        """
        return os.preadv(fd, (first, second), 0)

    def set_direct(self, fd: int, on: bool) -> None:
        """Has reads of an open file pass the page cache by, or not.

        Raises:
            OSError: The file system cannot do it.
        """
        if not hasattr(os, "O_DIRECT"):
            raise OSError(errno.ENOTSUP, "no O_DIRECT here")
        flags = fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """Reads up to `length` bytes at `offset`."""
        if hasattr(os, "pread"):
            return os.pread(fd, length, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

    def write(self, fd: int, *pieces: memoryview) -> None:
        """Writes all pieces, one after the other, where the file stands."""
        left = [piece for piece in pieces if len(piece)]
        while left:
            if len(left) > 1 and hasattr(os, "writev"):
                written = os.writev(fd, left[:_MAX_PIECES])
            else:
                written = os.write(fd, left[0][:_MAX_WRITE])
            whole = 0
            while whole < len(left) and written >= len(left[whole]):
                written -= len(left[whole])
                whole += 1
            del left[:whole]
            if written:
                left[0] = left[0][written:]

    def start_flush(self, fd: int) -> None:
        """Lets the disk begin with the file before `fsync` waits for it; only a hint.

        Measured on ext4, 16 values of 256 KiB: 5.4 ms with it, 8 ms without.
        """
        if self._sync_file_range is not None:
            self._sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)

    def try_lock(self, fd: int) -> bool:
        """Takes the write lock on a file if nobody has it.

        On Linux a lock of the open file description: it excludes threads as well as processes,
        and TensorStore takes the same.
        """
        if sys.platform == "win32":
            raise OSError(errno.ENOTSUP, "no advisory locks; use locking mode 'lockfile'")
        try:
            if sys.platform == "linux":
                lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

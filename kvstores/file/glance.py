"""Looks at a file without ever waiting, on the thread that asks, or does not look at all.

Linux says of each step whether it can be taken from memory: ``openat2(2)`` with ``RESOLVE_CACHED``
fails where a directory would have to be read or a server asked. Only on file systems of this
machine is what it then says current, so others are never believed. Neither call gives up the GIL,
which would take longer than both.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Any

from asynctensor.kvstores.file.generation import pack_generation

_SYS_OPENAT2 = 437
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_CACHED = 0x20
#: What is asked for: type, inode, size, modification time (``linux/stat.h``).
_WANTED = 0x0001 | 0x0100 | 0x0200 | 0x0040
#: Mask; mode, inode, size; modification time; device: as ``struct statx`` has them.
_MASK = struct.Struct("=I")
_FILE = struct.Struct("=28xH2xQQ64xqI")
_S_IFMT, _S_IFREG = 0o170000, 0o100000
#: Types of file systems that nobody changes from elsewhere (``linux/magic.h``): ext2 to ext4, XFS,
#: Btrfs, F2FS, ZFS, tmpfs, ramfs, overlayfs, bcachefs.
_LOCAL = frozenset(
    {
        0xEF53,
        0x58465342,
        0x9123683E,
        0xF2F52010,
        0x2FC12FC1,
        0x01021994,
        0x858458F6,
        0x794C7630,
        0xCA451A4E,
    }
)


class Glance:
    """The calls; one for all threads."""

    def __init__(self) -> None:
        self._bound: tuple[Any, Any, Any, Any] | None = None
        self._how = ctypes.create_string_buffer(
            struct.pack(
                "=QQQ",
                getattr(os, "O_PATH", 0) | getattr(os, "O_CLOEXEC", 0),
                0,
                _RESOLVE_NO_SYMLINKS | _RESOLVE_CACHED,
            ),
            24,
        )
        if sys.platform == "linux" and ctypes.sizeof(ctypes.c_long) == 8:
            self._bound = _bind()

    def __reduce__(self) -> tuple[object, ...]:
        return (Glance, ())

    def generation(self, path: str) -> bytes | None:
        """The generation of the regular file at `path`; None if that takes a real look.

        Args:
            path: Absolute and normalised; no component may be a symbolic link.
        """
        if self._bound is None:
            return None
        syscall, statx, _, close = self._bound
        fd = syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), self._how, 24)
        if fd < 0:
            return None
        try:
            found = ctypes.create_string_buffer(256)
            if statx(fd, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _WANTED, found) != 0:
                return None
            mode, inode, size, seconds, nanoseconds = _FILE.unpack_from(found)
            told = _MASK.unpack_from(found)[0] & _WANTED == _WANTED
            if not told or mode & _S_IFMT != _S_IFREG or not self._is_local(fd):
                return None
            return pack_generation(inode, seconds * 10**9 + nanoseconds, size)
        finally:
            close(fd)

    def is_local(self, fd: int) -> bool:
        """Whether an open file is known to be on a file system of this machine."""
        return self._bound is not None and self._is_local(fd)

    def _is_local(self, fd: int) -> bool:
        # Not remembered by device: the numbers of network file systems are given out again.
        assert self._bound is not None
        found = ctypes.create_string_buffer(256)
        if self._bound[2](fd, found) != 0:
            return False
        return struct.unpack_from("=q", found)[0] & 0xFFFFFFFF in _LOCAL


def _bind() -> tuple[Any, Any, Any, Any] | None:
    libc = ctypes.PyDLL(None)
    try:
        syscall, statx, fstatfs, close = libc.syscall, libc.statx, libc.fstatfs, libc.close
    except AttributeError:
        return None
    syscall.restype = ctypes.c_long
    syscall.argtypes = [
        ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
    ]  # fmt: skip
    statx.argtypes = [
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
    ]  # fmt: skip
    fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]
    close.argtypes = [ctypes.c_int]
    return syscall, statx, fstatfs, close

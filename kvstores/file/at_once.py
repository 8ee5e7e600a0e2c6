"""Calls that never wait: small files are looked at and read if they are in memory, or not at all.

Linux says of each step whether it can be taken from memory: ``openat2(2)`` with ``RESOLVE_CACHED``
fails where a directory would have to be read or a server asked, ``preadv2(2)`` with ``RWF_NOWAIT``
where a page of the file would. So these calls may be made while the GIL is held, and are: giving it
up and taking it back takes longer than a small read, and much longer while others want it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from dataclasses import dataclass
from typing import Any

from asynctensor.kvstores.file.generation import pack_generation

_SYS_OPENAT2 = 437
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_CACHED = 0x20
_RWF_NOWAIT = 0x08
#: What is asked for: type, inode, size, modification time (``linux/stat.h``).
_WANTED = 0x0001 | 0x0100 | 0x0200 | 0x0040
#: Mask; mode, inode, size; modification time; device: as ``struct statx`` has them.
_MASK = struct.Struct("=I")
_FILE = struct.Struct("=28xH2xQQ64xqI12xII")
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


@dataclass(frozen=True, slots=True)
class _Calls:
    syscall: Any
    statx: Any
    fstatfs: Any
    preadv2: Any
    close: Any


class AtOnce:
    """The calls, and which devices are local; one for all threads.

    Args:
        enabled: False: everything takes waiting.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._local: dict[tuple[int, int], bool] = {}
        self._to_name = _how(getattr(os, "O_PATH", 0))
        self._to_read = _how(os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        can = enabled and sys.platform == "linux" and ctypes.sizeof(ctypes.c_long) == 8
        self._calls = _bind() if can else None
        # Where the byte beyond what was asked for goes: nobody looks at it.
        self._beyond = ctypes.create_string_buffer(1)
        self._end = (ctypes.c_size_t * 2)(ctypes.addressof(self._beyond), 1)

    def __reduce__(self) -> tuple[object, ...]:
        return (AtOnce, ())

    @property
    def is_possible(self) -> bool:
        """Whether anything can be done at all."""
        return self._calls is not None

    def generation(self, path: str) -> bytes | None:
        """The generation of the regular file at `path`, on a file system of this machine.

        Args:
            path: Absolute and normalised; no component may be a symbolic link.

        Returns:
            The generation, or None: it takes waiting, or is something else.
        """
        calls = self._calls
        if calls is None:
            return None
        fd = calls.syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), self._to_name, 24)
        if fd < 0:
            return None
        try:
            found = ctypes.create_string_buffer(256)
            if calls.statx(fd, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _WANTED, found) != 0:
                return None
            mode, inode, size, seconds, nanoseconds, major, minor = _FILE.unpack_from(found)
            told = _MASK.unpack_from(found)[0] & _WANTED == _WANTED
            if not told or mode & _S_IFMT != _S_IFREG or not self._is_local(fd, (major, minor)):
                return None
            return pack_generation(inode, seconds * 10**9 + nanoseconds, size)
        finally:
            calls.close(fd)

    def read(self, path: str, address: int, size: int) -> int:
        """Reads the whole file at `path`.

        Args:
            path: As for `generation`.
            address: Where to read to.
            size: Room there, in bytes.

        Returns:
            Number of bytes, all that the file has; or -1: it takes waiting, is empty or larger, or
            something is wrong with it.
        """
        calls = self._calls
        if calls is None:
            return -1
        fd = calls.syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), self._to_read, 24)
        if fd < 0:
            return -1
        try:
            place = (ctypes.c_size_t * 2)(address, size)
            count: int = calls.preadv2(fd, place, 1, 0, _RWF_NOWAIT)
            # It ends where the file does, or where pages are not in memory: the next byte tells.
            if count <= 0 or calls.preadv2(fd, self._end, 1, count, _RWF_NOWAIT) != 0:
                return -1
            return count
        finally:
            calls.close(fd)

    def _is_local(self, fd: int, device: tuple[int, int]) -> bool:
        known = self._local.get(device)
        if known is None:
            assert self._calls is not None
            found = ctypes.create_string_buffer(256)
            known = self._calls.fstatfs(fd, found) == 0 and (
                struct.unpack_from("=q", found)[0] & 0xFFFFFFFF in _LOCAL
            )
            self._local[device] = known
        return known


def _how(flags: int) -> ctypes.Array[ctypes.c_char]:
    """A ``struct open_how``."""
    resolve = _RESOLVE_NO_SYMLINKS | _RESOLVE_CACHED
    flags |= getattr(os, "O_CLOEXEC", 0)
    return ctypes.create_string_buffer(struct.pack("=QQQ", flags, 0, resolve), 24)


def _bind() -> _Calls | None:
    libc = ctypes.PyDLL(None)
    try:
        calls = _Calls(libc.syscall, libc.statx, libc.fstatfs, libc.preadv2, libc.close)
    except AttributeError:
        return None
    calls.syscall.restype = ctypes.c_long
    calls.syscall.argtypes = [
        ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
    ]  # fmt: skip
    calls.statx.argtypes = [
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
    ]  # fmt: skip
    calls.fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]
    calls.preadv2.restype = ctypes.c_ssize_t
    calls.preadv2.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int
    ]  # fmt: skip
    calls.close.argtypes = [ctypes.c_int]
    return calls

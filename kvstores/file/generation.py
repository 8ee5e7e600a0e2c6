"""How the versions of a file are told apart.

::

    generation = inode (8 bytes) mtime in ns (8 bytes, signed) size (8 bytes), all little endian

Inode, time and size as the file system reports them are not enough: an inode is given out again as
soon as it is free, and the clock of a file system ticks in milliseconds, so the third version of a
value may look like its first. Writers therefore set the modification time themselves, strictly
later than that of the version they replace. Times are whole microseconds, which file servers
with coarser clocks than ours still keep exactly. The change time is left out: ``rename`` and
``link`` move it, and so do backup programs. The device is left out: it is not the same on every
host that mounts a network file system.
"""

from __future__ import annotations

import os
import struct

_pack = struct.Struct("<QqQ").pack


def generation_of(status: os.stat_result) -> bytes:
    """The generation of the file that `status` describes."""
    return pack_generation(status.st_ino, status.st_mtime_ns, status.st_size)


def pack_generation(inode: int, mtime_ns: int, size: int) -> bytes:
    """The generation of a file of which this is known."""
    return _pack(inode & 0xFFFFFFFFFFFFFFFF, mtime_ns, size)


def mtime_after(now_ns: int, replaced: os.stat_result | None) -> int:
    """The modification time in ns for a version written at `now_ns` over `replaced`."""
    now = now_ns // 1000 * 1000
    if replaced is None:
        return now
    return max(now, replaced.st_mtime_ns // 1000 * 1000 + 1000)

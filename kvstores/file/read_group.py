"""Many small files read one after the other, each with few system calls.

`open_file` looks at a file (``fstat``) before it reads it, and makes an object of it; for a file
of some tens of kilobytes in the page cache that takes longer than reading it. Here, what was read
tells: a regular file gives all of its bytes up to its end, and what gives none, more than were
asked for, or an error is left to `open_file`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from asynctensor.errors import Error
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.key import are_keys
from asynctensor.kvstores.file.open_file import NO_SUCH_FILE
from asynctensor.kvstores.file.root import Root
from asynctensor.storage.kvstore import UNREAD, Buffer, Unread

#: Files up to this size are read while the GIL is held, if they are in memory: some 10 us each.
_AT_ONCE = 128 * 1024


def read_group(
    root: Root, file_system: FileSystem, keys: Sequence[str], buffer: memoryview, size: int
) -> list[Buffer | None | Unread]:
    """See `BlockingFace.read_group`."""
    if not keys or not are_keys(keys) or not hasattr(os, "preadv"):
        return [UNREAD] * len(keys)
    found: list[Buffer | None | Unread] = []
    if size > _AT_ONCE or not file_system.at_once.is_possible:
        for start, key in zip(range(0, len(keys) * size, size), keys, strict=True):
            found.append(_read(root, file_system, key, buffer[start : start + size]))
        return found
    read, base = file_system.at_once.read, root.join("")
    base = base if base.endswith("/") else base + "/"
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    for start, key in zip(range(0, len(keys) * size, size), keys, strict=True):
        count = read(base + key, address + start, size)
        if count > 0:
            found.append(buffer[start : start + count])
        else:
            found.append(_read(root, file_system, key, buffer[start : start + size]))
    return found


def _read(
    root: Root, file_system: FileSystem, key: str, place: memoryview
) -> Buffer | None | Unread:
    # Filled only by a value that is too long.
    beyond = bytearray(1)
    try:
        fd = root.open_to_read(key)
        try:
            count = file_system.read_into_both(fd, place, beyond)
        finally:
            file_system.close(fd)
    except OSError as error:
        return None if error.errno in NO_SUCH_FILE else UNREAD
    except Error:
        return UNREAD
    return place[:count] if 0 < count <= len(place) else UNREAD

"""Many small files read one after the other, each with three system calls.

`open_file` looks at a file (``fstat``) before it reads it, and makes an object of it; for a file
of some tens of kilobytes in the page cache that takes longer than reading it. Here, what was read
tells: a regular file gives all of its bytes up to its end, and what gives none, more than were
asked for, or an error is left to `open_file`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from asynctensor.errors import Error
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.key import are_keys
from asynctensor.kvstores.file.open_file import NO_SUCH_FILE
from asynctensor.kvstores.file.root import Root
from asynctensor.storage.kvstore import UNREAD, Buffer, Unread


def read_group(
    root: Root, file_system: FileSystem, keys: Sequence[str], buffer: memoryview, size: int
) -> list[Buffer | None | Unread]:
    """See `BlockingFace.read_group`."""
    if not are_keys(keys) or not hasattr(os, "preadv"):
        return [UNREAD] * len(keys)
    found: list[Buffer | None | Unread] = []
    # Filled only by a value that is too long.
    beyond = bytearray(1)
    for start, key in zip(range(0, len(keys) * size, size), keys, strict=True):
        place = buffer[start : start + size]
        try:
            fd = root.open_to_read(key)
            try:
                count = file_system.read_into_both(fd, place, beyond)
            finally:
                file_system.close(fd)
        except OSError as error:
            found.append(None if error.errno in NO_SUCH_FILE else UNREAD)
        except Error:
            found.append(UNREAD)
        else:
            found.append(place[:count] if 0 < count <= size else UNREAD)
    return found

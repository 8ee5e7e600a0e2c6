"""Deleting a range of keys, and the directories that it empties.

Keys are removed without their locks: a write that is on its way meanwhile counts as one that came
after. Directories go only by ``rmdir``, which refuses one that is not empty, so a value that
somebody writes into it at the same time is never taken along; their write finds the directory gone
and makes it anew.

Removing names while reading a directory may hide others on some file systems, so a directory is
read again until nothing more is found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator

from asynctensor.kvstores.file.directory import Directory, Settled
from asynctensor.kvstores.file.file_system import CREATE, FileSystem
from asynctensor.kvstores.file.key import LOCK_SUFFIX, is_key, is_new_name
from asynctensor.kvstores.file.listing import (
    GONE,
    Level,
    covers,
    enter,
    enter_start,
    meets,
    start_of,
)
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.root import Root
from asynctensor.storage.key_range import KeyRange

#: Against somebody who writes into the range as fast as we delete.
_MAX_PASSES = 8


class _Pass(Level):
    """A directory on the way, and what was removed from it."""

    __slots__ = ("dirty", "found", "locks", "passes")

    def __init__(self, level: Level, file_system: FileSystem) -> None:
        self.prefix, self.directory, self.entries = level.prefix, level.directory, level.entries
        self._file_system = file_system
        #: Whether something was removed that is not durable yet; in this pass, for `found`.
        self.dirty = False
        self.found = False
        self.passes = 1
        self.locks: list[str] = []


def remove(
    root: Root,
    file_system: FileSystem,
    key_range: KeyRange,
    options: FileOptions,
    settled: Settled,
) -> Generator[None, None, None]:
    """Deletes the keys of the range; yields after each step, so that the caller can pause.

    Raises:
        OSError: Something could not be removed; the rest is still there.
    """
    start = start_of(key_range)
    first = None if start is None else enter_start(root, file_system, start)
    if first is None:
        return
    levels = [_Pass(first, file_system)]
    try:
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is not None:
                below = _remove_entry(level, entry, file_system, key_range)
                if below is not None:
                    levels.append(_Pass(below, file_system))
            elif level.found and level.passes < _MAX_PASSES:
                level.found = False
                level.passes += 1
                level.rescan()
            else:
                above = levels[-2] if len(levels) > 1 else None
                if above is None:
                    above = _above_start(root, file_system, level)
                    if above is not None:
                        levels.insert(0, above)
                _finish(
                    level,
                    above,
                    file_system=file_system,
                    key_range=key_range,
                    options=options,
                    settled=settled,
                )
                levels.pop().close()
            yield
    finally:
        for level in levels:
            level.close()


def _remove_entry(
    level: _Pass, entry: os.DirEntry[str], file_system: FileSystem, key_range: KeyRange
) -> Level | None:
    """Removes a file; returns a directory that has to be looked into."""
    key = level.prefix + entry.name
    if entry.name.endswith(LOCK_SUFFIX):
        level.locks.append(entry.name)
    elif entry.is_dir(follow_symlinks=False):
        if meets(key_range, key + "/"):
            return enter(level, entry.name, file_system)
    elif key in key_range and is_key(key) and _unlink(level.directory, entry.name, file_system):
        level.dirty = level.found = True
    return None


def _unlink(directory: Directory, name: str, file_system: FileSystem) -> bool:
    try:
        file_system.unlink(directory.name(name), dir_fd=directory.fd)
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False
    return True


def _above_start(root: Root, file_system: FileSystem, level: _Pass) -> _Pass | None:
    """The directory above the one where the walk started, to remove that from if it is empty.

    It has nothing to be looked at; None above the root, which always stays.
    """
    if not level.prefix or not (level.dirty or level.passes > 1):
        return None
    parent = level.prefix[:-1].rpartition("/")[0]
    above = enter_start(root, file_system, parent)
    if above is None:
        return None
    scan = _Pass(above, file_system)
    close_scan = getattr(scan.entries, "close", None)
    if close_scan is not None:
        close_scan()
    scan.entries = iter(())
    return scan


def _finish(
    level: _Pass,
    above: _Pass | None,
    *,
    file_system: FileSystem,
    key_range: KeyRange,
    options: FileOptions,
    settled: Settled,
) -> None:
    """Removes a directory if it is empty now, else makes durable what was removed from it."""
    whole = covers(key_range, level.prefix)
    if whole:
        _clear_leftovers(level, file_system, options)
    if above is not None and (whole or level.dirty):
        name = level.prefix[:-1].rpartition("/")[2]
        try:
            file_system.rmdir(above.directory.name(name), dir_fd=above.directory.fd)
        except OSError:
            pass  # Not empty; or a link, a mount point, another's: it stays.
        else:
            settled.inodes.pop(level.directory.path, None)
            above.dirty = True
            return
    if level.dirty and options.sync and level.directory.fd is not None:
        file_system.fsync(level.directory.fd)


def _clear_leftovers(level: _Pass, file_system: FileSystem, options: FileOptions) -> None:
    """Removes what crashed writers left, and nothing that a living one holds."""
    for name in level.locks:
        if is_new_name(name):
            # Its writer, if it lives, notices and starts again.
            level.dirty |= _unlink(level.directory, name, file_system)
        elif options.locking == "os":
            level.dirty |= _reclaim(level.directory, name, file_system)
    level.locks.clear()


def _reclaim(directory: Directory, name: str, file_system: FileSystem) -> bool:
    """Removes a lock file that nobody holds."""
    try:
        fd = file_system.open(directory.name(name), CREATE & ~os.O_CREAT, dir_fd=directory.fd)
    except OSError:
        return False
    try:
        if not file_system.try_lock(fd):
            return False
        held = file_system.fstat(fd)
        named = file_system.stat(directory.name(name), dir_fd=directory.fd, follow_symlinks=False)
        if held.st_ino != named.st_ino or not stat.S_ISREG(named.st_mode):
            return False
        return _unlink(directory, name, file_system)
    except FileNotFoundError:
        return False
    finally:
        file_system.close(fd)

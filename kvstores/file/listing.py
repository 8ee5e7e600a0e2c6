"""Walking the directories of a file store.

What is a link is listed where it leads to a file below the root. Links to directories are not
entered: their keys can be read, but would be listed twice, or without end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator

from asynctensor.errors import InvalidArgument
from asynctensor.kvstores.file.directory import Directory
from asynctensor.kvstores.file.file_system import DIRECTORY, FileSystem
from asynctensor.kvstores.file.key import LOCK_SUFFIX, is_key
from asynctensor.kvstores.file.root import Root
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ListEntry

#: A directory that came or went meanwhile, or a link that somebody put in its place.
GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE))
_ENTER = DIRECTORY | getattr(os, "O_NOFOLLOW", 0)


class Level:
    """An open directory on the way of a walk.

    Attributes:
        prefix: What the keys in it start with: empty, or ending in ``/``.
        directory: The directory.
    """

    __slots__ = ("_file_system", "directory", "entries", "prefix")

    def __init__(self, prefix: str, directory: Directory, file_system: FileSystem) -> None:
        self.prefix = prefix
        self.directory = directory
        self._file_system = file_system
        self.entries = self.rescan()

    def rescan(self) -> Iterator[os.DirEntry[str]]:
        """The entries from the start."""
        directory = self.directory
        # Scanning an open directory keeps the `stat` of its entries relative to it.
        scan = self._file_system.scandir(directory.path if directory.fd is None else directory.fd)
        self.entries = scan
        return scan

    def close(self) -> None:
        """Closes the directory."""
        close_scan = getattr(self.entries, "close", None)
        if close_scan is not None:
            close_scan()
        if self.directory.fd is not None:
            self._file_system.close(self.directory.fd)


def start_of(key_range: KeyRange) -> str | None:
    """The deepest directory that holds every key of the range; None if no key can be in it."""
    if key_range.empty:
        return None
    start = key_range.common_prefix.rpartition("/")[0]
    return start if not start or is_key(start) else None


def enter_start(
    root: Root, file_system: FileSystem, start: str, gone: frozenset[int] = GONE
) -> Level | None:
    """Opens the directory where a walk starts; None if there is none.

    Raises:
        InvalidArgument: A link leads out of the root.
        OSError: It cannot be opened.
    """
    try:
        fd, path = root.open(start, DIRECTORY)
    except OSError as error:
        if error.errno in gone:
            return None
        raise
    return _level(start + "/" if start else "", path, fd, file_system)


def enter(
    level: Level, name: str, file_system: FileSystem, gone: frozenset[int] = GONE
) -> Level | None:
    """Opens a directory in another; None if it is gone."""
    directory = level.directory
    try:
        fd = file_system.open(directory.name(name), _ENTER, dir_fd=directory.fd)
    except OSError as error:
        if error.errno in gone:
            return None
        raise
    return _level(f"{level.prefix}{name}/", directory.path_of(name), fd, file_system)


def _level(prefix: str, path: str, fd: int, file_system: FileSystem) -> Level:
    try:
        if file_system.has_dir_fd:
            return Level(prefix, Directory(path, fd), file_system)
        file_system.close(fd)
        return Level(prefix, Directory(path, None), file_system)
    except BaseException:
        if file_system.has_dir_fd:
            file_system.close(fd)
        raise


def meets(key_range: KeyRange, prefix: str) -> bool:
    """Whether a key that starts with `prefix` can be in the range."""
    # Comparing code points orders strings as comparing their UTF-8 bytes does.
    if key_range.exclusive_max and key_range.exclusive_max <= prefix:
        return False
    return key_range.inclusive_min <= prefix or key_range.inclusive_min < _after(prefix)


def covers(key_range: KeyRange, prefix: str) -> bool:
    """Whether every key that starts with `prefix` is in the range."""
    if key_range.inclusive_min > prefix:
        return False
    return not key_range.exclusive_max or _after(prefix) <= key_range.exclusive_max


def _after(prefix: str) -> str:
    """The least string above all that start with `prefix`, which ends in ``/``."""
    return prefix[:-1] + "0" if prefix else "\U0010ffff\U0010ffff"


def walk(
    root: Root, file_system: FileSystem, key_range: KeyRange, gone: frozenset[int] = GONE
) -> Generator[ListEntry, None, None]:
    """The keys of the range with their sizes, in no particular order.

    Args:
        root: Where the keys are.
        file_system: The system calls.
        key_range: The range.
        gone: Errors of what came or went meanwhile, which is left out.

    Raises:
        OSError: A directory cannot be read.
    """
    start = start_of(key_range)
    first = None if start is None else enter_start(root, file_system, start, gone)
    if first is None:
        return
    levels = [first]
    try:
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop().close()
                continue
            key = level.prefix + entry.name
            if entry.name.endswith(LOCK_SUFFIX):
                continue
            if entry.is_dir(follow_symlinks=False):
                below = None
                if meets(key_range, key + "/"):
                    below = enter(level, entry.name, file_system, gone)
                if below is not None:
                    levels.append(below)
            elif key in key_range and is_key(key):
                found = _value(root, key, entry, gone)
                if found is not None:
                    yield found
    finally:
        for level in levels:
            level.close()


def scan(
    root: Root, file_system: FileSystem, prefix: str, gone: frozenset[int] = GONE
) -> Generator[ListEntry, None, None]:
    """What is directly below `prefix`, which is empty or ends in ``/``; not in order.

    Raises:
        OSError: The directory cannot be read.
    """
    start = prefix[:-1]
    level = None
    if not start or is_key(start):
        level = enter_start(root, file_system, start, gone)
    if level is None:
        return
    try:
        for entry in level.entries:
            key = prefix + entry.name
            if entry.name.endswith(LOCK_SUFFIX) or not is_key(key):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield ListEntry(key + "/")
                continue
            found = _value(root, key, entry, gone)
            if found is not None:
                yield found
    finally:
        level.close()


def _value(root: Root, key: str, entry: os.DirEntry[str], gone: frozenset[int]) -> ListEntry | None:
    """Size and time of the value; None if the entry is no value."""
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            status = root.status(key)
    except (OSError, InvalidArgument) as error:
        if isinstance(error, OSError) and error.errno not in gone:
            raise
        return None
    return _entry(key, status)


def _entry(key: str, status: os.stat_result) -> ListEntry | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return ListEntry(key, status.st_size, status.st_mtime_ns / 1e9)


def one(root: Root, key: str, gone: frozenset[int] = GONE) -> Generator[ListEntry, None, None]:
    """The entry of one key, if there is one: a directory of a million files is not read for it.

    Raises:
        OSError: It cannot be looked at.
    """
    if not is_key(key) or key.endswith(LOCK_SUFFIX):
        return
    try:
        found = _entry(key, root.status(key))
    except (OSError, InvalidArgument) as error:
        if isinstance(error, OSError) and error.errno not in gone:
            raise
        return
    if found is not None:
        yield found

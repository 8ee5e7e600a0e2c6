"""Directories of a file store: opened, created, and made durable.

A directory entry survives a crash once the directory that holds it was flushed. So a value needs
its own directory flushed, and that directory's entry its parent, and so on to the top. Each process
flushes the parents of a directory the first time it meets it, whoever created it: the creator may
not have come that far yet. (Flushing what has not changed costs 50 us.) `Settled` remembers
which are done.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import Self

from asynctensor.kvstores.file.file_system import DIRECTORY, FileSystem
from asynctensor.kvstores.file.root import Root

#: File systems that cannot flush a directory say one of these.
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
#: Directories remembered per store: some megabytes.
_MAX_SETTLED = 1 << 16


class Directory:
    """A directory held open, and the way to name what is in it."""

    __slots__ = ("_prefix", "fd", "path")

    def __init__(self, path: str, fd: int | None) -> None:
        self.path = path
        #: None where names cannot be looked up relative to an open directory.
        self.fd = fd
        self._prefix = "" if fd is not None else self.path_of("")

    def path_of(self, entry: str) -> str:
        """The path of `entry`."""
        return self.path + entry if self.path.endswith(os.sep) else self.path + os.sep + entry

    def name(self, entry: str) -> str:
        """What to call `entry` by in a call that is also given ``dir_fd=self.fd``."""
        return self._prefix + entry


@dataclass(slots=True)
class Settled:
    """Real paths of directories, with their inodes, whose entries are known to be durable."""

    inodes: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, inode: int) -> None:
        """Remembers one."""
        if len(self.inodes) >= _MAX_SETTLED:
            self.inodes.clear()
        self.inodes[path] = inode

    def __contains__(self, found: tuple[str, int]) -> bool:
        # A directory of the same name that was created anew has another inode.
        return self.inodes.get(found[0]) == found[1]


class Directories:
    """The directories that one group of writes touches: each opened once and flushed once.

    Use it as a context manager; leaving closes them.
    """

    def __init__(self, root: Root, file_system: FileSystem, settled: Settled, sync: bool) -> None:
        self._root = root
        self._file_system = file_system
        self._settled = settled
        self._sync = sync
        self._open: dict[str, Directory] = {}
        self._created: set[str] = set()
        self._dirty: dict[str, Directory] = {}
        self._retired: list[Directory] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        """Closes all that are open."""
        opened = [*self._open.values(), *self._retired]
        self._open, self._dirty, self._retired = {}, {}, []
        for directory in opened:
            if directory.fd is not None:
                self._file_system.close(directory.fd)

    def drop(self, parent: str) -> None:
        """Looks `parent` up anew next time: somebody may have removed it."""
        directory = self._open.pop(parent, None)
        if directory is not None:
            # Other writes of the group may still be on their way in it.
            self._retired.append(directory)

    def get(self, parent: str, *, create: bool) -> Directory | None:
        """The directory of the keys that start with ``parent/`` (the root if it is empty).

        Returns:
            It, or None if it does not exist and is not to be created.
        """
        found = self._open.get(parent)
        if found is not None:
            return found
        try:
            fd, path = self._root.open(parent, DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not create:
                return None
            if isinstance(error, NotADirectoryError):
                raise
            path = self._root.join(parent)
            fd = self._create(path)
        found = self._hold(path, fd)
        self._open[parent] = found
        return found

    def _hold(self, path: str, fd: int) -> Directory:
        if self._file_system.has_dir_fd:
            return Directory(path, fd)
        self._file_system.close(fd)
        return Directory(path, None)

    def _create(self, path: str) -> int:
        """Creates `path` and what is missing above it, step by step from what exists.

        Each step is relative to the directory before it, so that a link put in the way by
        somebody else is an error and never followed.
        """
        missing: list[str] = []
        here = path
        while True:
            try:
                fd = self._file_system.open_no_links(here, DIRECTORY)
                break
            except FileNotFoundError:
                here, name = os.path.split(here)
                if not name:
                    raise
                missing.append(name)
        while missing:
            name = missing.pop()
            directory = self._hold(here, fd)
            try:
                self._make(directory, name)
                here = directory.path_of(name)
                fd = self._file_system.open_no_links(here, DIRECTORY)
            finally:
                if directory.fd is not None:
                    self._file_system.close(directory.fd)
        return fd

    def _make(self, directory: Directory, name: str) -> None:
        try:
            self._file_system.mkdir(directory.name(name), 0o777, dir_fd=directory.fd)
        except FileExistsError:
            return
        self._created.add(directory.path_of(name))

    def changed(self, parent: str, directory: Directory) -> None:
        """Notes that an entry of `directory`, which `get` gave for `parent`, changed."""
        self._dirty[parent] = directory

    def flush(self) -> dict[str, OSError]:
        """Makes the changes durable, if that is asked for; all are closed afterwards.

        Returns:
            The directories where it failed.
        """
        failed: dict[str, OSError] = {}
        if self._sync:
            done: dict[str, OSError | None] = {}
            settled: dict[str, int] = {}
            for parent, directory in self._dirty.items():
                error = self._flush_one(directory, done, settled)
                if error is not None:
                    failed[parent] = error
            if not failed:
                for path, inode in settled.items():
                    self._settled.add(path, inode)
                self._created.clear()
        self.forget()
        return failed

    def _flush_one(
        self, directory: Directory, done: dict[str, OSError | None], settled: dict[str, int]
    ) -> OSError | None:
        path = directory.path
        if path not in done:
            done[path] = self._fsync(path, directory.fd, required=True)
        error = done[path]
        while error is None:
            above = os.path.split(path)[0]
            if above == path:
                break
            try:
                inode = self._file_system.stat(path, follow_symlinks=False).st_ino
            except FileNotFoundError:
                break  # Somebody removed it, and what that takes is theirs to flush.
            except OSError as problem:
                return problem
            if path not in self._created and (path, inode) in self._settled:
                break
            if above not in done:
                required = path in self._created or self._is_ours(above)
                done[above] = self._fsync(above, None, required=required)
            error = done[above]
            settled[path] = inode
            path = above
        return error

    def _is_ours(self, path: str) -> bool:
        real = self._root.real
        return path == real or path.startswith(real if real.endswith("/") else real + "/")

    def _fsync(self, path: str, fd: int | None, *, required: bool) -> OSError | None:
        opened = None
        try:
            if not self._file_system.has_dir_fd:
                return None  # Windows flushes entries with their files.
            if fd is None:
                fd = opened = self._file_system.open_no_links(path, DIRECTORY)
            self._file_system.fsync(fd)
        except OSError as error:
            # What is above the root, and not changed by us, may be unreadable or read-only.
            return error if required and error.errno not in _CANNOT_FLUSH else None
        finally:
            if opened is not None:
                self._file_system.close(opened)
        return None

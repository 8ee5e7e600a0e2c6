"""A written file that does not have the name of its key yet, and how it gets it.

Creating only if absent needs no lock: ``link(2)`` is one step on every file system, network ones
included. Its reply may be lost there; a repeated request then answers ``EEXIST``, and the link
count of our own new file tells that it was we who won. A repeated ``rename(2)`` answers ``ENOENT``;
then our own file is looked for at the key.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores.file import lock
from asynctensor.kvstores.file.directory import Directory, Settled
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.root import Root

#: What ``link`` says on file systems without hard links.
_CANNOT_LINK = frozenset(
    (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
)
#: ``"rename"`` the lock file over the key, ``"rename_new"`` a file without a lock, ``"link"`` a new
#: file, or nothing (``"in_place"``).
How: TypeAlias = Literal["rename", "rename_new", "link", "in_place"]


@dataclass(slots=True, frozen=True)
class Writing:
    """What every write of a store shares."""

    root: Root
    file_system: FileSystem
    options: FileOptions
    settled: Settled


@dataclass(slots=True)
class Prepared:
    """A written file that is not published yet.

    ``how`` says what publishing means: ``"rename"`` the lock file over the key, ``"rename_new"``
    a file without a lock, ``"link"`` a new file, ``"in_place"`` nothing.
    """

    index: int
    key: str
    parent: str
    name: str
    directory: Directory
    temporary: str
    fd: int
    replaced: os.stat_result | None
    how: How


def publish(writing: Writing, prepared: Prepared) -> bool:
    """Gives the written file the name of its key; False if a link lost to another."""
    if prepared.how == "in_place":
        return True
    if prepared.how == "link":
        return _link(writing, prepared)
    _rename(writing, prepared)
    return True


def _rename(writing: Writing, prepared: Prepared) -> None:
    directory = prepared.directory
    try:
        writing.file_system.rename(
            directory.name(prepared.temporary),
            directory.name(prepared.name),
            src_dir_fd=directory.fd,
            dst_dir_fd=directory.fd,
        )
    except FileNotFoundError:
        if not _has_its_name(writing, prepared):
            raise


def _has_its_name(writing: Writing, prepared: Prepared) -> bool:
    """Whether the written file is the one at the key: it was renamed, and the reply was lost."""
    file_system, directory = writing.file_system, prepared.directory
    try:
        found = file_system.stat(
            directory.name(prepared.name), dir_fd=directory.fd, follow_symlinks=False
        )
    except FileNotFoundError:
        return False
    mine = file_system.fstat(prepared.fd)
    return (found.st_ino, found.st_dev) == (mine.st_ino, mine.st_dev)


def _link(writing: Writing, prepared: Prepared) -> bool:
    directory = prepared.directory
    temporary = directory.name(prepared.temporary)
    try:
        writing.file_system.link(
            temporary,
            directory.name(prepared.name),
            src_dir_fd=directory.fd,
            dst_dir_fd=directory.fd,
        )
        won = True
    except FileExistsError:
        status_of(writing, prepared.key, prepared.name, directory)
        won = writing.file_system.fstat(prepared.fd).st_nlink == 2
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return _rename_if_absent(writing, prepared)
    # Where it stays, listings skip it, and `delete_range` takes it along.
    with suppress(OSError):
        writing.file_system.unlink(temporary, dir_fd=directory.fd)
    return won


def _rename_if_absent(writing: Writing, prepared: Prepared) -> bool:
    """Where there are no hard links: under the lock, safe against everyone who takes it."""
    directory, name = prepared.directory, prepared.name
    locked = writing.options.locking in ("os", "lockfile")
    fd = lock.acquire(directory, name, writing.file_system, writing.options) if locked else None
    try:
        won = status_of(writing, prepared.key, name, directory) is None
        if won:
            _rename(writing, prepared)
        else:
            writing.file_system.unlink(directory.name(prepared.temporary), dir_fd=directory.fd)
    finally:
        if fd is not None:
            lock.release(directory, name, fd, writing.file_system)
    return won


def status_of(writing: Writing, key: str, name: str, directory: Directory) -> os.stat_result | None:
    """What is at the key now; None if nothing is."""
    try:
        found = writing.file_system.stat(
            directory.name(name), dir_fd=directory.fd, follow_symlinks=False
        )
        if stat.S_ISLNK(found.st_mode):
            found = writing.root.status(key)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return found
    if not stat.S_ISDIR(found.st_mode):
        raise FailedPrecondition(
            f"{key!r} is no regular file but a pipe, socket or device: remove it, or use another "
            "key"
        )
    try:
        # Empty: what was in it has been deleted, and no key needs it.
        writing.file_system.rmdir(directory.name(name), dir_fd=directory.fd)
    except OSError as error:
        raise FailedPrecondition(
            f"{key!r} is a directory: there are keys that start with {key + '/'!r}; "
            "delete them first, or use another key"
        ) from error
    return None


def abandon(writing: Writing, prepared: Prepared) -> None:
    """Removes what was written aside; the value at the key is as it was."""
    if prepared.how == "in_place":
        writing.file_system.close(prepared.fd)
    elif prepared.how == "rename":
        lock.release(prepared.directory, prepared.name, prepared.fd, writing.file_system)
    else:
        with suppress(OSError):
            writing.file_system.unlink(
                prepared.directory.name(prepared.temporary), dir_fd=prepared.directory.fd
            )
        writing.file_system.close(prepared.fd)

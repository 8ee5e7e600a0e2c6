"""``KEY.__lock``: who may replace a key, and the file that becomes its next value.

The holder of the lock file writes the new value *into* it and renames it over the key, so that
locking costs no file of its own and a finished write leaves none behind (the protocol of
TensorStore, which excludes its writers and ours against each other)::

    open or create KEY.__lock, lock it
    still the file of that name?  no: the former holder renamed or removed it -> start again
    check the condition, write, flush, rename KEY.__lock over KEY, close

Nobody removes or renames a lock file whose lock they do not hold: what has the name of the lock
file is its holder's own, so a half-written value can never be renamed over a key by another.
"""

from __future__ import annotations

import errno
import stat

from asynctensor.errors import DeadlineExceeded, Unimplemented
from asynctensor.kvstores.file.directory import Directory
from asynctensor.kvstores.file.file_system import CREATE, CREATE_NEW, FileSystem
from asynctensor.kvstores.file.key import LOCK_SUFFIX
from asynctensor.kvstores.file.options import FileOptions

#: Another writer of the key holds the lock for one flush of the disk, about a millisecond: look
#: again soon at first, then rarely enough to cost nothing.
_FIRST_WAIT_S = 50e-6
_LONGEST_WAIT_S = 5e-3
_CANNOT_LOCK = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


def try_acquire(
    directory: Directory, name: str, file_system: FileSystem, options: FileOptions
) -> int | None:
    """Takes the lock of the file `name` if nobody holds it.

    Returns:
        The lock file, open, empty and ready for the value; None if another writer holds it.

    Raises:
        OSError: The lock file cannot be made.
    """
    lock_name = directory.name(name + LOCK_SUFFIX)
    if options.locking == "lockfile":
        try:
            return file_system.open(lock_name, CREATE_NEW, 0o666, dir_fd=directory.fd)
        except FileExistsError:
            return None
    while True:
        fd = file_system.open(lock_name, CREATE, 0o666, dir_fd=directory.fd)
        try:
            if not file_system.try_lock(fd):
                file_system.close(fd)
                return None
            if _is_usable(fd, lock_name, directory, file_system):
                return fd
        except BaseException as error:
            file_system.close(fd)
            if isinstance(error, OSError) and error.errno in _CANNOT_LOCK:
                raise Unimplemented(
                    "this file system has no locks of the operating system: use "
                    '"file_io_locking": {"mode": "lockfile"}'
                ) from error
            raise
        file_system.close(fd)


def _is_usable(fd: int, lock_name: str, directory: Directory, file_system: FileSystem) -> bool:
    """Whether the locked file is still the one of that name, and only of that name."""
    held = file_system.fstat(fd)
    try:
        named = file_system.stat(lock_name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if (held.st_ino, held.st_dev) != (named.st_ino, named.st_dev):
        return False
    if held.st_nlink != 1 or not stat.S_ISREG(held.st_mode):
        # A crash in the middle of a rename can leave the value with both names on simple file
        # systems: writing into the lock file would change the value.
        file_system.unlink(lock_name, dir_fd=directory.fd)
        return False
    if held.st_size:
        file_system.ftruncate(fd, 0)  # What a crashed writer left.
    return True


def acquire(directory: Directory, name: str, file_system: FileSystem, options: FileOptions) -> int:
    """Takes the lock, waiting for other writers.

    Raises:
        DeadlineExceeded: They held it for all of `acquire_timeout_s`.
    """
    end = file_system.monotonic() + options.acquire_timeout_s
    wait = _FIRST_WAIT_S
    while True:
        fd = try_acquire(directory, name, file_system, options)
        if fd is not None:
            return fd
        if file_system.monotonic() >= end:
            path = directory.path_of(name + LOCK_SUFFIX)
            advice = (
                "if no process is writing the key, a crashed one left the file: remove it"
                if options.locking == "lockfile"
                else "another process holds it"
            )
            raise DeadlineExceeded(
                f"could not lock {path!r} within {options.acquire_timeout_s} s: {advice}"
            )
        file_system.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_S)


def release(directory: Directory, name: str, fd: int, file_system: FileSystem) -> None:
    """Gives a lock up whose file was not renamed: removes the file, then lets go of it."""
    try:
        file_system.unlink(directory.name(name + LOCK_SUFFIX), dir_fd=directory.fd)
    except OSError:
        # Nothing of value is in it; the next writer will take it over.
        pass
    finally:
        file_system.close(fd)

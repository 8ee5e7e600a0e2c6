"""Writing groups of values: each whole or not at all, and the group durable at once.

::

    for each write of a group   prepare   lock (or name a new file), check the condition, write
    then for each               publish   flush the file, rename (or link) it to the key
    then for each directory               flush it and, if it is new, what leads to it

The disk is asked to begin with each file while the next is being written, and a directory is
flushed once for the whole group. A write that finds its key locked by somebody else first
publishes what is prepared and so gives up its own locks: nobody waits for a lock while holding
one, hence no deadlock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeAlias

from asynctensor.errors import Unavailable, os_errors_mapped
from asynctensor.kvstores.file import lock
from asynctensor.kvstores.file.directory import Directories, Directory
from asynctensor.kvstores.file.file_system import CREATE_NEW
from asynctensor.kvstores.file.generation import generation_of, mtime_after
from asynctensor.kvstores.file.key import LOCK_SUFFIX, check_key, new_name
from asynctensor.kvstores.file.prepared import (
    How,
    Prepared,
    Writing,
    abandon,
    publish,
    status_of,
)
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer, Replacement

#: Files and directories held open at a time, well below the usual limit of 1024 per process.
_MAX_OPEN = 64
#: How often a write starts again after its directory was removed under it.
_MAX_ATTEMPTS = 16

_Outcome: TypeAlias = TimestampedStorageGeneration | Exception


class _Again(Exception):
    """The directory was removed while the write was on its way."""


def replace(writing: Writing, group: Sequence[Replacement]) -> list[_Outcome]:
    """See `BlockingFace.replace`."""
    outcomes: list[_Outcome] = []
    for start in range(0, len(group), _MAX_OPEN):
        with _Group(writing, group[start : start + _MAX_OPEN]) as part:
            outcomes += part.run()
    return outcomes


class _Group:
    """One group, at most `_MAX_OPEN` writes."""

    def __init__(self, writing: Writing, group: Sequence[Replacement]) -> None:
        self._writing = writing
        self._fs = writing.file_system
        self._options = writing.options
        self._group = group
        self._outcomes: list[_Outcome | None] = [None] * len(group)
        self._prepared: list[Prepared] = []
        self._keys: set[str] = set()
        self._directories = Directories(
            writing.root, writing.file_system, writing.settled, writing.options.sync
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for prepared in self._prepared:
            abandon(self._writing, prepared)
        self._directories.forget()

    def run(self) -> list[_Outcome]:
        """Does all of the writes."""
        for index in range(len(self._group)):
            try:
                self._guarded(index, partial(self._prepare, index))
            except _Again:
                self._guarded(index, partial(self._again, index))
        self._publish_all()
        failed = self._directories.flush()
        for index, replacement in enumerate(self._group):
            outcome = self._outcomes[index]
            if not failed or isinstance(outcome, Exception):
                continue
            if _unmet(outcome) and replacement.if_equal != NO_VALUE:
                continue
            error = failed.get(_split(replacement.key)[0])
            if error is not None:
                unknown = Unavailable(
                    f"the directory could not be flushed ({error}): the value is in place, but "
                    "may not survive a crash",
                    key=replacement.key,
                    store=self._writing.root.path,
                    operation="write",
                )
                unknown.__cause__ = error
                self._outcomes[index] = unknown
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _guarded(self, index: int, step: Callable[[], _Outcome | None]) -> None:
        """Runs one step of one write and keeps its outcome, an error included."""
        try:
            self._outcomes[index] = step()
        except _Again:
            raise
        except Exception as error:  # noqa: BLE001 -- handed to the caller
            self._outcomes[index] = self._mapped(error, self._group[index].key)

    def _mapped(self, error: Exception, key: str) -> Exception:
        try:
            with os_errors_mapped(key=key, store=self._writing.root.path, operation="write"):
                raise error
        except Exception as mapped:  # noqa: BLE001 -- handed to the caller
            return mapped

    def _again(self, index: int) -> _Outcome | None:
        key = self._group[index].key
        self._publish_all()
        for _ in range(_MAX_ATTEMPTS):
            self._directories.drop(_split(key)[0])
            try:
                outcome = self._prepare(index)
                if outcome is None:
                    outcome = self._publish(self._prepared.pop())
                return outcome
            except _Again:
                continue
        raise Unavailable("the directory is removed again and again while the value is written")

    # Preparing.

    def _prepare(self, index: int) -> _Outcome | None:
        """Writes the new value aside.

        Returns:
            None; or the outcome, if nothing is left to do.
        """
        replacement = self._group[index]
        check_key(replacement.key)
        parent, name = _split(replacement.key)
        if replacement.key in self._keys:
            self._publish_all()  # Writes of one key happen in the order given.
        self._keys.add(replacement.key)
        can_create = replacement.value is not None and replacement.if_equal in (UNKNOWN, NO_VALUE)
        try:
            directory = self._directories.get(parent, create=can_create)
        except FileNotFoundError:
            raise _Again from None
        if directory is None:
            return _stamp(NO_VALUE if replacement.if_equal in (UNKNOWN, NO_VALUE) else UNKNOWN)
        if replacement.value is None:
            return self._delete(replacement, parent, name, directory)
        found = None
        if replacement.if_equal != UNKNOWN or self._options.locking in ("none", "non_atomic"):
            found = status_of(self._writing, replacement.key, name, directory)
            if not self._holds(replacement, found):
                if replacement.if_equal == NO_VALUE:
                    # Whoever linked it may not have made that durable yet.
                    self._directories.changed(parent, directory)
                return _stamp(UNKNOWN)
        how: How = "rename"
        if self._options.locking == "non_atomic":
            how = "in_place"
        elif replacement.if_equal == NO_VALUE:
            how = "link"
        elif self._options.locking == "none":
            how = "rename_new"
        return self._write_aside(index, parent, name, directory, found=found, how=how)

    def _write_aside(
        self,
        index: int,
        parent: str,
        name: str,
        directory: Directory,
        *,
        found: os.stat_result | None,
        how: How,
    ) -> _Outcome | None:
        replacement = self._group[index]
        key, value = replacement.key, replacement.value
        assert value is not None
        temporary = {"rename": name + LOCK_SUFFIX, "in_place": name}.get(how) or new_name()
        if how == "rename":
            fd = self._lock(name, directory)
        else:
            flags = CREATE_NEW if how != "in_place" else CREATE_NEW & ~os.O_EXCL | os.O_TRUNC
            fd = self._open_new(temporary, directory, flags)
        prepared = Prepared(index, key, parent, name, directory, temporary, fd, found, how)
        try:
            if how == "rename":
                # The first look was without the lock.
                found = prepared.replaced = status_of(self._writing, key, name, directory)
                if not self._holds(replacement, found):
                    abandon(self._writing, prepared)
                    return _stamp(UNKNOWN)
            pieces = value if isinstance(value, tuple) else (value,)
            self._fs.write(fd, *[_as_bytes(piece) for piece in pieces])
            self._set_time(fd, prepared.replaced)
            if self._options.sync and len(self._group) > 1:
                self._fs.start_flush(fd)
        except BaseException:
            abandon(self._writing, prepared)
            raise
        self._prepared.append(prepared)
        return None

    def _open_new(self, name: str, directory: Directory, flags: int) -> int:
        try:
            return self._fs.open(directory.name(name), flags, 0o666, dir_fd=directory.fd)
        except FileNotFoundError:
            raise _Again from None

    def _lock(self, name: str, directory: Directory) -> int:
        try:
            fd = lock.try_acquire(directory, name, self._fs, self._options)
            if fd is None:
                self._publish_all()
                fd = lock.acquire(directory, name, self._fs, self._options)
        except FileNotFoundError:
            raise _Again from None
        return fd

    def _delete(
        self, replacement: Replacement, parent: str, name: str, directory: Directory
    ) -> _Outcome:
        found = status_of(self._writing, replacement.key, name, directory)
        if found is None or not self._holds(replacement, found):
            # Another process may have deleted it without having made that durable yet.
            self._directories.changed(parent, directory)
            return _stamp(NO_VALUE if self._holds(replacement, found) else UNKNOWN)
        fd = self._lock_to_delete(replacement, name, directory)
        try:
            found = status_of(self._writing, replacement.key, name, directory)
            if not self._holds(replacement, found):
                return _stamp(UNKNOWN)
            if found is not None:
                self._fs.unlink(directory.name(name), dir_fd=directory.fd)
        except FileNotFoundError:
            pass
        finally:
            if fd is not None:
                lock.release(directory, name, fd, self._fs)
        self._directories.changed(parent, directory)
        return _stamp(NO_VALUE)

    def _lock_to_delete(
        self, replacement: Replacement, name: str, directory: Directory
    ) -> int | None:
        if self._options.locking not in ("os", "lockfile"):
            return None
        try:
            return self._lock(name, directory)
        except OSError as error:
            # On a full disk there may be no room for the lock file, and deleting must still work.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or replacement.if_equal != UNKNOWN:
                raise
            return None

    def _holds(self, replacement: Replacement, found: os.stat_result | None) -> bool:
        if replacement.if_equal == UNKNOWN:
            return True
        return replacement.if_equal == (NO_VALUE if found is None else generation_of(found))

    def _set_time(self, fd: int, replaced: os.stat_result | None) -> None:
        """Gives the new version a time of its own (see `generation`)."""
        mtime = mtime_after(self._fs.time_ns(), replaced)
        try:
            self._fs.utime(fd, ns=(mtime, mtime))
            if replaced is not None:
                kept = self._fs.fstat(fd).st_mtime_ns
                # File systems that count in seconds (FAT: two) need a bigger step.
                if kept <= replaced.st_mtime_ns:
                    later = replaced.st_mtime_ns + 2_000_000_000
                    self._fs.utime(fd, ns=(later, later))
        except PermissionError:
            # A lock file left by another user: its time is the system's then.
            pass

    # Publishing.

    def _publish_all(self) -> None:
        """Flushes and publishes what is prepared, and so gives up every lock."""
        # Links last: on file systems without them they need a lock, when all others are given up.
        self._prepared.sort(key=lambda prepared: prepared.how == "link", reverse=True)
        again: list[int] = []
        while self._prepared:
            prepared = self._prepared.pop()
            try:
                self._guarded(prepared.index, partial(self._publish, prepared))
            except _Again:
                again.append(prepared.index)
        for index in again:
            self._guarded(index, partial(self._again, index))

    def _publish(self, prepared: Prepared) -> _Outcome:
        try:
            if self._options.sync:
                self._fs.fsync(prepared.fd)
            won = publish(self._writing, prepared)
            status = self._fs.fstat(prepared.fd)
        except FileNotFoundError:
            abandon(self._writing, prepared)
            raise _Again from None
        except BaseException:
            abandon(self._writing, prepared)
            raise
        self._fs.close(prepared.fd)
        self._directories.changed(prepared.parent, prepared.directory)
        return _stamp(generation_of(status)) if won else _stamp(UNKNOWN)


def _split(key: str) -> tuple[str, str]:
    parent, _, name = key.rpartition("/")
    return parent, name


def _unmet(outcome: TimestampedStorageGeneration | None) -> bool:
    return outcome is None or outcome.generation == UNKNOWN


def _stamp(generation: bytes) -> TimestampedStorageGeneration:
    return TimestampedStorageGeneration.now(generation)


def _as_bytes(value: Buffer) -> memoryview:
    view = memoryview(value)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")

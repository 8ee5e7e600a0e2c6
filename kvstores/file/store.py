"""``file``: a directory as a key-value store, one file per key.

Promises, and what keeps them:

- *Whole values.* A value is written aside, flushed and renamed (or linked) over its key
  (`replacement`); readers never lock and see one version (`open_file`).
- *Conditions* hold between threads, processes and, where locks are shared, machines (`lock`).
- *Durability.* A write is acknowledged when the value, its name and every directory that leads to
  it have reached the disk (`directory`), unless ``sync`` is off.
- *Nothing outside the root.* Keys are checked as strings (`key`), and every file is opened without
  following symbolic links. Only where that fails are the links resolved and looked at, and the real
  path opened without following links again: a link swapped in between is an error, never an
  escape. Links that stay below the root work. New directories, values and removals are relative to
  an open directory. A write replaces a link at the key itself if it stays inside, is refused
  if it leads out, and never writes through it.
  (Checking directories once and remembering them would be no cheaper than the kernel's check, and
  wrong as soon as somebody replaces one.)
- *Network file systems.* Lost replies to ``link`` and ``rename`` are recognised, stale file handles
  opened again, nothing is mapped into memory there, and ``locking="lockfile"`` needs no locks of
  the system. What fails may be tried again (`retrying`).

As in TensorStore, a key whose path is a directory has no value, and cannot be written; but a
directory that holds nothing is no obstacle, and makes way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from asynctensor.errors import Error, os_errors_mapped
from asynctensor.kvstores.file.direct_file import DirectBuffers, DirectFile
from asynctensor.kvstores.file.directory import Settled
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.generation import generation_of
from asynctensor.kvstores.file.key import check_key
from asynctensor.kvstores.file.listing import GONE, one, scan, walk
from asynctensor.kvstores.file.mapped_file import mapped
from asynctensor.kvstores.file.open_file import NO_SUCH_FILE, OpenFile, open_file
from asynctensor.kvstores.file.options import DEFAULT_OPTIONS, FileOptions
from asynctensor.kvstores.file.prepared import Writing
from asynctensor.kvstores.file.read_group import read_group
from asynctensor.kvstores.file.removal import remove
from asynctensor.kvstores.file.replacement import replace
from asynctensor.kvstores.file.retrying import relisted, retried
from asynctensor.kvstores.file.root import Root
from asynctensor.runtime.counters import store_counters
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.verbose_flag import verbose_flag
from asynctensor.runtime.workers import WorkerPool, file_io_pool
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    UNREAD,
    BlockingFace,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Replacement,
    Unread,
    size_of,
)

T = TypeVar("T")

#: What may stand unescaped in the path of a URL (RFC 3986, section 3.3).
_URL_SAFE = "/!$&'()*+,;=:@~"
#: Keys listed or removed in one go on a worker, some milliseconds.
_PIECE = 1000


class FileStore(KeyValueStore):
    """The files below one directory.

    Args:
        root: The directory; it is created by the first write. Relative ones count from the
            working directory of now.
        options: How to write.
        pool: Where the asynchronous methods run the blocking ones (``file_io_concurrency``); the
            one that the process shares if none is given. A pickle does not carry it.
        file_system: The system calls; another one in tests.
    """

    driver = "file"

    def __init__(
        self,
        root: str,
        options: FileOptions = DEFAULT_OPTIONS,
        pool: WorkerPool | None = None,
        *,
        file_system: FileSystem | None = None,
    ) -> None:
        self.root = root if not root or root.endswith("/") else root + "/"
        self.options = options
        self._pool = file_io_pool() if pool is None else pool
        self._file_system = FileSystem() if file_system is None else file_system
        # Links are not resolved here: where the root really is may change.
        self._path = os.path.abspath(root or ".")  # noqa: PTH100
        locked = options.locking in ("os", "lockfile")
        self.capabilities = Capabilities(
            can_create_if_absent=options.locking != "non_atomic",
            can_compare_and_swap=locked,
            suffix_ranges=True,
            durable=options.sync,
        )
        self._face = FileFace(self._path, options, self._file_system)

    def __repr__(self) -> str:
        return f"FileStore({self.root!r}, {self.options})"

    def __getstate__(self) -> dict[str, object]:
        # Threads, and what is known of directories, are this process's own.
        return {k: v for k, v in self.__dict__.items() if k not in ("_face", "_pool")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._pool = file_io_pool()
        self._face = FileFace(self._path, self.options, self._file_system)

    @property
    def blocking(self) -> FileFace | None:
        """See `KeyValueStore.blocking`."""
        return None if self.options.retries.max_retries else self._face

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        return await retried(
            self.options.retries, partial(self._pool.run, self._face.read, key, options)
        )

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        step = partial(self._write, Replacement(key, value, if_equal))
        return await retried(self.options.retries, step, partial(self._is_untouched, key, if_equal))

    async def _write(self, replacement: Replacement) -> TimestampedStorageGeneration:
        (outcome,) = await self._pool.run(self._face.replace, (replacement,))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _is_untouched(self, key: str, if_equal: bytes) -> bool:
        """Whether a write of `key` that failed may be done again."""
        return if_equal == UNKNOWN or if_equal == await self._pool.run(self._face.generation, key)

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        await retried(self.options.retries, partial(self._delete_range, key_range))

    async def _delete_range(self, key_range: KeyRange) -> None:
        steps = self._face.remove(key_range)
        try:
            while await self._pool.run(_piece, self._path, steps, "delete_range"):
                pass
        finally:
            steps.close()

    async def precious(self, prefix: str) -> str | None:
        """See `KeyValueStore.precious`."""
        return await self._pool.run(_precious, f"{self._path}/{prefix}")

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        async for entry in self._listing(partial(self._face.walk, key_range)):
            yield entry

    def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        return self._listing(partial(self._face.scan, prefix))

    def _listing(
        self, begin: Callable[[], Generator[ListEntry, None, None]]
    ) -> AsyncGenerator[ListEntry, None]:
        return relisted(self.options.retries, lambda: self._pieces(begin()))

    async def _pieces(
        self, entries: Generator[ListEntry, None, None]
    ) -> AsyncGenerator[ListEntry, None]:
        try:
            while piece := await self._pool.run(_piece, self._path, entries, "list"):
                for entry in piece:
                    yield entry
        finally:
            entries.close()

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        return {"driver": self.driver, "path": self.root + path}

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return "file://" + quote(self.root + path, safe=_URL_SAFE)

    def at(self, path: str) -> tuple[FileStore, str]:
        """See `KeyValueStore.at`."""
        below = path.startswith(self.root) if self.root else not path.startswith("/")
        if below:
            return self, path[len(self.root) :]
        root, key = split_path(path)
        return FileStore(root, self.options, self._pool, file_system=self._file_system), key

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return (self.driver, self._path)


def split_path(path: str) -> tuple[str, str]:
    """The root and the key prefix for a ``path`` of a spec: they part at its last ``/``.

    So ``/data/x/`` is the root ``/data/x/``, and ``/data/x`` the prefix ``x`` below ``/data/``,
    under which TensorStore's ``+`` and ``/`` append.
    """
    root, slash, key = path.rpartition("/")
    return root + slash, key


def _precious(folder: str) -> str | None:
    """Why a folder cannot be an array's: it is, or holds, one that everything depends on."""
    real = os.path.realpath(folder)
    if real == os.path.realpath(os.sep):
        return "the whole file system"
    home = os.path.expanduser("~")  # noqa: PTH111
    places = {"the current directory": ".", "the home directory": home}
    for name, place in places.items():
        try:
            if os.path.commonpath([real, os.path.realpath(place)]) == real:
                return name
        except (OSError, ValueError):
            # It is gone, or on another drive: in no danger.
            continue
    return None


class FileFace(BlockingFace):
    """The blocking face of `FileStore`.

    Args:
        path: The absolute path of the root.
        options: How to write.
        file_system: The system calls.
    """

    def __init__(self, path: str, options: FileOptions, file_system: FileSystem) -> None:
        self._root = Root(path, file_system)
        self._file_system = file_system
        self._options = options
        self._settled = Settled()
        # What is written in place may be cut off while it is mapped.
        in_place = options.locking == "non_atomic"
        self._plain = options.mode == "default" or (options.mode == "memmap" and in_place)
        # A stale handle is looked at again where that is asked for.
        self._gone = GONE - {errno.ESTALE} if options.retries.max_retries else GONE
        self._buffers = DirectBuffers()
        self._counters = store_counters("file")
        self._verbose = verbose_flag("file")
        self._writing = Writing(self._root, file_system, options, self._settled)

    def open(self, key: str) -> OpenFile | None:
        """See `BlockingFace.open`."""
        check_key(key)
        self._counters.read.value += 1
        if self._verbose.level:
            self._verbose.log("read %s/%s", self._root.path, key)
        try:
            opened = open_file(self._root, self._file_system, key, self._counters.bytes_read)
            return opened if self._plain or opened is None else self._in_mode(opened)
        except (OSError, Error):
            # Only now: the context manager costs a fifth of the whole call.
            with os_errors_mapped(key=key, store=self._root.path, operation="read"):
                raise

    def _in_mode(self, opened: OpenFile) -> OpenFile:
        if self._options.mode == "direct":
            return DirectFile(opened, self._buffers)
        return mapped(opened)

    def read_group(
        self, keys: Sequence[str], buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """See `BlockingFace.read_group`."""
        if self._options.mode == "direct":
            return [UNREAD] * len(keys)
        found = read_group(self._root, self._file_system, keys, buffer, size)
        self._counters.add_group(found)
        return found

    def generation(self, key: str) -> bytes:
        """See `BlockingFace.generation`."""
        check_key(key)
        with os_errors_mapped(key=key, store=self._root.path, operation="read"):
            try:
                return _generation(self._root.status(key))
            except OSError as error:
                if error.errno not in NO_SUCH_FILE:
                    raise
                return NO_VALUE

    def glance(self, key: str) -> bytes | None:
        """See `BlockingFace.glance`."""
        check_key(key)
        path = self._root.join_now(key)
        return None if path is None else self._file_system.glance.generation(path)

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """See `BlockingFace.replace`."""
        self._counters.write.value += len(group)
        outcomes = replace(self._writing, group)
        for replacement, outcome in zip(group, outcomes, strict=True):
            if self._verbose.level:
                self._verbose.log("write %s/%s: %s", self._root.path, replacement.key, outcome)
            if not isinstance(outcome, Exception) and outcome.generation != UNKNOWN:
                self._counters.bytes_written.value += size_of(replacement.value)
        return outcomes

    def read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `KeyValueStore.read`."""
        # Not the time after: what was opened may have been replaced by then.
        asked = SOURCES.time()
        opened = self.open(key)
        if opened is None:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            stamp = TimestampedStorageGeneration(NO_VALUE, asked)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        try:
            with os_errors_mapped(key=key, store=self._root.path, operation="read"):
                stamp = TimestampedStorageGeneration(opened.generation, asked)
                if options.if_equal not in (UNKNOWN, opened.generation):
                    return ReadResult("unspecified", b"", stamp)
                if options.if_not_equal == opened.generation:
                    return ReadResult("unspecified", b"", stamp)
                start, stop = options.byte_range.resolve(opened.size)
                return ReadResult("value", opened.read(start, stop), stamp)
        finally:
            opened.close()

    def walk(self, key_range: KeyRange) -> Generator[ListEntry, None, None]:
        """The keys of the range, in no particular order."""
        self._counters.list.value += 1
        key = key_range.inclusive_min
        if key_range == KeyRange.singleton(key):
            return one(self._root, key, self._gone)
        return walk(self._root, self._file_system, key_range, self._gone)

    def scan(self, prefix: str) -> Generator[ListEntry, None, None]:
        """What is directly below `prefix`, in no particular order."""
        self._counters.list.value += 1
        return scan(self._root, self._file_system, prefix, self._gone)

    def remove(self, key_range: KeyRange) -> Generator[None, None, None]:
        """Deletes the keys of the range while it is iterated over."""
        self._counters.delete_range.value += 1
        return remove(self._root, self._file_system, key_range, self._options, self._settled)


def _generation(status: os.stat_result) -> bytes:
    return generation_of(status) if stat.S_ISREG(status.st_mode) else NO_VALUE


def _piece(path: str, steps: Iterator[T], operation: str) -> list[T]:
    """The next steps, up to `_PIECE`; none at the end."""
    with os_errors_mapped(store=path, operation=operation):
        return list(islice(steps, _PIECE))

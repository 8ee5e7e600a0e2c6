"""The directory of one zip file, kept for as long as the file stays as it is."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace

from asynctensor.errors import DataLoss, Error, OutOfRange
from asynctensor.kvstores.zip.directory import Directory, Entry, directory_of, wanted_tail
from asynctensor.kvstores.zip.partial import Restarts
from asynctensor.kvstores.zip.records import TAIL_BYTES, find_end
from asynctensor.runtime.loop_lock import LoopLock
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.workers import WorkerPool
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import KeyValueStore, OpenValue, ReadOptions, ReadResult

#: How often a directory is begun again because the file was replaced while it was being read; then
#: all of the file is read.
_ATTEMPTS = 8
#: Smaller entries are read whole, header and all.
_LARGE = 2**16


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the zip file.

    Attributes:
        directory: What is in it; None if there is no such file.
        stamp: Its generation, and when it was known to be the newest.
        data_starts: Where the data of large entries begin, by their offset, as far as known.
        restarts: Where the decoding of large entries can begin, as far as known.
    """

    directory: Directory | None
    stamp: TimestampedStorageGeneration
    data_starts: dict[int, int]
    restarts: Restarts = field(default_factory=Restarts, compare=False)

    def remember(self, entry: Entry, start: int) -> None:
        """Keeps where the data of an entry begin, where that saves more than it costs."""
        if entry.size > _LARGE:
            self.data_starts[entry.offset] = start


class HeldDirectory:
    """The newest known `Version` of one zip file; shared by all who read it.

    Args:
        base: Where the file is.
        key: Its key.
    """

    def __init__(self, base: KeyValueStore, key: str) -> None:
        self._base = base
        self._key = key
        self.version: Version | None = None
        self._turn = LoopLock()
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: nobody here holds the parent's locks."""
        self._lock = threading.Lock()

    # -- on the I/O loop --------------------------------------------------------------------

    async def current(self, since: float, pool: WorkerPool) -> Version:
        """The version of now, or one known to have been the newest at `since` or later.

        Whoever comes while another looks waits for what that one finds.

        Raises:
            DataLoss, Unimplemented, ResourceExhausted: It cannot be read; see `wanted_tail`.
            Error: The base failed.
        """
        version = self.version
        if version is not None and version.stamp.time >= since:
            return version
        async with self._turn:
            version = self.version
            if version is not None and version.stamp.time >= since:
                return version
            try:
                self.version = await self._read(version, pool)
            except Error as error:
                error.located(key=self._key, store=self._base.driver, operation="read")
                raise
            return self.version

    async def _read(self, known: Version | None, pool: WorkerPool) -> Version:
        for _ in range(_ATTEMPTS):
            found = await self._tail(UNKNOWN if known is None else known.stamp.generation)
            if found.state == "missing":
                return Version(None, found.stamp, {})
            if found.state == "unspecified" and known is not None:
                return replace(known, stamp=found.stamp)
            tail = found.value
            end = find_end(tail[-TAIL_BYTES:])
            wanted = wanted_tail(tail, end)
            if wanted > len(tail):
                rest = await self._rest(wanted, found.stamp.generation)
                if rest is None:
                    continue
                tail = rest
            return Version(await pool.run(directory_of, tail, end), found.stamp, {})
        file = await self._base.read(self._key)
        if file.state == "missing":
            return Version(None, file.stamp, {})
        return Version(await pool.run(read_directory, file.value), file.stamp, {})

    async def _tail(self, unless: bytes) -> ReadResult:
        """The last bytes, or all of a short file, unless it is the version known."""
        if self._base.capabilities.suffix_ranges:
            part = ReadOptions(ByteRange(-TAIL_BYTES), if_not_equal=unless)
            with suppress(OutOfRange):
                return await self._base.read(self._key, part)
        return await self._base.read(self._key, ReadOptions(if_not_equal=unless))

    async def _rest(self, wanted: int, generation: bytes) -> bytes | None:
        """The last `wanted` bytes of that version; None if it was replaced."""
        try:
            found = await self._base.read(
                self._key, ReadOptions(ByteRange(-wanted), if_equal=generation)
            )
        except OutOfRange as error:
            raise DataLoss("the directory of this zip file is longer than the file") from error
        return found.value if found.state == "value" else None

    # -- on worker threads ------------------------------------------------------------------

    def of(self, opened: OpenValue, asked: float) -> Version:
        """The version that is open; read from it if it is not the one known.

        Args:
            opened: The zip file.
            asked: A time before it was opened, at which it was the newest.

        Raises:
            DataLoss, Unimplemented, ResourceExhausted: It cannot be read; see `wanted_tail`.
        """
        version = self.version
        if version is not None and version.stamp.generation == opened.generation:
            return version
        with self._lock:
            version = self.version
            if version is not None and version.stamp.generation == opened.generation:
                return version
            stamp = TimestampedStorageGeneration(opened.generation, asked)
            try:
                version = Version(_read_open(opened), stamp, {})
            except Error as error:
                error.located(key=self._key, store=self._base.driver, operation="read")
                raise
            self.version = version
            return version


def read_directory(file: bytes) -> Directory:
    """The directory of a file that is held whole.

    Raises:
        DataLoss, Unimplemented, ResourceExhausted: It cannot be read; see `wanted_tail`.
    """
    tail = file[-TAIL_BYTES:]
    end = find_end(tail)
    wanted = wanted_tail(tail, end)
    if wanted > len(file):
        raise DataLoss("the directory of this zip file is longer than the file")
    return directory_of(file[-max(wanted, len(tail)) :], end)


def _read_open(opened: OpenValue) -> Directory:
    size = min(opened.size, TAIL_BYTES)
    tail = _last(opened, size)
    end = find_end(tail)
    wanted = wanted_tail(tail, end)
    if wanted > opened.size:
        raise DataLoss("the directory of this zip file is longer than the file")
    return directory_of(tail if wanted <= size else _last(opened, wanted), end)


def _last(opened: OpenValue, length: int) -> bytes:
    data = bytearray(length)
    opened.read_into(memoryview(data), opened.size - length)
    return bytes(data)

"""Values that a transaction keeps in a temporary file, where no store can keep them for it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping

from asynctensor.errors import DataLoss, ResourceExhausted
from asynctensor.lazy import Lazy
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.stash import Bytes, Stash, StoredValue

#: Of what is written to disk only, so that importing does not load it.
_crc32c = Lazy("asynctensor.storage.checksum", "crc32c")


class FileValue(StoredValue):
    """A value in the file.

    Attributes:
        offset: Where it begins.
        crc: Its crc32c.
    """

    __slots__ = ("crc", "offset")

    def __init__(self, size: int, offset: int, crc: int) -> None:
        super().__init__(size)
        self.offset, self.crc = offset, crc


class TemporaryStash(Stash):
    """Keeps values in a file without a name, which is gone with the process.

    It is where `tempfile` makes files: ``TMPDIR`` says where.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `discard`
        except OSError as error:
            raise _exhausted(error) from error
        self._size = 0

    async def store(self, values: Mapping[str, Bytes]) -> Mapping[str, FileValue]:
        """See `Stash.store`.

        Raises:
            ResourceExhausted: The file cannot grow.
        """
        return await data_copy_pool().run(self._store, values)

    def _store(self, values: Mapping[str, Bytes]) -> dict[str, FileValue]:
        found: dict[str, FileValue] = {}
        try:
            with self._lock:
                self._file.seek(self._size)
                for key, value in values.items():
                    self._file.write(value)
                    size = memoryview(value).nbytes
                    found[key] = FileValue(size, self._size, _crc32c(value))
                    self._size += size
                self._file.flush()
        except OSError as error:
            raise _exhausted(error) from error
        return found

    async def discard(self) -> None:
        """See `Stash.discard`."""
        await data_copy_pool().run(self._file.close)

    async def read(self, key: str, value: StoredValue) -> bytes:
        """See `Stash.read`."""
        return await data_copy_pool().run(self._read, key, value)

    def _read(self, key: str, value: StoredValue) -> bytes:
        assert isinstance(value, FileValue)
        with self._lock:
            self._file.seek(value.offset)
            data = self._file.read(value.size)
        if len(data) != value.size or _crc32c(data) != value.crc:
            raise DataLoss("what was staged is damaged in the temporary file", key=key)
        return data


def _exhausted(error: OSError) -> ResourceExhausted:
    return ResourceExhausted(
        f"what a transaction has staged does not fit into the temporary folder: {error}. Commit "
        "more often, give it a larger staged_bytes_limit, or set TMPDIR to a larger folder"
    )

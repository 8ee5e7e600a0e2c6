"""``zip``: the entries of a zip file as a kvstore.

The zip file is one value of a base store. Its directory is read once per version of it (one
request of the last 64 KiB nearly always suffices), and shared by all who read the file; then an
entry costs one request, for the bytes from its header to its end, on condition that the file is
still the same version. Of an entry that is stored uncompressed, parts can be read; of any other
that is large, parts are decoded piece by piece (`partial`).

Names are keys and nothing else, whatever they look like: nothing is ever unpacked to a file
system. Names that end in ``/`` are folders, and no keys. The generation of a key is that of the
whole file.

A write makes the whole file anew, in memory, with all other writes that have come until then, and
replaces it on condition that it is still the same. So many small writes one after the other are
slow, and it suits files that are written at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from asynctensor.errors import Error, OutOfRange
from asynctensor.kvstores.zip.changes import Change
from asynctensor.kvstores.zip.compression import STORED, check_crc, check_readable, decode
from asynctensor.kvstores.zip.directory import Entry
from asynctensor.kvstores.zip.held_directory import HeldDirectory, Version, read_directory
from asynctensor.kvstores.zip.local_header import data_start, expected_end
from asynctensor.kvstores.zip.partial import BLOCK, LARGE, Part, Restarts
from asynctensor.kvstores.zip.records import damaged
from asynctensor.kvstores.zip.rewriting import check_key, compressed
from asynctensor.kvstores.zip.value import ZipValue
from asynctensor.kvstores.zip.writer import ZipWriter, replace
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.sources import SOURCES
from asynctensor.runtime.workers import WorkerPool, data_copy_pool
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    BlockingFace,
    Buffer,
    Capabilities,
    Json,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Replacement,
    whole,
)

#: What may stand unescaped in a component of a URL pipeline: what TensorStore leaves as it is.
_URL_SAFE = "/:!$&'()*+,;="
#: How often a read begins again because the file was replaced meanwhile; then it takes all of it.
_ATTEMPTS = 8
#: Entries listed before others of the I/O loop have their turn, about a millisecond.
_PIECE = 500
#: Up to this size, an entry is read whole even if only a part is wanted and nobody knows yet where
#: it begins: that saves a request.
_SMALL = 2**16


class ZipStore(KeyValueStore):
    """The entries of one zip file.

    Args:
        base: Where the file is.
        base_path: Its key there.
        pool: Threads that decode (``data_copy_concurrency``).
        held: What is known of the file already, to be shared.
        compression: How values that are written are compressed.
        writer: What writes to the file, to be shared.
    """

    driver = "zip"
    capabilities = Capabilities(writable=False, lists_in_order=True, suffix_ranges=True)

    def __init__(
        self,
        base: KeyValueStore,
        base_path: str,
        pool: WorkerPool | None = None,
        held: HeldDirectory | None = None,
        *,
        compression: str = "deflate",
        writer: ZipWriter | None = None,
    ) -> None:
        self._base = base
        self._base_path = base_path
        self._pool = data_copy_pool() if pool is None else pool
        self._held = HeldDirectory(base, base_path) if held is None else held
        self._compression = compression
        below = base.capabilities
        self.capabilities = Capabilities(
            writable=below.writable,
            can_create_if_absent=below.can_compare_and_swap,
            can_compare_and_swap=below.can_compare_and_swap,
            lists_in_order=True,
            suffix_ranges=True,
            durable=below.durable,
        )
        self._writer = ZipWriter(base, base_path, self._pool) if writer is None else writer

    def __repr__(self) -> str:
        return f"ZipStore({self._base!r}, {self._base_path!r})"

    def __getstate__(self) -> dict[str, object]:
        # Threads, and what was read, are this process's own.
        names = ("_base", "_base_path", "_compression")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        base, path, compression = state.values()
        self.__init__(base, path, compression=compression)  # type: ignore[misc]

    @property
    def below(self) -> tuple[KeyValueStore, str]:
        """See `KeyValueStore.below`."""
        return self._base, self._base_path

    @property
    def blocking(self) -> ZipFace | None:
        """See `KeyValueStore.blocking`."""
        face = self._base.blocking
        if face is None:
            return None
        return ZipFace(face, self._base_path, self._held, self._compression)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return (self.driver, self._base.identity, self._base_path)

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`.

        Raises:
            DataLoss: The zip file or the entry is damaged.
            Unimplemented: The entry is encrypted, or compressed by an unknown method.
            ResourceExhausted: It claims to be a decompression bomb.
        """
        since = min(options.staleness_bound, SYSTEM_CLOCK.time())
        version = self._held.version
        for _ in range(_ATTEMPTS):
            found = None
            if version is not None:
                try:
                    found = await self._read(key, version, options, since)
                except Error as error:
                    error.located(key=key, operation="read")
                    raise
            if found is not None:
                return found
            version = await self._held.current(since, self._pool)
        return await self._read_from_whole(key, options)

    async def _read_from_whole(self, key: str, options: ReadOptions) -> ReadResult:
        """Where the file is replaced again and again: all of it, which is of one version."""
        file = await self._base.read(self._base_path)
        generation = file.stamp.generation
        entry = None
        if file.state == "value":
            entry = (await self._pool.run(read_directory, file.value)).find(key)
        if entry is None:
            stamp = TimestampedStorageGeneration(NO_VALUE, file.stamp.time)
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
            return ReadResult("unspecified", b"", file.stamp)
        start, stop = options.byte_range.resolve(entry.size)
        check_readable(entry)
        held = memoryview(file.value)
        begin = data_start(entry, held[entry.offset : entry.limit])
        stored = held[begin : begin + entry.stored]
        if not _in_parts(entry, start, stop):
            value = await self._pool.run(decode, entry, stored)
            return ReadResult("value", value[start:stop], file.stamp)
        part = Part(entry, start, stop, Restarts())
        while not part.done:
            await self._pool.run(part.feed, stored[part.needed : part.needed + BLOCK])
        return ReadResult("value", bytes(part.value), file.stamp)

    async def _read(
        self, key: str, version: Version, options: ReadOptions, since: float
    ) -> ReadResult | None:
        """What `version` says; None if it may be outdated."""
        generation = version.stamp.generation
        entry = None if version.directory is None else version.directory.find(key)
        known = version.stamp.time >= since
        if entry is None:
            stamp = TimestampedStorageGeneration(NO_VALUE, version.stamp.time)
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp) if known else None
        unmet = options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation
        if unmet:
            return ReadResult("unspecified", b"", version.stamp) if known else None
        try:
            start, stop = options.byte_range.resolve(entry.size)
        except OutOfRange:
            if known:
                raise
            return None
        if start == stop:
            return ReadResult("value", b"", version.stamp) if known else None
        check_readable(entry)
        if entry.method == STORED:
            return await self._stored(entry, version, start, stop)
        if _in_parts(entry, start, stop):
            return await self._part(entry, version, start, stop)
        fetched = await self._entry(entry, version, 0, entry.stored)
        if fetched is None:
            return None
        value = await self._pool.run(decode, entry, fetched[0])
        return ReadResult("value", value[start:stop], fetched[1])

    async def _part(
        self, entry: Entry, version: Version, start: int, stop: int
    ) -> ReadResult | None:
        """Part of a large entry that is compressed; None if the file was replaced."""
        part, stamp = Part(entry, start, stop, version.restarts), version.stamp
        while not part.done:
            end = min(part.needed + BLOCK, entry.stored)
            fetched = await self._entry(entry, version, part.needed, end)
            if fetched is None:
                return None
            block, stamp = fetched
            await self._pool.run(part.feed, block)
        return ReadResult("value", bytes(part.value), stamp)

    async def _stored(
        self, entry: Entry, version: Version, start: int, stop: int
    ) -> ReadResult | None:
        complete = stop - start == entry.size
        if entry.size <= _SMALL and entry.offset not in version.data_starts:
            fetched = await self._entry(entry, version, 0, entry.stored)
            if fetched is None:
                return None
            value = bytes(fetched[0])
            check_crc(entry, value)
            return ReadResult("value", value[start:stop], fetched[1])
        fetched = await self._entry(entry, version, start, stop)
        if fetched is None:
            return None
        if complete:
            await self._pool.run(check_crc, entry, fetched[0])
        return ReadResult("value", bytes(fetched[0]), fetched[1])

    async def _entry(
        self, entry: Entry, version: Version, start: int, stop: int
    ) -> tuple[memoryview, TimestampedStorageGeneration] | None:
        """The stored bytes from `start` to `stop`; None if the file was replaced."""
        generation = version.stamp.generation
        begin = version.data_starts.get(entry.offset)
        if begin is None:
            # One request for header and data, unless the data wanted are far from the header.
            ahead = stop if start <= _SMALL else 0
            head = await self._bytes(entry.offset, expected_end(entry, ahead), generation)
            if head is None:
                return None
            begin = data_start(entry, head[0])
            version.remember(entry, begin)
            skipped = begin - entry.offset
            if ahead and len(head[0]) >= skipped + stop:
                return head[0][skipped + start : skipped + stop], head[1]
        return await self._bytes(begin + start, begin + stop, generation)

    async def _bytes(
        self, start: int, stop: int, generation: bytes
    ) -> tuple[memoryview, TimestampedStorageGeneration] | None:
        options = ReadOptions(ByteRange(start, stop), if_equal=generation)
        try:
            found = await self._base.read(self._base_path, options)
        except OutOfRange:
            damaged("an entry lies behind the end of the file")
        if found.state != "value":
            return None
        return memoryview(found.value), found.stamp

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        if value is None:
            return await self._writer.write(Change(key, None, if_equal))
        check_key(key)
        entry = await self._pool.run(compressed, key, bytes(value), self._compression)
        return await self._writer.write(Change(key, entry, if_equal))

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`; here it is atomic."""
        keys = [entry.key async for entry in self.list(key_range)]
        await asyncio.gather(*(self._writer.write(Change(key, None)) for key in keys))

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        version = await self._held.current(SYSTEM_CLOCK.time(), self._pool)
        if version.directory is None:
            return
        for number, entry in enumerate(version.directory.within(key_range), 1):
            if number % _PIECE == 0:
                await asyncio.sleep(0)
            yield ListEntry(entry.key, entry.size)

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        spec: dict[str, Json] = {
            "driver": self.driver,
            "base": self._base.spec_json(self._base_path),
        }
        if self._compression != "deflate":
            spec["compression"] = self._compression
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return f"{self._base.url(self._base_path)}|{self.driver}:{quote(path, safe=_URL_SAFE)}"


def _in_parts(entry: Entry, start: int, stop: int) -> bool:
    return entry.method != STORED and entry.size > LARGE and stop - start < entry.size


class ZipFace(BlockingFace):
    """The blocking face of a `ZipStore` over a local base.

    Args:
        base: The face of the base.
        base_path: The key of the zip file.
        held: What is known of the file.
        compression: How values are compressed.
    """

    def __init__(
        self, base: BlockingFace, base_path: str, held: HeldDirectory, compression: str
    ) -> None:
        self._compression = compression
        self._base = base
        self._base_path = base_path
        self._held = held

    def open(self, key: str) -> ZipValue | None:
        """See `BlockingFace.open`."""
        asked = SOURCES.time()
        opened = self._base.open(self._base_path)
        if opened is None:
            return None
        try:
            version = self._held.of(opened, asked)
            entry = None if version.directory is None else version.directory.find(key)
            if entry is not None:
                return ZipValue(opened, version, entry)
        except BaseException:
            opened.close()
            raise
        opened.close()
        return None

    def generation(self, key: str) -> bytes:
        """See `BlockingFace.generation`."""
        version = self._held.version
        generation = self._base.generation(self._base_path)
        if version is not None and version.stamp.generation == generation:
            found = None if version.directory is None else version.directory.find(key)
            return NO_VALUE if found is None else generation
        opened = self.open(key)
        if opened is None:
            return NO_VALUE
        opened.close()
        return opened.generation

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """See `BlockingFace.replace`."""
        outcome: dict[int, TimestampedStorageGeneration | Exception] = {}
        numbers, changes = [], []
        for number, each in enumerate(group):
            try:
                changes.append(self._change(each))
                numbers.append(number)
            except Error as error:
                outcome[number] = error
        done = replace(self._base, self._base_path, changes)
        outcome.update(zip(numbers, done, strict=True))
        return [outcome[number] for number in range(len(group))]

    def _change(self, each: Replacement) -> Change:
        if each.value is None:
            return Change(each.key, None, each.if_equal)
        check_key(each.key)
        entry = compressed(each.key, whole(each.value), self._compression)
        return Change(each.key, entry, each.if_equal)

"""``memory``: values in this process, sorted, with atomic commits over many keys.

Everything is done on the calling thread, and nothing here ever waits (`MemoryMap`), so the
asynchronous methods may run on the I/O loop; the long ones give others their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from asynctensor.errors import Aborted, InvalidArgument, OutOfRange, Unimplemented
from asynctensor.kvstores.memory.memory_map import MemoryMap
from asynctensor.runtime.sources import SOURCES
from asynctensor.storage.commit_domain import Commit, CommitDomain, Committed
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
    OpenValue,
    ReadOptions,
    ReadResult,
    Replacement,
    Unread,
    whole,
)
from asynctensor.storage.stash import plain

#: What may stand unescaped in the path of a URL (RFC 3986, section 3.3).
_URL_SAFE = "/!$&'()*+,;=:@~"
#: Keys listed or removed before others of the I/O loop have their turn, about a millisecond.
_PIECE = 2000


class MemoryValue:
    """A value of a `MemoryStore`; it stays valid whatever happens to the key."""

    __slots__ = ("generation", "size", "value")

    def __init__(self, value: bytes, generation: bytes) -> None:
        self.value: bytes | None = value
        self.size = len(value)
        self.generation = generation

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenValue.read_into`."""
        value = self.value or b""
        target = buffer if buffer.format == "B" and buffer.ndim == 1 else buffer.cast("B")
        if offset < 0 or offset + len(target) > len(value):
            raise OutOfRange(
                f"bytes {offset} to {offset + len(target)} are not in a value of {len(value)} bytes"
            )
        target[:] = memoryview(value)[offset : offset + len(target)]

    def close(self) -> None:
        """See `OpenValue.close`."""


class MemoryStore(KeyValueStore):
    """A store over a `MemoryMap`.

    Args:
        values: What it shows; a map of its own if none is given.
        atomic: Whether it offers commits over many keys.
    """

    driver = "memory"
    capabilities = Capabilities(
        can_create_if_absent=True,
        can_compare_and_swap=True,
        lists_in_order=True,
        suffix_ranges=True,
        never_waits=True,
    )

    def __init__(self, values: MemoryMap | None = None, *, atomic: bool = True) -> None:
        self.values = MemoryMap() if values is None else values
        self.atomic = atomic

    def __repr__(self) -> str:
        return f"MemoryStore({len(self.values)} keys{'' if self.atomic else ', atomic=False'})"

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        """See `KeyValueStore.read`."""
        _check_key(key)
        counters = self.values.counters
        counters.read.value += 1
        asked = SOURCES.time()
        found = self.values.get(key)
        generation = NO_VALUE if found is None else found[1]
        stamp = TimestampedStorageGeneration(generation, asked)
        if found is None:
            unmet = options.if_equal not in (UNKNOWN, NO_VALUE)
            return ReadResult("unspecified" if unmet else "missing", b"", stamp)
        if options.if_equal not in (UNKNOWN, generation) or options.if_not_equal == generation:
            return ReadResult("unspecified", b"", stamp)
        start, stop = options.byte_range.resolve(len(found[0]))
        counters.bytes_read.value += stop - start
        return ReadResult("value", found[0][start:stop], stamp)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = UNKNOWN
    ) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        return self.blocking.write(Replacement(key, value, if_equal))

    async def delete_range(self, key_range: KeyRange) -> None:
        """See `KeyValueStore.delete_range`."""
        self.values.counters.delete_range.value += 1
        keys = self.values.keys(key_range)
        for start in range(0, len(keys), _PIECE):
            self.values.apply({}, dict.fromkeys(keys[start : start + _PIECE]))
            await asyncio.sleep(0)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list`."""
        self.values.counters.list.value += 1
        for count, key in enumerate(self.values.keys(key_range), 1):
            if count % _PIECE == 0:
                await asyncio.sleep(0)
            found = self.values.get(key)
            if found is not None:
                yield ListEntry(key, len(found[0]), found[2])

    async def list_directory(self, prefix: str) -> AsyncIterator[ListEntry]:
        """See `KeyValueStore.list_directory`."""
        for count, key in enumerate(self.values.directory(prefix), 1):
            if count % _PIECE == 0:
                await asyncio.sleep(0)
            if "/" in key[len(prefix) :]:
                yield ListEntry(key)
            elif (found := self.values.get(key)) is not None:
                yield ListEntry(key, len(found[0]), found[2])

    def spec_json(self, path: str) -> dict[str, Json]:
        """See `KeyValueStore.spec_json`."""
        spec: dict[str, Json] = {"driver": self.driver}
        if not self.atomic:
            spec["atomic"] = False
        if path:
            spec["path"] = path
        return spec

    def url(self, path: str) -> str:
        """See `KeyValueStore.url`."""
        return "memory://" + quote(path, safe=_URL_SAFE)

    @property
    def identity(self) -> object:
        """See `KeyValueStore.identity`."""
        return (self.driver, id(self.values))

    @property
    def blocking(self) -> MemoryFace:
        """See `KeyValueStore.blocking`."""
        return MemoryFace(self.values)

    @property
    def commit_domain(self) -> MemoryCommits | None:
        """See `KeyValueStore.commit_domain`."""
        return MemoryCommits(self.values) if self.atomic else None


class MemoryFace(BlockingFace):
    """The blocking face of `MemoryStore`; it never blocks."""

    __slots__ = ("_values",)

    def __init__(self, values: MemoryMap) -> None:
        self._values = values

    def open(self, key: str) -> OpenValue | None:
        """See `BlockingFace.open`."""
        _check_key(key)
        counters = self._values.counters
        counters.read.value += 1
        found = self._values.get(key)
        if found is None:
            return None
        # Nobody copies what is in memory already: all of it counts as read.
        counters.bytes_read.value += len(found[0])
        return MemoryValue(found[0], found[1])

    def read_group(
        self, keys: Sequence[str], buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """See `BlockingFace.read_group`; nothing is copied."""
        stored = [self._values.get(key) for key in keys]
        found = [None if s is None else s[0] if len(s[0]) <= size else UNREAD for s in stored]
        self._values.counters.add_group(found)
        return found

    def generation(self, key: str) -> bytes:
        """See `BlockingFace.generation`."""
        _check_key(key)
        found = self._values.get(key)
        return NO_VALUE if found is None else found[1]

    def glance(self, key: str) -> bytes:
        """See `BlockingFace.glance`."""
        return self.generation(key)

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """See `BlockingFace.replace`."""
        results: list[TimestampedStorageGeneration | Exception] = []
        for replacement in group:
            try:
                results.append(self.write(replacement))
            except Exception as error:  # noqa: BLE001 -- handed to the caller
                results.append(error)
        return results

    def write(self, replacement: Replacement) -> TimestampedStorageGeneration:
        """See `KeyValueStore.write`."""
        key = replacement.key
        _check_key(key)
        value = None if replacement.value is None else _owned(whole(replacement.value))
        expected = {key: replacement.if_equal} if replacement.if_equal != UNKNOWN else {}
        generations = self._values.apply(expected, {key: value})[1]
        new = UNKNOWN if generations is None else generations[key]
        return TimestampedStorageGeneration.now(new)


class MemoryCommits(CommitDomain):
    """Commits over the keys of one `MemoryMap`."""

    def __init__(self, values: MemoryMap) -> None:
        self._values = values

    @property
    def identity(self) -> object:
        """See `CommitDomain.identity`."""
        return ("memory", id(self._values))

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`.

        Raises:
            Unimplemented: It bears a caller's key, and nothing here remembers it.
        """
        if commit.caller_key is not None:
            raise Unimplemented(
                "a transaction with a caller_key needs a repository, which remembers it",
                operation="commit",
            )
        for key in (*commit.expected, *commit.values):
            _check_key(key)
        values = {k: None if v is None else _owned(v) for k, v in plain(commit.values).items()}
        stale, generations = self._values.apply(commit.expected, values, commit.cleared)
        if generations is None:
            raise Aborted(
                "somebody else changed this key since it was read; run the transaction again",
                key=stale,
                store="memory://",
                operation="commit",
            )
        return Committed(generations)


def _owned(value: Buffer) -> bytes:
    """`value` as bytes that nobody can change; itself if that is so already."""
    return value if type(value) is bytes else bytes(value)


def _check_key(key: str) -> None:
    if not isinstance(key, str):
        raise InvalidArgument(f"a key is a str, not {type(key).__name__}: {key!r}")

"""The blocking face of a repository whose base store has one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from asynctensor.errors import DataLoss, Error, OutOfRange
from asynctensor.kvstores.repo.damage import LostPage, damaged, lost
from asynctensor.kvstores.repo.lookup import Found, lookup, stands_in_log
from asynctensor.kvstores.repo.packed_group import PackedGroup
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.storage.checksum import crc32c
from asynctensor.storage.generation import TimestampedStorageGeneration
from asynctensor.storage.kvstore import (
    BlockingFace,
    Buffer,
    OpenValue,
    Replacement,
    Unread,
)

if TYPE_CHECKING:
    from asynctensor.kvstores.repo.place import Place
    from asynctensor.kvstores.repo.source import Source


class InlineValue:
    """A value that stands in the index or in a record."""

    __slots__ = ("generation", "size", "value")

    def __init__(self, value: bytes, generation: bytes) -> None:
        self.value: bytes | None = value
        self.size = len(value)
        self.generation = generation

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenValue.read_into`."""
        value = self.value or b""
        _check_within(buffer, offset, self.size)
        buffer.cast("B")[:] = memoryview(value)[offset : offset + buffer.nbytes]

    def close(self) -> None:
        """See `OpenValue.close`."""


class PackedValue:
    """A value that is a part of an object of the base store."""

    __slots__ = ("_key", "_object", "_opened", "_ref", "generation", "size", "value")

    def __init__(self, key: str, ref: Ref, generation: bytes, opened: OpenValue) -> None:
        self._key, self._ref, self._opened = key, ref, opened
        self.size = ref.size
        self.generation = generation
        self.value: bytes | None = None

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenValue.read_into`; whole values are checked against their checksums."""
        ref = self._ref
        _check_within(buffer, offset, ref.size)
        try:
            self._opened.read_into(buffer, ref.offset + offset)
        except OutOfRange as error:
            # The pack is shorter than it was.
            raise damaged(self._key, ref.object, "cut off") from error
        if buffer.nbytes == ref.size and crc32c(buffer) != ref.crc:
            raise damaged(self._key, ref.object)

    def close(self) -> None:
        """See `OpenValue.close`."""
        self._opened.close()


def _read_whole(value: PackedValue, key: str) -> InlineValue:
    """A value that stands among the pages, so that its damage is found while the log can help."""
    data = bytearray(value.size)
    try:
        value.read_into(memoryview(data), 0)
    except DataLoss as error:
        raise LostPage(error.message, key=key) from error
    finally:
        value.close()
    return InlineValue(bytes(data), value.generation)


def _check_within(buffer: memoryview, offset: int, size: int) -> None:
    if offset < 0 or offset + buffer.nbytes > size:
        raise OutOfRange(
            f"bytes {offset} to {offset + buffer.nbytes} are not in a value of {size} bytes"
        )


class RepositoryFace(BlockingFace):
    """What worker threads call for one state of a repository.

    Args:
        source: The state; it is known.
        place: Where the repository is; its store has a blocking face.
    """

    replaces = False

    def __init__(self, source: Source, place: Place) -> None:
        face = place.store.blocking
        assert face is not None
        self._source, self._place, self._base = source, place, face

    def _snapshot(self) -> Snapshot:
        known = self._source.known()
        assert known is not None
        return known

    def open(self, key: str) -> OpenValue | None:
        """See `BlockingFace.open`."""
        return self._snapshot().mended_blocking(lambda state: self._opened(state, key))

    def _opened(self, snapshot: Snapshot, key: str) -> OpenValue | None:
        found = snapshot.pages.run_blocking(lookup(snapshot.tail, snapshot.count, key))
        if found is None:
            return None
        ref = found[1]
        generation = snapshot.generation(found)
        if ref.inline is not None:
            return InlineValue(ref.inline, generation)
        opened = self._base.open(self._place.key(ref.object))
        in_log = stands_in_log(snapshot.tail, found)
        if opened is None:
            error = lost(key, ref.object)
            raise LostPage(error.message, key=key) if in_log else error
        value = PackedValue(key, ref, generation, opened)
        return _read_whole(value, key) if in_log else value

    def read_group(
        self, keys: Sequence[str], buffer: memoryview, size: int
    ) -> Sequence[Buffer | None | Unread]:
        """See `BlockingFace.read_group`."""
        with closing(self.group(keys)) as group:
            return group.read(0, len(keys), buffer, size)

    def group(self, keys: Sequence[str]) -> PackedGroup:
        """See `BlockingFace.group`."""
        return PackedGroup(self, self._place, self._base, keys)

    def places(self, keys: Sequence[str]) -> Sequence[Found | None] | None:
        """Where values are; None if that cannot be told."""
        try:
            return self._snapshot().find_many_blocking(keys)
        except Error:
            return None

    def generation(self, key: str) -> bytes:
        """See `BlockingFace.generation`."""
        snapshot = self._snapshot()
        return snapshot.generation(snapshot.find_blocking(key))

    def glance(self, key: str) -> bytes | None:
        """See `BlockingFace.glance`: known if the pages that lead to the key are at hand."""
        snapshot = self._source.known()
        if snapshot is None:
            return None
        known = snapshot.pages.run_known(lookup(snapshot.tail, snapshot.count, key))
        if known is None:
            return None
        return snapshot.generation(known[0])

    def replace(
        self, group: Sequence[Replacement]
    ) -> list[TimestampedStorageGeneration | Exception]:
        """See `BlockingFace.replace`: not to be called, as a commit waits for the I/O loop."""
        raise NotImplementedError("writes of a repository are commits: see RepositoryStore.write")

"""Stored values in hand, and the checks before anything is allocated for one."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.array import ChunkStatistics
from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.scratch import Scratch
from asynctensor.errors import DataLoss, OutOfRange
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.storage.generation import NO_VALUE, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Arrival, Buffer, OpenValue, ReadResult

#: A stored chunk may be this many times as large as the chunk (shards may hold unused space) ...
_MAX_EXPANSION = 4
#: ... plus so much.
_MAX_OVERHEAD = 16 * 2**20


class HeldValue:
    """A value, or parts of it, fetched already; an `OpenValue`.

    Attributes:
        size: Length of the whole value in bytes.
        generation: Its generation; `NO_VALUE` if there is none.
        time: When that was current.
        epoch: Of the chunk, before the value was asked for (`ChunkedArray.epoch`).
        indexes: Decoded indexes of this shard that are at hand, by their place in the cache, which
            may have dropped them meanwhile.
    """

    __slots__ = ("_given", "_parts", "epoch", "generation", "indexes", "size", "time", "value")

    def __init__(self, size: int, stamp: TimestampedStorageGeneration) -> None:
        self.size = size
        self.generation = stamp.generation
        self.time = stamp.time
        self.value: bytes | None = None
        self.epoch = -1
        self.indexes: dict[int, Array] = {}
        self._given: Buffer = b""
        self._parts: list[tuple[int, memoryview]] = []

    @classmethod
    def of(cls, result: ReadResult | Arrival) -> HeldValue:
        """The whole value that a read found, or its absence."""
        held = cls(len(result.value), result.stamp)
        held._given = result.value
        return held

    @classmethod
    def none(cls) -> HeldValue:
        """The absence of a value, seen now."""
        return cls(0, TimestampedStorageGeneration(NO_VALUE, SYSTEM_CLOCK.time()))

    @property
    def missing(self) -> bool:
        """Whether there is no value."""
        return self.generation == NO_VALUE

    def whole(self) -> Buffer:
        """All bytes of a value that was fetched in one piece, without copying."""
        return self._given if len(self._given) == self.size else self.view(0, self.size)

    def add(self, offset: int, data: Buffer) -> None:
        """Adds the bytes from `offset` on."""
        if not self._parts and self._given:
            self._parts.append((0, memoryview(self._given).cast("B")))
        self._parts.append((offset, memoryview(data).cast("B")))

    def has(self, start: int, stop: int) -> bool:
        """Whether these bytes are here."""
        if not self._parts:
            return start >= 0 and stop <= len(self._given)
        return any([at <= start and stop <= at + len(data) for at, data in self._parts])

    def view(self, offset: int, size: int) -> memoryview:
        """The bytes themselves, without copying."""
        if not self._parts and offset >= 0 and offset + size <= len(self._given):
            return memoryview(self._given).cast("B")[offset : offset + size]
        for start, data in self._parts:
            if start <= offset and offset + size <= start + len(data):
                return data[offset - start : offset - start + size]
        raise OutOfRange(f"bytes [{offset}, {offset + size}) of the value were not fetched")

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills `buffer` with the bytes from `offset` on."""
        buffer[:] = self.view(offset, len(buffer))

    def close(self) -> None:
        """Nothing to let go of."""


def check_size(size: int, chunk_bytes: int) -> None:
    """Refuses to fetch a value that can be no encoding of a chunk of `chunk_bytes`.

    Raises:
        DataLoss: It is too large.
    """
    if size > _MAX_EXPANSION * chunk_bytes + _MAX_OVERHEAD:
        raise DataLoss(
            f"stored value has {size} bytes, too many for a chunk of {chunk_bytes} bytes"
        )


def stored_bytes(value: OpenValue, scratch: Scratch, offset: int, size: int) -> memoryview:
    """Bytes of `value`, as they are in memory or read into the thread's buffer."""
    if isinstance(value, HeldValue):
        return value.view(offset, size)
    if value.value is not None:
        return memoryview(value.value)[offset : offset + size]
    buffer = scratch.encoded(size)
    value.read_into(buffer, offset)
    return buffer


def count_read(done: ChunkStatistics, value: OpenValue, size: int) -> None:
    """Counts a read of `size` bytes of `value`; what was fetched before was counted then."""
    if not isinstance(value, HeldValue):
        done.store_reads += 1
        done.bytes_read += size


def check_exact(size: int, expected: int) -> None:
    """Checks the length of an uncompressed value.

    Raises:
        DataLoss: It has another one.
    """
    if size != expected:
        raise DataLoss(f"stored value has {size} bytes, expected {expected}")


def read_raw(value: OpenValue, out: Array, offset: int) -> None:
    """Fills a contiguous array with the bytes of `value` from `offset` on."""
    value.read_into(out.reshape(-1).view(np.uint8).data, offset)


def decode_whole(value: OpenValue, codec: ArrayCodec, out: Array, scratch: Scratch) -> Array:
    """Decodes the whole of `value` into `out`.

    Raises:
        DataLoss: It is no encoding of a chunk.
    """
    if codec.is_identity:
        check_exact(value.size, out.nbytes)
        read_raw(value, out, 0)
        return out
    return codec.decode(stored_bytes(value, scratch, 0, value.size), out)

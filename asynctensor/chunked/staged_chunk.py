"""What a transaction writes to one chunk: patches with data of their own, applied at the commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.moved_chunk import MovedChunk
from asynctensor.chunked.staged_tile import StagedTile, run_of
from asynctensor.chunked.update import Patch, apply, chunk_of, encode_chunk, updated_value
from asynctensor.chunked.written_part import boxes_of, encode_boxes, encode_mask
from asynctensor.errors import Aborted
from asynctensor.runtime.workers import yield_gil
from asynctensor.storage.kvstore import Buffer, whole
from asynctensor.storage.partial_value import Written
from asynctensor.storage.stash import Stash, StoredValue
from asynctensor.transaction.staged_value import StagedValue

#: From so many patches on they are folded into one masked chunk, which bounds their memory.
_FOLD = 32
#: Decoded bytes, and chunks, that a worker encodes in one go: a millisecond's work and more.
_GROUP_BYTES = 4 * 2**20
_GROUP = 512

#: In place of an encoded chunk: it is not in memory.
_ELSEWHERE = b"elsewhere"


class StagedChunk(StagedValue):
    """A masked write of one chunk. Thread-safe.

    Attributes:
        array: The array, as the transaction sees it.
        index: Grid position.
    """

    __slots__ = (
        "_before", "_covered", "_lock", "_mask", "_moved", "_number", "_patches", "_tile",
        "_values",
        "array", "index",
    )  # fmt: skip

    def __init__(
        self, array: ChunkedArray, index: tuple[int, ...], before: StagedValue | None
    ) -> None:
        self.array = array
        self._before = before
        self.index = index
        self._lock = threading.Lock()
        self._patches: list[Patch] | None = None
        self._covered = False
        self._values: Array | None = None
        self._mask: Array | None = None
        #: Where its elements are, instead of in patches; and which of the chunks there it is.
        self._tile: StagedTile | None = None
        self._number = 0
        #: Where all of that is, if it is not in memory.
        self._moved: MovedChunk | None = None

    def add(self, data: Array, partition: Partition, cell: Cell) -> None:
        """Adds a patch; `data` belongs to the transaction from now on."""
        with self._lock:
            if partition.is_full(cell):
                self._clear()
            self._rest_on_moved()
            patches = self._spelled()
            patches.append((data, partition, cell))
            if len(patches) >= _FOLD:
                self._fold()

    def cover(self, tile: StagedTile, number: int) -> None:
        """Replaces all that was written by the `number`-th chunk of a tile."""
        with self._lock:
            self._clear()
            self._tile, self._number = tile, number

    def _clear(self) -> None:
        self._patches = self._values = self._mask = self._tile = self._moved = None
        self._covered = True

    def _rest_on_moved(self) -> None:
        """What is written from here on is over what was moved; the lock is held."""
        if self._moved is None:
            return
        before = StagedChunk(self.array, self.index, self._before)
        before._covered, before._moved = self._covered, self._moved
        self._before, self._covered, self._moved = before, False, None

    def _spelled(self) -> list[Patch]:
        """The patches; the lock is held."""
        if self._patches is None:
            self._patches = [] if self._tile is None else [self._tile.patch(self._number)]
            self._tile = None
        return self._patches

    def placed(self) -> tuple[StagedTile | None, int]:
        """The tile that the chunk is in, if nothing else was written to it, and its number."""
        with self._lock:
            return self._tile, self._number

    @property
    def rests_on_value(self) -> bool:
        """Whether the chunk was staged otherwise before, and is written in part."""
        with self._lock:
            return self._before is not None and not self._covered

    def elements(self) -> tuple[Array, Array]:
        """The written elements in a chunk of their own, and which they are."""
        with self._lock:
            if self._moved is not None:
                raise Aborted(
                    "the array has grown meanwhile, and what was appended to it does not begin "
                    "where a chunk does and is not in memory any more; run the transaction again "
                    "with a larger staged_bytes_limit",
                    key=self.array.key(self.index),
                    operation="commit",
                )
            self._fold()
            assert self._values is not None
            assert self._mask is not None
            return self._values, self._mask

    def put(self, dim: int, start: int, values: Array, mask: Array) -> None:
        """Adds those of `values` that `mask` says, which begin at `start` along `dim`."""
        part = (*(slice(None),) * dim, slice(start, start + values.shape[dim]))
        own, written = self.elements()
        np.copyto(own[part], values, where=mask)
        written[part] |= mask

    def drop(self, dim: int, start: int) -> None:
        """Forgets what was written from `start` on along `dim`; the rest of it is kept."""
        _, written = self.elements()
        written[(*(slice(None),) * dim, slice(start, None))] = False
        with self._lock:
            self._covered = False

    def _fold(self) -> None:
        layout = self.array.layout
        if self._values is None or self._mask is None:
            self._values = np.empty(layout.chunk_shape, layout.dtype)
            self._values[...] = layout.fill_value
            self._mask = np.zeros(layout.chunk_shape, np.bool_)
        patches = self._spelled()
        apply(patches, self._values)
        for data, partition, cell in patches:
            marks = np.broadcast_to(np.True_, data.shape)
            partition.scatter(marks, self._mask, cell)
        self._patches = []

    @property
    def needs_current(self) -> bool:
        """Whether some element of the chunk is not written."""
        return not self._covered and (self._before is None or self._before.needs_current)

    def written(self) -> Written | None:
        """The elements that were written; see `StagedValue.written`."""
        form = self.array.form()
        if form is None:
            return None
        if self._before is not None:
            marks = self._marks()
            return None if marks is None else Written(form, encode_mask(marks))
        with self._lock:
            if self._covered:
                return None
            if self._moved is not None:
                return None if self._moved.part is None else Written(form, self._moved.part)
            boxes = boxes_of(self._spelled()) if self._mask is None else None
            if boxes is not None:
                return Written(form, encode_boxes(boxes))
            self._fold()
            assert self._mask is not None
            return Written(form, encode_mask(self._mask))

    def _marks(self) -> Array | None:
        """Where elements were written, before it was moved too; None: it cannot be told, or all."""
        with self._lock:
            before, moved = self._before, self._moved
            if self._covered:
                return None
            if moved is None:
                self._fold()
                assert self._mask is not None
                marks = self._mask.copy()
            else:
                assert moved.part is not None
                marks = moved.marks(self.array)
        if before is None:
            return marks
        if not isinstance(before, StagedChunk) or before.array is not self.array:
            return None
        earlier = before._marks()
        return None if earlier is None else marks | earlier

    @property
    def nbytes(self) -> int:
        return self.array.chunk_bytes

    def committed(self) -> None:
        """What is cached of the chunk outside of the transaction is outdated."""
        if self.array.base is not None:
            self.array.base.forget(self.index)

    async def value(self, current: bytes | None) -> bytes | None:
        """The encoded chunk after the writes."""
        (encoded,) = await self.values([self], [current])
        return None if encoded is None else bytes(encoded)

    @property
    def held(self) -> int:
        """See `StagedValue.held`; of objects, only whole chunks can be elsewhere."""
        if self._moved is not None or (self.needs_current and self.array.layout.dtype.hasobject):
            return 0
        return self.array.chunk_bytes

    def stored(self, stash: Stash | None) -> StoredValue | None:
        """See `StagedValue.stored`."""
        moved = self._moved
        return moved.value if moved and moved.part is None and moved.stash is stash else None

    @classmethod
    async def moved_out(
        cls, staged: Mapping[str, Any], stash: Stash, scratch: Stash
    ) -> Mapping[str, StagedValue]:
        """See `StagedValue.moved_out`: encoded where all of the chunk is written."""
        chunks: Mapping[str, StagedChunk] = staged
        whole = {key: each for key, each in chunks.items() if not each.needs_current}
        found = await cls.values(list(whole.values()), [None] * len(whole))
        values: dict[str, Buffer | None] = dict(zip(whole, found, strict=True))
        stored = await stash.store({key: each for key, each in values.items() if each is not None})
        for key, value in values.items():
            if value is None or key in stored:
                chunks[key]._move(MovedChunk(stash, stored.get(key), None))
        packed = {
            key: await each.array.workers.run(each._packed)
            for key, each in chunks.items()
            if key not in whole
        }
        kept = await scratch.store({key: elements for key, (_, elements) in packed.items()})
        for key, (part, _) in packed.items():
            if key in kept:
                chunks[key]._move(MovedChunk(scratch, kept[key], part))
        return {}

    def _packed(self) -> tuple[bytes, bytes]:
        """Which elements were written, and they."""
        values, mask = self.elements()
        return encode_mask(mask), values[mask].tobytes()

    def _move(self, moved: MovedChunk) -> None:
        with self._lock:
            covered = self._covered or moved.part is None
            self._clear()
            self._moved, self._covered = moved, covered
            if covered:
                self._before = None

    @classmethod
    async def values(
        cls, staged: Sequence[Any], currents: Sequence[bytes | None]
    ) -> Sequence[Buffer | None]:
        """`value` of several chunks, encoded in groups."""
        known = list(currents)
        new: list[Buffer | None] = [None] * len(staged)
        elsewhere: set[int] = set()
        for at, each in enumerate(staged):
            if each._before is not None and not each._covered:
                known[at] = await each._before.value(known[at])
            if each._moved is not None:
                elsewhere.add(at)
                new[at] = await each._from_elsewhere(known[at])
        groups: dict[ChunkedArray, list[list[int]]] = {}
        for at, each in enumerate(staged):
            if at in elsewhere:
                continue
            mine = groups.get(each.array)
            if mine is None:
                mine = groups[each.array] = [[]]
            last = mine[-1]
            if len(last) >= _GROUP or len(last) * each.array.chunk_bytes >= _GROUP_BYTES:
                last = []
                mine.append(last)
            last.append(at)
        await asyncio.gather(
            *(
                array.workers.run(_encode_group, staged, known, places, new)
                for array, mine in groups.items()
                for places in mine
            )
        )
        for at, value in enumerate(new):
            if value is _ELSEWHERE:
                # Moved out of memory since it was looked at.
                new[at] = await staged[at]._from_elsewhere(known[at])
        return new

    async def _from_elsewhere(self, current: bytes | None) -> bytes | None:
        """The encoded chunk, of what was moved out of memory."""
        moved = self._moved
        if moved is None:
            # Written to since.
            (found,) = await self.values([self], [current])
            return None if found is None else bytes(found)
        data = await moved.read(self.array.key(self.index))
        if moved.part is None or data is None:
            return data

        def encoded() -> Buffer | None:
            chunk = chunk_of(self.array, current)
            values, mask = moved.elements(self.array, data)
            np.copyto(chunk, values, where=mask)
            return encode_chunk(self.array, chunk, done)

        done = ChunkStatistics()
        new = await self.array.workers.run(encoded)
        self.array.count(done)
        return None if new is None else bytes(new)

    def _encoded(self, current: bytes | None, done: ChunkStatistics) -> Buffer | None:
        """The encoded chunk, perhaps a view of the data that was staged."""
        with self._lock:
            if self._moved is not None:
                return _ELSEWHERE
            patches = list(self._spelled())
            values, mask = self._values, self._mask
            if values is None or mask is None:
                new = updated_value(self.array, self.index, patches, current, done)
                return whole(new) if isinstance(new, tuple) else new
            chunk = chunk_of(self.array, current)
            np.copyto(chunk, values, where=mask)
            apply(patches, chunk)
            return encode_chunk(self.array, chunk, done)


def _encode_group(
    staged: Sequence[StagedChunk],
    currents: Sequence[bytes | None],
    places: Sequence[int],
    new: list[Buffer | None],
) -> None:
    """Encodes the chunks at `places` into `new`."""
    done = ChunkStatistics()
    array = staged[places[0]].array
    placed = [staged[at].placed() for at in places]
    start = 0
    while start < len(places):
        count = run_of(placed, start)
        tile, number = placed[start]
        found = None if tile is None else tile.encoded(array, number, count, done)
        if found is None:
            found = [staged[at]._encoded(currents[at], done) for at in places[start : start + 1]]
        for at, each in zip(places[start : start + len(found)], found, strict=True):
            new[at] = each
        start += len(found)
        yield_gil()
    array.count(done)

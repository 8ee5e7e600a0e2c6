"""What a transaction appended to an array moves to wherever the array ends at the commit."""

from __future__ import annotations

from asynctensor.chunked.array import ChunkedArray
from asynctensor.chunked.codec import Array
from asynctensor.chunked.staged_chunk import StagedChunk
from asynctensor.errors import Aborted
from asynctensor.transaction.staging import Staging

#: Staged elements, which of them are staged, and where they begin along the dimension.
_Block = tuple[tuple[int, ...], int, Array, Array]


class StagedAppend:
    """All that one transaction appended to one dimension of an array.

    Args:
        array: The array, as the transaction sees it.
        staging: What is staged in its store.
        dim: The dimension.
        start: Where the appended elements begin, as they are staged now.
        count: How many there are along it.
    """

    def __init__(
        self, array: ChunkedArray, staging: Staging, dim: int, start: int, count: int
    ) -> None:
        self._array, self._staging = array, staging
        self._dim, self._start, self._count = dim, start, count

    async def follow(self, start: int) -> None:
        """Has the appended elements begin at `start`.

        Whole chunks go as they are; where the chunks are divided otherwise, their elements are
        written into the chunks that they get into, beside what others have there.

        Raises:
            Aborted: Something else than elements was staged there.
        """
        if start != self._start:
            await self._array.workers.run(self._move, start)
            self._start = start

    def _move(self, start: int) -> None:
        size = self._array.layout.chunk_shape[self._dim]
        beyond = self._beyond(size)
        with self._staging.lock:
            for index in beyond:
                if index[self._dim] * size >= self._start:
                    # What was read there was the transaction's own.
                    self._staging.observed.pop(self._array.key(index), None)
        if self._start % size == 0 and start % size == 0:
            by = (start - self._start) // size
            with self._staging.lock:
                for index in beyond:
                    self._forget(index)
                for index, chunk in beyond.items():
                    chunk.index = self._shifted(index, by)
                    self._stage(chunk)
            return
        blocks = [self._taken(index, chunk, size, start) for index, chunk in beyond.items()]
        with self._staging.lock:
            for index, chunk in beyond.items():
                if index[self._dim] * size >= self._start:
                    self._forget(index)
                else:
                    chunk.drop(self._dim, self._start - index[self._dim] * size)
            for block in blocks:
                self._put(*block, size)

    def _beyond(self, size: int) -> dict[tuple[int, ...], StagedChunk]:
        """The staged chunks with appended elements."""
        array, found = self._array, {}
        with self._staging.lock:
            values = list(self._staging.values.items())
        for key, staged in values:
            index = (
                array.layout.keys.cell(key[len(array.path) :])
                if key.startswith(array.path)
                else None
            )
            if index is None or (index[self._dim] + 1) * size <= self._start:
                continue
            if not isinstance(staged, StagedChunk) or staged.rests_on_value:
                raise Aborted(
                    "the array has grown meanwhile, and what the transaction wrote beyond its end "
                    "as a value of the store cannot follow; run the transaction again",
                    key=key,
                    operation="commit",
                )
            found[index] = staged
        return found

    def _shifted(self, index: tuple[int, ...], by: int) -> tuple[int, ...]:
        return (*index[: self._dim], index[self._dim] + by, *index[self._dim + 1 :])

    def _taken(self, index: tuple[int, ...], chunk: StagedChunk, size: int, start: int) -> _Block:
        """The appended elements of a chunk, and where they begin then."""
        low = index[self._dim] * size
        inside = max(0, self._start - low)
        values, mask = chunk.elements()
        part = (*(slice(None),) * self._dim, slice(inside, None))
        at = low + inside - self._start + start
        return index, at, values[part].copy(), mask[part].copy()

    def _put(self, index: tuple[int, ...], at: int, values: Array, mask: Array, size: int) -> None:
        """Stages elements that begin at `at`, in the one or two chunks that have them."""
        dim, done = self._dim, 0
        length = values.shape[dim]
        while done < length:
            to = at + done
            inside = to % size
            count = min(size - inside, length - done)
            part = (*(slice(None),) * dim, slice(done, done + count))
            cell = (*index[:dim], to // size, *index[dim + 1 :])
            if mask[part].any():
                staged = self._staging.values.get(self._array.key(cell))
                if not isinstance(staged, StagedChunk):
                    staged = StagedChunk(self._array, cell, staged)
                    self._stage(staged)
                staged.put(dim, inside, values[part], mask[part])
            done += count

    def _forget(self, index: tuple[int, ...]) -> None:
        key = self._array.key(index)
        self._staging.values.pop(key, None)
        self._staging.versions.pop(key, None)

    def _stage(self, chunk: StagedChunk) -> None:
        key = self._array.key(chunk.index)
        self._staging.values[key] = chunk
        self._staging.touch(key)

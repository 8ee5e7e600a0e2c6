"""What a transaction writes to many neighbouring chunks at once, each of which it covers."""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Partition
from asynctensor.chunked.rows import copy_rows
from asynctensor.chunked.scratch import new_encoding
from asynctensor.chunked.tiles import Tile
from asynctensor.chunked.update import Patch, encode_chunks
from asynctensor.storage.kvstore import Buffer, whole


class StagedTile:
    """Data of a transaction's own that is all of the chunks of a tile.

    One object for many chunks: each object is one more that the garbage collector looks at.
    """

    __slots__ = ("data", "partition", "tile")

    def __init__(self, data: Array, partition: Partition, tile: Tile) -> None:
        self.data, self.partition, self.tile = data, partition, tile

    def patch(self, number: int) -> Patch:
        """What it is to one of its chunks."""
        return self.data, self.partition, self.tile.cell(number)

    def encoded(
        self, array: ChunkedArray, first: int, count: int, done: ChunkStatistics
    ) -> Sequence[Buffer | None] | None:
        """The values to store for chunks that follow each other, perhaps views of the data.

        Args:
            array: The array; the calling thread's buffers are used.
            first: Number of the first of them.
            count: How many.
            done: Counts what was done.

        Returns:
            None where they are better worked out one by one.
        """
        layout = array.layout
        codec = layout.codec
        region = self.tile.region(self.data)
        if layout.shard is not None or region.dtype != codec.dtype:
            return None
        shape = (self.tile.count, *codec.shape)
        if region.flags.c_contiguous:
            chunks, borrowed = region.reshape(shape)[first : first + count], False
        elif count < self.tile.count:
            return None
        else:
            borrowed = not codec.is_identity
            make = array.scratch.decoded if borrowed else new_encoding
            chunks = make(shape, codec.dtype)
            copy_rows(chunks.reshape(region.shape), region)
        found = encode_chunks(array, codec, chunks, done, borrowed=borrowed)
        return [whole(each) if isinstance(each, tuple) else each for each in found]


def run_of(placed: Sequence[tuple[StagedTile | None, int]], at: int) -> int:
    """How many chunks from `at` on follow each other in one tile."""
    tile, number = placed[at]
    if tile is None:
        return 1
    stop = at + 1
    while stop < len(placed) and placed[stop][0] is tile and placed[stop][1] == number + stop - at:
        stop += 1
    return stop - at

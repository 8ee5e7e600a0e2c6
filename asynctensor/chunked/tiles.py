"""Boxes of whole neighbouring chunks of one view: decoded next to each other, copied out at once.

Copying sixteen small chunks in one call takes less time than sixteen calls: a thread gives up and
takes back the GIL once, not sixteen times, and planning a box costs about as much as planning one
chunk. Only views whose axes are the array's in order, without strides, have tiles; what is not
whole at their rims is *ragged*, and served chunk by chunk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from asynctensor.chunked.codec import Array
from asynctensor.chunked.grid import Cell, Partition, product_of_ranges
from asynctensor.chunked.strided_set import StridedSet

#: Decoded bytes of a tile at most. That rows of the output are long matters more than that a tile
#: stays in a core's own cache: eight 64^3 chunks side by side are copied 2.6 times as fast as two.
TILE_BYTES = 4 * 2**20
#: Chunks of a tile at most, whatever their size: about a millisecond of Python.
TILE_CHUNKS = 256


class Tile:
    """A box of cells of a partition, each of them the whole of its chunk.

    Attributes:
        first: Grid position of the first chunk.
        shape: Number of chunks along each dimension.
        count: Number of chunks.
    """

    __slots__ = ("_corner", "_partition", "count", "first", "shape")

    def __init__(self, partition: Partition, ranges: Sequence[range]) -> None:
        self._partition = partition
        self._corner = tuple([r.start for r in ranges])
        self.shape = tuple([len(r) for r in ranges])
        self.count = math.prod(self.shape)
        self.first = tuple(
            [s.segment(i).cell[0] for s, i in zip(partition.sets, self._corner, strict=True)]
        )

    def indices(self) -> list[tuple[int, ...]]:
        """Grid positions of its chunks, in C order."""
        lines = [range(k, k + n) for k, n in zip(self.first, self.shape, strict=True)]
        return list(itertools.product(*lines))

    def numbers(self, grid: Sequence[int]) -> list[int]:
        """C-order numbers of its chunks in a grid of this shape."""
        found, stride = [0], math.prod(grid)
        for first, n, size in zip(self.first, self.shape, grid, strict=True):
            stride //= size
            found = [f + i * stride for f in found for i in range(first, first + n)]
        return found

    def cell(self, k: int) -> Cell:
        """Cell of the partition that its `k`-th chunk is."""
        found = []
        for start, n, s in zip(
            reversed(self._corner),
            reversed(self.shape),
            reversed(self._partition.sets),
            strict=True,
        ):
            k, i = divmod(k, n)
            found.append(s.segment(start + i))
        return tuple(reversed(found))

    def region(self, data: Array) -> Array:
        """The part of a view's data that its chunks are.

        Returns:
            A view of the shape of the tile and, after it, that of a chunk.
        """
        place, split = [], []
        for start, n, s in zip(self._corner, self.shape, self._partition.sets, strict=True):
            first, last = s.segment(start).view[0], s.segment(start + n - 1).view[0]
            assert isinstance(first, slice)
            assert isinstance(last, slice)
            place.append(slice(first.start, last.stop))
            split += [n, first.stop - first.start]
        rank = len(place)
        # Splitting an axis never copies, whatever the strides.
        parts: Array = data[tuple(place)].reshape(split)
        return parts.transpose((*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)))


def tiles(partition: Partition, limit: int) -> Iterator[Tile]:
    """The whole chunks of a view in boxes of at most `limit`; none where it has no tiles."""
    wholes = _wholes(partition)
    if wholes is None:
        return
    edges = [1] * len(wholes)
    room = limit
    for dim in reversed(range(len(wholes))):
        edges[dim] = min(max(1, room), len(wholes[dim]))
        if edges[dim] < len(wholes[dim]):
            break
        room //= edges[dim]
    steps = [range(w.start, w.stop, edge) for w, edge in zip(wholes, edges, strict=True)]
    for corner in product_of_ranges(steps):
        ranges = [
            range(i, min(i + edge, w.stop))
            for i, edge, w in zip(corner, edges, wholes, strict=True)
        ]
        yield Tile(partition, ranges)


def ragged(partition: Partition) -> Iterator[Cell]:
    """The cells that are in no tile."""
    wholes = _wholes(partition)
    if wholes is None:
        yield from partition.cells()
        return
    for dim, whole in enumerate(wholes):
        s = partition.sets[dim]
        rim = [*range(whole.start), *range(whole.stop, s.count)]
        for position in rim:
            lines = [
                *wholes[:dim],
                range(position, position + 1),
                *(range(t.count) for t in partition.sets[dim + 1 :]),
            ]
            for cell in product_of_ranges(lines):
                yield tuple([t.segment(i) for t, i in zip(partition.sets, cell, strict=True)])


def tile_limit(chunk_bytes: int) -> int:
    """Chunks of this size in one tile at most."""
    return max(1, min(TILE_CHUNKS, TILE_BYTES // max(1, chunk_bytes)))


def _wholes(partition: Partition) -> list[range] | None:
    """Per dimension, the segments that are all of their cell; None if there are no tiles."""
    if not partition.keeps_order or not partition.rank:
        return None
    wholes = []
    for s in partition.sets:
        assert isinstance(s, StridedSet)
        whole = s.whole()
        if not whole:
            return None
        wholes.append(whole)
    return wholes

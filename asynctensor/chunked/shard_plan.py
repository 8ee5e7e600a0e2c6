"""What one view wants of one shard: whole inner chunks in tiles, the others one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from asynctensor.chunked.format import ShardLayout
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.tiles import Tile, ragged, tile_limit, tiles
from asynctensor.storage.kvstore import Buffer


class ShardPlan:
    """The inner chunks of a shard that a view touches, by their C-order numbers.

    Args:
        shard: The layout.
        finer: The view's part of the shard, on the grid of its inner chunks.

    Attributes:
        wanted: Numbers of the inner chunks, sorted.
    """

    __slots__ = ("_rest", "_tiles", "wanted")

    def __init__(self, shard: ShardLayout, finer: Partition) -> None:
        inner_bytes = math.prod(shard.inner.shape) * shard.inner.dtype.itemsize
        self._tiles: list[tuple[Tile, list[int]]] = []
        self._rest: dict[int, Cell] = {}
        for tile in tiles(finer, tile_limit(inner_bytes)):
            self._tiles.append((tile, tile.numbers(shard.grid)))
        strides = [math.prod(shard.grid[d + 1 :]) for d in range(len(shard.grid))]
        for cell in ragged(finer):
            places = zip(finer.index(cell), strides, strict=True)
            self._rest[sum([k * stride for k, stride in places])] = cell
        self.wanted = sorted([*self._rest, *(n for _, numbers in self._tiles for n in numbers)])

    def tiles_in(
        self, batch: Mapping[int, Buffer | None]
    ) -> Iterator[tuple[Tile, list[Buffer | None]]]:
        """The tiles all of whose chunks are in `batch`, with their encoded bytes."""
        for tile, numbers in self._tiles:
            if numbers[0] in batch and all([number in batch for number in numbers]):
                yield tile, [batch[number] for number in numbers]

    def rest_in(self, batch: Mapping[int, Buffer | None]) -> Iterator[tuple[Cell, Buffer | None]]:
        """The chunks in `batch` that `tiles_in` leaves over."""
        for number, cell in self._rest.items():
            if number in batch:
                yield cell, batch[number]
        for tile, numbers in self._tiles:
            known = [number in batch for number in numbers]
            if any(known) and not all(known):
                for k, number in enumerate(numbers):
                    if known[k]:
                        yield tile.cell(k), batch[number]

"""Finding inner chunks of a shard, through its index and those of the shards within.

Which indexes are read, and from where, is the business of whoever asks: `find` takes them from a
function, and says which ones that function could not give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.format import ShardLayout
from asynctensor.errors import DataLoss

#: Place of the decoded index among a shard's cached inner chunks; those of the shards within
#: come before it, the first at -2.
INDEX = -1


@dataclass(frozen=True, slots=True)
class IndexPlace:
    """Where one index is.

    Attributes:
        layout: Of the shard that it is the index of.
        start: Where that shard begins, in bytes of the stored value.
        size: Length of that shard in bytes.
        number: Its place in the cache; None for those that are not kept.
    """

    layout: ShardLayout
    start: int
    size: int
    number: int | None

    @property
    def span(self) -> tuple[int, int]:
        """The bytes of the index, from start to stop.

        Raises:
            DataLoss: The shard is shorter than its index.
        """
        length = self.layout.index_size
        if self.size < length:
            raise DataLoss(f"shard has {self.size} bytes, less than its index of {length}")
        start = self.start + (self.size - length if self.layout.index_at_end else 0)
        return start, start + length


#: Gives the decoded index at a place; None if it is not at hand.
ReadIndex: TypeAlias = Callable[[IndexPlace], Array | None]


@dataclass(slots=True)
class Found:
    """What indexes say of inner chunks.

    Attributes:
        places: Where they are: (offset, length, inner).
        empty: Those that are not stored.
        unread: Indexes that are needed to tell of others.
    """

    places: list[tuple[int, int, int]] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    unread: list[tuple[IndexPlace, list[int]]] = field(default_factory=list)


def find(shard: ShardLayout, size: int, wanted: Sequence[int], read: ReadIndex) -> Found:
    """Where inner chunks are.

    Args:
        shard: The layout.
        size: Length of the stored value in bytes.
        wanted: Numbers of the inner chunks, sorted.
        read: Gives indexes.

    Raises:
        DataLoss: A shard is shorter than its index. And whatever `read` raises.
    """
    found = Found()
    numbers = np.asarray(wanted, dtype=np.int64)
    _find(IndexPlace(shard, 0, size, INDEX), numbers, numbers, read, found)
    return found


def _find(place: IndexPlace, numbers: Array, labels: Array, read: ReadIndex, found: Found) -> None:
    """Adds the chunks `numbers` of one shard, which are the inner chunks `labels` of the whole."""
    index = read(place)
    if index is None:
        found.unread.append((place, labels.tolist()))
        return
    shard = place.layout
    if shard.nested is None:
        rows = index[numbers].tolist()
        for label, (offset, length) in zip(labels.tolist(), rows, strict=True):
            if offset < 0:
                found.empty.append(label)
            else:
                found.places.append((place.start + offset, length, label))
        return
    outer, within = shard.split(numbers)
    for number in np.unique(outer).tolist():
        here = outer == number
        offset, length = index[number].tolist()
        if offset < 0:
            found.empty += labels[here].tolist()
            continue
        kept = -2 - number if place.number == INDEX else None
        part = IndexPlace(shard.nested, place.start + offset, length, kept)
        _find(part, within[here], labels[here], read, found)


def every_number(shard: ShardLayout) -> range:
    """What the cache may keep of a shard: inner chunks, and indexes."""
    indexes = 1 if shard.nested is None else 1 + math.prod(shard.index_grid)
    return range(-indexes, math.prod(shard.grid))

"""`ArraySummary`: what an array's document says, read without checking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.member import MAX_RANK
from asynctensor.storage.kvstore import Json


@dataclass(frozen=True, slots=True)
class ArraySummary:
    """What an array's document says, read without checking that the array can be opened.

    Attributes:
        shape: Shape of the array.
        dtype: Data type: its name here (``"uint16"``) where there is one, else as it is written.
        chunk_shape: What is read at once: inner chunks where there are shards; None if not known.
        shard_shape: What one key holds where there are shards, else None.
        codecs: Names of all codecs, compressors and filters, in order.
        fill_value: As it is written.
    """

    shape: tuple[int, ...] = ()
    dtype: str = ""
    chunk_shape: tuple[int, ...] | None = None
    shard_shape: tuple[int, ...] | None = None
    codecs: tuple[str, ...] = ()
    fill_value: Json = None


def read_sizes(value: Any) -> tuple[int, ...] | None:
    """A shape in a document that nobody vouches for; None if it is none."""
    if not isinstance(value, list) or len(value) > MAX_RANK:
        return None
    if not all(isinstance(n, (int, float)) and n == n // 1 >= 0 for n in value):
        return None
    return tuple(int(n) for n in value)

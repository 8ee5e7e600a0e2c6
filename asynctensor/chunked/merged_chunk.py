"""One chunk of what several processes have written in parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.fill import is_fill, same_elements
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.written_part import Box, WrittenPart
from asynctensor.storage.kvstore import whole


class Different(Exception):
    """Two parts have different elements in one place.

    Attributes:
        first, second: Which.
        box: Bounds of the elements that differ, in the chunk.
    """

    def __init__(self, first: int, second: int, box: Box) -> None:
        super().__init__(f"parts {first} and {second} differ in {box}")
        self.first, self.second, self.box = first, second, box


def merged_chunk(
    layout: ArrayLayout, values: Sequence[bytes | None], parts: Sequence[WrittenPart]
) -> bytes | None:
    """The value to store; None if nothing is to be stored.

    Takes the memory of two decoded chunks.

    Args:
        layout: That of the array.
        values: What each process has stored, with what was there before beside its part.
        parts: What each has written.

    Raises:
        Different: Two have written different elements in one place.
        DataLoss: A value is damaged.
    """
    chunk: Array = np.empty(layout.codec.shape, layout.codec.dtype)
    other: Array = np.empty_like(chunk)
    _decode(layout, values[0], chunk)
    for second in range(1, len(values)):
        _decode(layout, values[second], other)
        for first in range(second):
            for box, mask in parts[first].places(parts[second]):
                _check(chunk, other, box, mask, first, second)
        for box, mask in parts[second].pieces():
            np.copyto(chunk[box], other[box], where=True if mask is None else mask)
    if is_fill(chunk, layout.fill_value):
        return None
    return bytes(whole(layout.codec.encode(chunk)))


def _decode(layout: ArrayLayout, value: bytes | None, chunk: Array) -> None:
    if value is None:
        chunk[...] = layout.fill_value
    else:
        layout.codec.decode(value, chunk)


def _check(
    chunk: Array, other: Array, box: Box, mask: Array | None, first: int, second: int
) -> None:
    differ = ~same_elements(chunk[box], other[box])
    if mask is not None:
        differ &= mask
    if not differ.any():
        return
    bounds = []
    for at, dim in enumerate(box):
        along = np.flatnonzero(differ.any(axis=tuple(d for d in range(differ.ndim) if d != at)))
        bounds.append(slice(dim.start + int(along[0]), dim.start + int(along[-1]) + 1))
    raise Different(first, second, tuple(bounds))

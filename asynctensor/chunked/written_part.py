"""Which elements of a chunk were written: told to other processes, and told by them. Pure.

::

    part    = 0 *(first last)        ; u32, little-endian: boxes, one behind the other; of each
                                     ; dimension the first element, and the one behind the last
            | 1 zlib                 ; one bit for each element, in C order
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.update import Patch
from asynctensor.errors import InvalidArgument

_BOXES, _MASK = b"\0", b"\1"
#: So many boxes are named one by one.
_MOST_BOXES = 64

Box: TypeAlias = "tuple[slice, ...]"


def boxes_of(patches: Sequence[Patch]) -> list[Box] | None:
    """The boxes of a chunk that patches write; None if they are no boxes, or none, or too many."""
    if not 0 < len(patches) <= _MOST_BOXES:
        return None
    found: list[Box] = []
    for _, partition, cell in patches:
        box = partition.box(cell)
        if box is None or any(dim.stop >> 32 for dim in box):
            return None
        found.append(box)
    return found


def encode_boxes(boxes: Sequence[Box]) -> bytes:
    """The part that some boxes are."""
    numbers = [bound for box in boxes for dim in box for bound in (dim.start, dim.stop)]
    return _BOXES + np.array(numbers, "<u4").tobytes()


def encode_mask(mask: Array) -> bytes:
    """The part that is where `mask` is true."""
    return _MASK + zlib.compress(np.packbits(mask).tobytes(), 1)


class WrittenPart:
    """Some elements of a chunk.

    Attributes:
        boxes: They; or
        mask: where they are.
    """

    def __init__(self, boxes: Sequence[Box], mask: Array | None = None) -> None:
        self.boxes, self.mask = boxes, mask

    @staticmethod
    def whole(shape: tuple[int, ...]) -> WrittenPart:
        """All of a chunk."""
        return WrittenPart([tuple(slice(0, size) for size in shape)])

    @staticmethod
    def decode(data: bytes, shape: tuple[int, ...]) -> WrittenPart:
        """The part of a chunk of `shape` that was told.

        Raises:
            InvalidArgument: It is none.
        """
        try:
            if data[:1] == _MASK:
                return WrittenPart((), _mask(data[1:], shape))
            if data[:1] != _BOXES:
                raise ValueError("neither boxes nor bits")
            return WrittenPart(_boxes(np.frombuffer(data[1:], "<u4").tolist(), shape))
        except (ValueError, zlib.error) as error:
            raise InvalidArgument(
                f"what was written of a chunk of shape {shape} is told wrongly: {error!r}"
            ) from error

    def places(self, other: WrittenPart) -> list[tuple[Box, Array | None]]:
        """Where both have elements: boxes, and of each which elements; None: all."""
        found: list[tuple[Box, Array | None]] = []
        for one, within in self.pieces():
            for two, also in other.pieces():
                box = tuple(
                    slice(max(a.start, b.start), min(a.stop, b.stop))
                    for a, b in zip(one, two, strict=True)
                )
                if all(dim.start < dim.stop for dim in box):
                    found.append((box, _both(_part(within, one, box), _part(also, two, box))))
        return found

    def pieces(self) -> list[tuple[Box, Array | None]]:
        """Boxes, and of each which elements; None: all."""
        if self.mask is None:
            return [(box, None) for box in self.boxes]
        return [(tuple(slice(0, size) for size in self.mask.shape), self.mask)]


def _part(mask: Array | None, at: Box, box: Box) -> Array | None:
    if mask is None:
        return None
    return mask[
        tuple(slice(b.start - a.start, b.stop - a.start) for a, b in zip(at, box, strict=True))
    ]


def _both(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _mask(data: bytes, shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    size = -(-count // 8)
    # No more is unpacked than there can be.
    unpacker = zlib.decompressobj()
    bits = unpacker.decompress(data, size + 1)
    if len(bits) != size:
        raise ValueError(f"{len(bits)} bytes of bits, {size} are needed")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(np.bool_).reshape(shape)


def _boxes(numbers: Sequence[int], shape: tuple[int, ...]) -> list[Box]:
    if not shape:
        return [()]
    width = 2 * len(shape)
    boxes: list[Box] = []
    for at in range(0, len(numbers), width):
        bounds = list(
            zip(numbers[at : at + width : 2], numbers[at + 1 : at + width : 2], strict=True)
        )
        if len(bounds) != len(shape) or not all(
            0 <= start < stop <= size for (start, stop), size in zip(bounds, shape, strict=True)
        ):
            raise ValueError("a box that is not in the chunk")
        boxes.append(tuple(slice(start, stop) for start, stop in bounds))
    return boxes

"""Which part of a chunk was written, as it is told from process to process."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.chunked.written_part import WrittenPart, encode_boxes, encode_mask
from asynctensor.errors import InvalidArgument

SHAPE = (5, 7)
spans = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in SHAPE))
boxes = spans.map(lambda dims: tuple(slice(low, low + size) for low, size in dims)).filter(
    lambda box: all(dim.stop <= n for dim, n in zip(box, SHAPE, strict=True))
)


def painted(part: WrittenPart) -> np.ndarray:
    mask = np.zeros(SHAPE, np.bool_)
    for box, within in part.pieces():
        mask[box] |= True if within is None else within
    return mask


def masked(some: list[tuple[slice, ...]]) -> np.ndarray:
    mask = np.zeros(SHAPE, np.bool_)
    for box in some:
        mask[box] = True
    return mask


@settings(max_examples=200, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4), st.data())
def test_what_is_told_is_what_was_written(one, other, data) -> None:
    parts = []
    for some in (one, other):
        told = encode_mask(masked(some)) if data.draw(st.booleans()) else encode_boxes(some)
        parts.append(WrittenPart.decode(told, SHAPE))
        assert (painted(parts[-1]) == masked(some)).all()
    common = np.zeros(SHAPE, np.bool_)
    for box, within in parts[0].places(parts[1]):
        common[box] |= True if within is None else within
    assert (common == (masked(one) & masked(other))).all()


def bounds(*numbers: int) -> bytes:
    return b"\0" + struct.pack(f"<{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"\2" + bytes(16),
        b"\0" + bytes(3),
        bounds(0, 1, 0),
        bounds(0, 6, 0, 1),
        bounds(2, 2, 0, 1),
        b"\1nothing",
        b"\1" + zlib.compress(bytes(4)),
        b"\1" + zlib.compress(bytes(1 << 24)),
    ],
)
def test_what_is_told_wrongly_is_refused(told: bytes) -> None:
    with pytest.raises(InvalidArgument, match="told wrongly"):
        WrittenPart.decode(told, SHAPE)


def test_chunks_without_dimensions() -> None:
    assert WrittenPart.decode(b"\0", ()).places(WrittenPart.whole(())) == [((), None)]

"""The pieces of a copy: they cover the target once, and are made one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asynctensor.chunked.pieces import boxes


@pytest.mark.parametrize("limit", [1, 7, 24, 1000])
def test_every_element_is_in_one_piece(limit: int) -> None:
    lower, upper, origin, chunk = (-3, 2, 0), (8, 9, 5), (-4, 0, 1), (4, 3, 2)
    seen = np.zeros([u - low for low, u in zip(lower, upper, strict=True)], int)
    for piece in boxes(lower, upper, origin, chunk, limit):
        place = tuple(
            slice(s.start - low, s.stop - low) for s, low in zip(piece, lower, strict=True)
        )
        seen[place] += 1
    assert (seen == 1).all()


def test_a_target_without_dimensions_is_one_piece() -> None:
    assert list(boxes((), (), (), (), 10)) == [()]


def test_a_huge_target_is_not_listed() -> None:
    pieces = boxes((0, 0), (2, 2**60), (0, 0), (1, 100), 1000)
    assert [s[1].start for s in itertools.islice(pieces, 3)] == [0, 1000, 2000]

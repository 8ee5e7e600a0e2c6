"""Cells as boxes: all of them are covered, nothing else where it is exact, and few boxes do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.repository.boxes import Boxes

SETS = st.integers(1, 3).flatmap(
    lambda rank: st.tuples(
        st.just(rank), st.sets(st.tuples(*[st.integers(0, 5)] * rank), max_size=40)
    )
)


def cells(some: list[tuple[int, ...]], rank: int) -> np.ndarray:
    return np.array(some, np.uint64).reshape(-1, rank)


def covered(boxes: Boxes) -> list[tuple[int, ...]]:
    return [
        tuple(int(n) + low[axis] for axis, n in enumerate(at))
        for low, high in boxes.corners()
        for at in np.ndindex(*[stop - begin for begin, stop in zip(low, high, strict=True)])
    ]


@given(SETS, st.integers(1, 64), st.integers(1, 40))
def test_all_cells_are_covered(given_: tuple, limit: int, piece: int) -> None:
    rank, wanted = given_
    boxes = Boxes(rank, limit)
    some = list(wanted)
    for begin in range(0, len(some), piece):
        boxes.add(cells(some[begin : begin + piece], rank))
    found = covered(boxes)
    assert len(boxes) <= limit
    assert set(found) >= wanted
    if boxes.exact:
        assert sorted(found) == sorted(wanted)


def test_a_block_is_one_box() -> None:
    boxes = Boxes(3, 4)
    block = np.stack(np.meshgrid(*[np.arange(3, 23)] * 3, indexing="ij"), -1).reshape(-1, 3)
    rows = block[np.random.default_rng(0).permutation(len(block))].astype(np.uint64)
    for begin in range(0, len(rows), 1000):
        boxes.add(rows[begin : begin + 1000])
    assert list(boxes.corners()) == [((3, 3, 3), (23, 23, 23))]
    assert boxes.exact


def test_a_checkerboard_is_bounded() -> None:
    boxes = Boxes(2, 16)
    rows = np.array([(i, j) for i in range(400) for j in range(400) if (i + j) % 2], np.uint64)
    for begin in range(0, len(rows), 10_000):
        boxes.add(rows[begin : begin + 10_000])
    assert list(boxes.corners()) == [((0, 0), (400, 400))]
    assert not boxes.exact


def test_the_greatest_coordinates() -> None:
    last = 2**63 - 1
    boxes = Boxes(1, 1)
    boxes.add(cells([(0,), (last,)], 1))
    assert list(boxes.corners()) == [((0,), (2**63,))]

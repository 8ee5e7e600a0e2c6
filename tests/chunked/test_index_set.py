"""Points given one by one, sorted by the grid cells that they lie in."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.chunked.index_set import IndexSet


def points_of(found: IndexSet, sizes: list[int]) -> list[tuple[Any, ...]]:
    """Each point as its cell, its index in the array, and its position in the view."""
    points = []
    for i in range(found.count):
        segment = found.segment(i)
        assert segment.count > 0
        for k in range(segment.count):
            inside = [int(a[k]) for a in segment.chunk]  # type: ignore[index]
            assert all(0 <= x < size for x, size in zip(inside, sizes, strict=True))
            index = [c * s + x for c, s, x in zip(segment.cell, sizes, inside, strict=True)]
            at = tuple(int(p[k]) for p in segment.view)  # type: ignore[index]
            points.append((segment.cell, tuple(index), at))
    return points


@given(st.data())
def test_every_point_is_in_its_cell_once_and_in_order(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    sizes = data.draw(st.lists(st.integers(1, 70), min_size=rank, max_size=rank))
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    count = int(np.prod(shape))
    # Cells that take no digit, one, several together, and more than one each.
    tops = st.sampled_from([1, 50, 2**15, 2**23, 2**40, 2**61])
    indices = [
        np.array(data.draw(st.lists(st.integers(0, top - 1), min_size=count, max_size=count)))
        for top in data.draw(st.lists(tops, min_size=rank, max_size=rank))
    ]
    found = IndexSet(tuple(range(len(shape))), tuple(range(rank)), shape, indices, sizes)
    expected = [
        (
            tuple(int(a[k]) // s for a, s in zip(indices, sizes, strict=True)),
            tuple(int(a[k]) for a in indices),
            tuple(map(int, np.unravel_index(k, shape))),
        )
        for k in range(count)
    ]
    assert points_of(found, sizes) == sorted(expected, key=lambda point: point[0])
    assert all(found.touches(cell) for cell, _, _ in expected)
    finer = [max(1, s // 3) for s in sizes]
    seen = 0
    for i in range(found.count):
        part = found.within(found.segment(i), finer)
        seen += sum(part.segment(k).count for k in range(part.count))
    assert seen == count


def test_a_point_costs_few_bytes() -> None:
    count = 2**20
    random = np.random.default_rng(0)
    indices = [random.integers(0, 2**13, count) for _ in range(2)]
    tracemalloc.start()
    try:
        found = IndexSet((0,), (0, 1), (count,), indices, [256, 256])
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.count == 2**10
    # A place in the order is kept; sorting takes a digit and some more for each.
    assert kept <= 9 * count
    assert peak <= 20 * count

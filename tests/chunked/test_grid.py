"""`Partition`: random views of random arrays fall apart into chunks, and come together again."""

from __future__ import annotations

import itertools
import math
import random
import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from asynctensor.chunked.grid import Partition
from asynctensor.errors import OutOfRange
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform


@dataclass
class Map:
    """An output index map, as transforms have them."""

    offset: int = 0
    stride: int = 0
    input_dimension: int | None = None
    index_array: np.ndarray | None = None
    range: tuple[int, int] = (-(2**62), 2**62)


@dataclass
class View:
    """As much of an index transform as a partition looks at."""

    input_inclusive_min: tuple[int, ...]
    input_exclusive_max: tuple[int, ...]
    maps: list[Map] = field(default_factory=list)

    @property
    def input_shape(self) -> tuple[int, ...]:
        pairs = zip(self.input_inclusive_min, self.input_exclusive_max, strict=True)
        return tuple(high - low for low, high in pairs)

    @property
    def input_rank(self) -> int:
        return len(self.input_inclusive_min)

    def points(self) -> list[np.ndarray]:
        """Per array dimension: the index of every position of the view."""
        shape = self.input_shape
        found = []
        for m in self.maps:
            if m.index_array is not None:
                found.append(np.broadcast_to(m.offset + m.stride * m.index_array, shape))
            elif m.input_dimension is None:
                found.append(np.full(shape, m.offset))
            else:
                position = np.indices(shape)[m.input_dimension]
                low = self.input_inclusive_min[m.input_dimension]
                found.append(m.offset + m.stride * (position + low))
        return found


def random_view(chance: random.Random) -> tuple[View, list[int], list[int]]:
    """A view, the shape of the array it is of, and a chunk shape."""
    rank, out = chance.randint(0, 3), chance.randint(0, 3)
    low = tuple(chance.randint(-5, 5) for _ in range(rank))
    view = View(low, tuple(n + chance.randint(0, 6) for n in low))
    shape = [chance.randint(1, 20) for _ in range(out)]
    for o in range(out):
        kind = chance.choice("SSSCA") if rank else "C"
        if kind == "C":
            view.maps.append(Map(offset=chance.randrange(shape[o])))
        elif kind == "S":
            view.maps.append(_strided(view, shape, o, chance))
        else:
            sizes = [n if chance.random() < 0.5 else 1 for n in view.input_shape]
            numbers = np.random.default_rng(chance.randrange(2**32))
            view.maps.append(Map(0, 1, None, numbers.integers(0, shape[o], sizes)))
    return view, shape, [chance.randint(1, 7) for _ in range(out)]


def _strided(view: View, shape: list[int], o: int, chance: random.Random) -> Map:
    d, stride = chance.randrange(view.input_rank), chance.choice([1, 1, -1, 2, -3, 5])
    needed = abs(stride) * max(view.input_shape[d] - 1, 0) + 1
    shape[o] = max(shape[o], needed)
    first = chance.randint(0, shape[o] - needed) + (0 if stride > 0 else needed - 1)
    return Map(first - stride * view.input_inclusive_min[d], stride, d)


def region(index: tuple[int, ...], chunk: list[int]) -> tuple[slice, ...]:
    return tuple(slice(k * c, (k + 1) * c) for k, c in zip(index, chunk, strict=True))


def chunk_of(array: np.ndarray, index: tuple[int, ...], chunk: list[int]) -> np.ndarray:
    """A whole chunk of an array; what lies outside the array is -7."""
    full = np.full(chunk, -7)
    part = array[(*region(index, chunk), ...)]
    full[tuple(slice(0, n) for n in part.shape)] = part
    return full


def put_back(array: np.ndarray, index: tuple[int, ...], full: np.ndarray) -> None:
    part = array[(*region(index, list(full.shape)), ...)]
    part[...] = full[tuple(slice(0, n) for n in part.shape)]


@pytest.mark.parametrize("block", range(8))
def test_random_views(block: int) -> None:
    for seed in range(block * 150, (block + 1) * 150):
        chance = random.Random(seed)
        view, shape, chunk = random_view(chance)
        array = np.random.default_rng(seed).integers(0, 10**9, shape)
        partition = Partition.of(view, chunk, shape)
        indices = [partition.index(cell) for cell in partition.cells()]
        assert len(set(indices)) == len(indices) == partition.count, seed
        _check_touched(partition, set(indices), view, shape, chunk, seed)
        _check_gather(partition, view, array, chunk, chance, seed)
        _check_scatter(partition, view, shape, chunk, chance, seed)


def _check_touched(
    partition: Partition, indices: set[tuple[int, ...]], view: View, shape: list[int],
    chunk: list[int], seed: int,
) -> None:  # fmt: skip
    cells = [p.reshape(-1) // c for p, c in zip(view.points(), chunk, strict=True)]
    expected = set(zip(*(c.tolist() for c in cells), strict=True))
    if not cells and math.prod(view.input_shape):
        expected = {()}
    assert indices == expected, seed
    grid = itertools.product(*(range(-(-n // c)) for n, c in zip(shape, chunk, strict=True)))
    for index in grid:
        assert partition.touches(index) == (index in indices), (seed, index)


def _check_gather(
    partition: Partition, view: View, array: np.ndarray, chunk: list[int],
    chance: random.Random, seed: int,
) -> None:  # fmt: skip
    points = tuple(view.points())
    expected = array[points] if points else np.broadcast_to(array, view.input_shape)
    inner = [chance.choice([k for k in range(1, c + 1) if c % k == 0]) for c in chunk]
    whole, in_parts = np.full(view.input_shape, -1), np.full(view.input_shape, -1)
    filled = np.full(view.input_shape, 0)
    for cell in partition.cells():
        full = chunk_of(array, partition.index(cell), chunk)
        partition.gather(full, whole, cell)
        partition.fill(np.asarray(1), filled, cell)
        finer = partition.finer(cell, inner)
        assert sum(finer.size(part) for part in finer.cells()) == partition.size(cell), seed
        for part in finer.cells():
            finer.gather(chunk_of(full, finer.index(part), inner), in_parts, part)
        if partition.keeps_order and partition.is_whole(cell, chunk):
            data = partition.view_part(whole, cell)
            assert data is not None
            assert (data == full).all(), seed
    assert (whole == expected).all(), seed
    assert (in_parts == expected).all(), seed
    assert (filled == 1).all(), seed


def _check_scatter(
    partition: Partition, view: View, shape: list[int], chunk: list[int],
    chance: random.Random, seed: int,
) -> None:  # fmt: skip
    source = np.random.default_rng(seed + 1).integers(1, 10**9, view.input_shape)
    array = np.zeros(shape, np.int64)
    for cell in partition.cells():
        index = partition.index(cell)
        full = chunk_of(array, index, chunk)
        marks = np.zeros(chunk, np.int64)
        partition.scatter(source, full, cell)
        partition.scatter(np.ones(view.input_shape, np.int64), marks, cell)
        put_back(array, index, full)
        assert partition.is_full(cell) <= bool(marks.all()), (seed, index)
    points = tuple(view.points())
    expected = np.zeros(shape, np.int64)
    if points:
        # NumPy, too, lets the last of several values stay.
        expected[tuple(p.reshape(-1) for p in points)] = source.reshape(-1)
    elif source.size:
        expected[()] = source.reshape(-1)[-1]
    assert (array == expected).all(), seed


@pytest.mark.parametrize(
    ("key", "full"),
    [
        ((slice(0, 4), slice(0, 3)), True),
        ((slice(3, None, -1), slice(0, 3)), True),
        ((slice(0, 4), slice(0, 2)), False),
        ((slice(0, 4, 2), slice(0, 3)), False),
        ((0, slice(0, 3)), False),
        # The array ends here, but it may have grown meanwhile.
        ((slice(8, 10), slice(0, 3)), False),
    ],
)
def test_a_chunk_is_full_only_if_all_of_it_is_written(key: Any, full: bool) -> None:
    view = IndexTransform(IndexDomain(shape=[10, 3]))[key]
    partition = Partition.of(view, [4, 3], [10, 3])
    (cell,) = partition.cells()
    assert partition.is_full(cell) is full


@pytest.mark.parametrize("key", [-1, 10])
def test_index_arrays_stay_inside(key: int) -> None:
    view = View((0,), (2,), [Map(0, 1, None, np.array([3, key]))])
    with pytest.raises(OutOfRange, match=rf"index {key} .*\[0, 10\) of dimension 0"):
        Partition.of(view, [4], [10])


def test_a_plan_holds_no_million_of_anything() -> None:
    view = IndexTransform(IndexDomain(shape=[2**50, 2**20]))
    tracemalloc.start()
    try:
        partition = Partition.of(view, [64, 64], [2**50, 2**20])
        assert partition.count == 2**58
        cells = partition.cells()
        first = [partition.index(next(cells)) for _ in range(20_000)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(first)) == 20_000
    assert peak < 8 * 2**20


def test_far_points_of_a_huge_array() -> None:
    view = IndexTransform(IndexDomain(shape=[2**60]))[2**60 - 5 : 2**60 : 2]
    partition = Partition.of(view, [3], [2**60])
    found = [(partition.index(c)[0], partition.size(c)) for c in partition.cells()]
    points = [(2**60 - 5 + 2 * i) // 3 for i in range(3)]
    assert found == [(k, points.count(k)) for k in sorted(set(points))]

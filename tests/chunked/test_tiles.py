"""Tiles and ragged cells are a view's chunks, each once, and tiles lie where they say."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from asynctensor.chunked.grid import Partition
from asynctensor.chunked.rows import copy_rows, fits_in_element
from asynctensor.chunked.tiles import ragged, tiles
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.transform import IndexTransform


def random_box(chance: random.Random) -> tuple[Any, list[int], list[int]]:
    rank = chance.randint(1, 4)
    shape = [chance.randint(1, 20) for _ in range(rank)]
    chunk = [chance.randint(1, 6) for _ in range(rank)]
    bounds = [sorted((chance.randint(0, n), chance.randint(0, n))) for n in shape]
    view = IndexTransform(IndexDomain(shape=shape))[tuple(slice(a, b) for a, b in bounds)]
    return view, shape, chunk


@pytest.mark.parametrize("seed", range(60))
def test_tiles_and_ragged_cells_are_all_cells(seed: int) -> None:
    chance = random.Random(seed)
    view, shape, chunk = random_box(chance)
    array = np.random.default_rng(seed).integers(0, 10**9, shape)
    padded = np.zeros([-(-n // c) * c for n, c in zip(shape, chunk, strict=True)], np.int64)
    padded[tuple(slice(0, n) for n in shape)] = array
    partition = Partition.of(view, chunk, shape)
    expected = array[
        tuple(
            slice(a, b)
            for a, b in zip(view.input_inclusive_min, view.input_exclusive_max, strict=True)
        )
    ]
    found = np.full(expected.shape, -1)
    limit = chance.randint(1, 30)
    seen: list[tuple[int, ...]] = []
    for tile in tiles(partition, limit):
        assert tile.count == math.prod(tile.shape) <= limit
        indices = tile.indices()
        seen += indices
        chunks = np.stack([chunk_at(padded, index, chunk) for index in indices])
        region = tile.region(found)
        copy_rows(region, chunks.reshape(region.shape))
        grid = [-(-n // c) for n, c in zip(shape, chunk, strict=True)]
        numbers = [int(np.ravel_multi_index(index, grid)) for index in indices]
        assert tile.numbers(grid) == numbers
        for k, index in enumerate(indices):
            cell = tile.cell(k)
            assert partition.index(cell) == index
            assert partition.is_whole(cell, chunk)
    for cell in ragged(partition):
        assert not partition.is_whole(cell, chunk)
        seen.append(partition.index(cell))
        partition.gather(chunk_at(padded, seen[-1], chunk), found, cell)
    assert sorted(seen) == sorted(partition.index(cell) for cell in partition.cells())
    assert (found == expected).all()


def chunk_at(padded: np.ndarray, index: tuple[int, ...], chunk: list[int]) -> np.ndarray:
    return padded[tuple(slice(k * c, (k + 1) * c) for k, c in zip(index, chunk, strict=True))]


@pytest.mark.parametrize(
    "key", [(slice(0, 8, 2), slice(None)), (np.array([0, 1, 2, 3]), slice(None)), (3, slice(None))]
)
def test_only_boxes_have_tiles(key: Any) -> None:
    view = IndexTransform(IndexDomain(shape=[8, 8]))[key]
    partition = Partition.of(view, [4, 4], [8, 8])
    assert not list(tiles(partition, 16))
    assert len(list(ragged(partition))) == partition.count


def test_tiles_of_a_huge_view_are_made_one_by_one() -> None:
    view = IndexTransform(IndexDomain(shape=[2**50, 2**40]))
    partition = Partition.of(view, [64, 64], [2**50, 2**40])
    first = [t.first for t in itertools.islice(tiles(partition, 16), 3)]
    assert first == [(0, 0), (0, 16), (0, 32)]
    assert not list(ragged(partition))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f8", "c16", "O", "M8[s]"])
def test_rows_are_copied_as_they_are(dtype: str) -> None:
    source = np.arange(40 * 30 * 32).reshape(40, 30, 32).astype(dtype)
    target = np.zeros((60, 32, 30), dtype)[:40].transpose(0, 2, 1)
    copy_rows(target, source)
    assert (target == source).all()
    large = np.zeros((40, 60, 64), dtype)
    copy_rows(large[:, ::2, 16:48], source)
    assert (large[:, ::2, 16:48] == source).all()


def test_rows_longer_than_an_element_can_be() -> None:
    # NumPy's elements are below 2 GiB. Never read, these pages take no memory.
    rows = np.zeros((2, 2**31), np.uint8)
    assert not fits_in_element(rows)
    assert fits_in_element(rows[:, : 2**31 - 1])
    copy_rows(rows[:, :0], rows[:, :0])

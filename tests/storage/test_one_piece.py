"""Joining values that may lie one behind the other already."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asynctensor.storage.kvstore import Buffer
from asynctensor.storage.one_piece import in_one_piece


def data() -> np.ndarray:
    return np.arange(256, dtype=np.uint8)


def views(array: np.ndarray, *cuts: int) -> list[Buffer]:
    return [array[a:b].data for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("cuts", [(0, 10, 20), (3, 4, 5, 200, 256), (0, 256)])
def test_neighbours_are_not_copied(cuts: tuple[int, ...]) -> None:
    array = data().view("u2").reshape(4, 32)
    found = in_one_piece(views(array.reshape(-1).view(np.uint8), *cuts))
    assert np.shares_memory(np.frombuffer(found, np.uint8), array)
    assert found == bytes(range(cuts[0], cuts[-1]))


@pytest.mark.parametrize(
    "values",
    [
        views(data(), 0, 10) + views(data(), 10, 20),
        [data()[5:9].data, data()[20:30].data],
        [data()[20:30].data, data()[5:9].data],
        [data()[:0].data, data()[:9].data],
        [data()[:9].data, b""],
        [data()[:9].data, data()[:9].data],
        [data()[::-1][:1].data, b"x"],
        [b"abc", memoryview(b"defg"), bytearray(b"h")],
        [memoryview(b"abcdef")[:3], memoryview(b"abcdef")[3:]],
    ],
)
def test_whatever_they_are_they_are_joined(values: list[Buffer]) -> None:
    assert in_one_piece(values) == b"".join(values)


def test_what_is_behind_the_memory_is_never_read() -> None:
    # Two arrays that may lie one behind the other, though neither is part of the other.
    memory = bytearray(range(64))
    first, second = np.frombuffer(memory, np.uint8, 32), np.frombuffer(memory, np.uint8, 32, 32)
    assert in_one_piece([first.data, second.data]) == bytes(range(64))

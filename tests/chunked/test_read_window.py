"""The number of values under way: enough for the way, and no queue in front of it."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.chunked.read_window import ReadWindow


class Way:
    """A round trip, and a link that carries so many values per second, one after the other."""

    def __init__(self, round_trip: float, rate: float) -> None:
        self.round_trip, self.rate = round_trip, rate
        self.now = self.free = 0.0
        self.sizes: list[int] = []
        self.times: list[float] = []

    def read(self, window: ReadWindow, count: int) -> float:
        """Reads so many values; gives the seconds that it took."""
        began, room, flying = self.now, window.size, []
        while count or flying:
            while count and room > 0:
                room, count = room - 1, count - 1
                self.free = max(self.free, self.now + self.round_trip / 2) + 1 / self.rate
                heapq.heappush(flying, (self.free + self.round_trip / 2, self.now))
            self.now, since = heapq.heappop(flying)
            self.times.append(self.now - since)
            room += 1 + window.came(1, self.now - since, self.now)
            self.sizes.append(window.size)
        return self.now - began


def test_a_store_nearby_has_a_fixed_number() -> None:
    way, window = Way(0.001, 10_000), ReadWindow(8, 32)
    way.read(window, 1000)
    assert set(way.sizes) == {8}


def test_a_long_and_wide_way_gets_as_many_as_there_may_be() -> None:
    way, window = Way(0.1, 1e6), ReadWindow(8, 32)
    way.read(window, 400)
    assert window.size == 32
    # The next read begins so.
    assert ReadWindow(8, 32, window.quickest, window.size).size == 32


@pytest.mark.parametrize("holds", [4, 10, 20])
def test_a_way_is_used_up_and_little_waits_in_front_of_it(holds: int) -> None:
    way, window = Way(0.1, holds / 0.1), ReadWindow(8, 1000)
    way.read(window, 2000)
    assert window.size <= max(8, 1.6 * holds + 2)
    # Only the rounds in which it grew were slower than the way.
    assert way.now <= 2000 / way.rate + 1.0
    assert max(way.times[-100:]) <= 2.2 * way.round_trip


def test_a_way_that_gets_narrower_gets_fewer() -> None:
    way, window = Way(0.1, 1000), ReadWindow(8, 100)
    way.read(window, 2000)
    assert window.size == 100
    way.rate = 100
    way.read(window, 2000)
    assert window.size <= 18


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 10), st.floats(0, 1)), max_size=60),
    st.integers(1, 20),
    st.integers(0, 100),
    st.integers(0, 200),
)
def test_it_stays_within_its_bounds(
    events: list[tuple[int, float, float]], near: int, more: int, size: int
) -> None:
    window, now = ReadWindow(near, near + more, size=size), 0.0
    total = window.size
    for values, seconds, passed in events:
        now += passed
        total += window.came(values, seconds, now)
        assert total == window.size
        assert near <= window.size <= near + more

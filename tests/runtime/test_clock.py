from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.clock import NEVER, SYSTEM_CLOCK, Deadline


class FakeClock:
    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 100.0 + self.passed

    def time(self) -> float:
        return 5_000.0 + self.passed


def test_without_a_limit_it_is_never_over() -> None:
    assert Deadline.of() is NEVER
    assert NEVER.never
    assert not NEVER.expired()
    assert NEVER.remaining() == math.inf


@pytest.mark.parametrize(
    ("timeout", "deadline", "remaining"),
    [
        (3, None, 3),
        (None, 5_002, 2),
        (3, 5_002, 2),
        (1, 5_002, 1),
        (Fraction(1, 2), None, 0.5),
        (np.float32(0.25), None, 0.25),
        (math.inf, 5_002, 2),
        (-1, None, 0),
        (None, 1, 0),
    ],
)
def test_the_earliest_limit_wins(timeout, deadline, remaining) -> None:
    clock = FakeClock()
    limit = Deadline.of(timeout, deadline, clock=clock)
    assert limit.remaining(clock) == remaining
    assert limit.expired(clock) == (remaining == 0)
    clock.passed += 10
    assert limit.expired(clock)
    assert limit.remaining(clock) == 0


def test_infinite_limits_are_no_limits() -> None:
    assert Deadline.of(math.inf, math.inf).never


@pytest.mark.parametrize("value", [math.nan, True, False, "1", b"1", [], 1j, object()])
@pytest.mark.parametrize("name", ["timeout", "deadline"])
def test_nonsense_is_refused_by_name(name, value) -> None:
    with pytest.raises(InvalidArgument, match=f"^{name} must be a number of seconds"):
        Deadline.of(**{name: value})


def test_setting_the_clock_later_changes_nothing() -> None:
    clock = FakeClock()
    limit = Deadline.of(deadline=5_010, clock=clock)
    clock.time = lambda: 9_999_999.0
    assert limit.remaining(clock) == 10


def test_the_earlier_of_two() -> None:
    soon, late = Deadline(1.0), Deadline(2.0)
    assert soon.earlier(late) is soon
    assert late.earlier(soon) is soon
    assert late.earlier(NEVER) is late


def test_the_system_clock_goes_forward() -> None:
    assert SYSTEM_CLOCK.monotonic() <= SYSTEM_CLOCK.monotonic()
    assert SYSTEM_CLOCK.time() > 1.6e9

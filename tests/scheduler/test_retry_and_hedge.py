"""Waits grow within bounds, and second requests stay a small share."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from asynctensor.scheduler.hedge import Hedging
from asynctensor.scheduler.retry import RetryPolicy


@given(
    seed=st.integers(0, 10**6),
    asked=st.none() | st.floats(0, 100),
    remaining=st.floats(0, 1000),
)
def test_waits(seed: int, asked: float | None, remaining: float) -> None:
    policy = RetryPolicy(5, 1.0, 32.0)
    draw = random.Random(seed).uniform
    wait = 0.0
    for attempt in range(1, 8):
        found = policy.delay(attempt, wait, asked, remaining, draw)
        if found is None:
            assert attempt > 5 or remaining <= max(32.0, asked or 0.0)
            return
        assert found < remaining
        assert found >= (asked or 0.0)
        assert found >= 1.0
        assert found <= max(32.0, asked or 0.0)
        wait = found
    raise AssertionError("it never gives up")


def test_waits_differ_between_clients() -> None:
    policy = RetryPolicy()
    waits = {policy.delay(3, 4.0, None, 1e9, random.Random(k).uniform) for k in range(20)}
    assert len(waits) == 20


def test_the_share_of_second_requests_is_bounded() -> None:
    chance = random.Random(5)
    hedging = Hedging()
    assert hedging.patience() is None
    extra = 0
    for _ in range(5000):
        seconds = 1.0 if chance.random() < 0.3 else 0.03
        patience = hedging.patience()
        if patience is not None and seconds >= patience and hedging.spend():
            extra += 1
        hedging.observe(seconds)
    assert 0 < extra <= 0.05 * 5000 + 10


def test_patience_is_what_nearly_all_took() -> None:
    hedging = Hedging()
    for k in range(1000):
        hedging.observe(k % 100 / 100)
    patience = hedging.patience()
    assert patience is not None
    assert 0.95 <= patience <= 0.99

"""The gap follows latency times bandwidth, by factors of two, and not back and forth."""

from __future__ import annotations

import random

import pytest

from asynctensor.scheduler.gap import GREATEST, LEAST, PRIOR, LearntGap


def learn(latency: float, bandwidth: float, requests: int = 500) -> LearntGap:
    chance = random.Random(1)
    learnt = LearntGap()
    for _ in range(requests):
        size = chance.randrange(10_000, 4_000_000)
        learnt.observe(size, (latency + size / bandwidth) * chance.uniform(0.9, 1.1))
    return learnt


@pytest.mark.parametrize(
    ("latency", "bandwidth"), [(0.03, 100e6), (0.001, 1e9), (0.2, 20e6), (0.0001, 1e9)]
)
def test_the_estimate_is_near_the_truth(latency: float, bandwidth: float) -> None:
    learnt = learn(latency, bandwidth)
    truth = latency * bandwidth
    estimate = learnt.estimate()
    if estimate is not None:
        assert truth / 4 < estimate < truth * 4
        assert learnt.gap in (LEAST, GREATEST) or truth / 8 < learnt.gap < truth * 8


def test_within_caps() -> None:
    assert learn(1.0, 1e9).gap == GREATEST
    assert learn(1e-6, 1e8).gap in (LEAST, PRIOR)


def test_nothing_is_learnt_from_answers_of_one_size() -> None:
    learnt = LearntGap()
    for _ in range(100):
        learnt.observe(1000, 0.5)
    assert learnt.gap == PRIOR


def test_it_settles() -> None:
    learnt = learn(0.05, 50e6, 400)
    chance = random.Random(2)
    seen = set()
    for _ in range(300):
        size = chance.randrange(10_000, 4_000_000)
        learnt.observe(size, (0.05 + size / 50e6) * chance.uniform(0.9, 1.1))
        seen.add(learnt.gap)
    assert len(seen) == 1

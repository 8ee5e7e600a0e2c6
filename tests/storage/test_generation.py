"""`TimestampedStorageGeneration`."""

from __future__ import annotations

import time

from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration


def test_special_generations_are_tensorstores() -> None:
    assert (UNKNOWN, NO_VALUE) == (b"", b"\x02")
    assert TimestampedStorageGeneration() == TimestampedStorageGeneration(UNKNOWN, float("-inf"))


def test_now() -> None:
    before = time.time()
    stamp = TimestampedStorageGeneration.now(b"g")
    assert stamp.generation == b"g"
    assert before <= stamp.time <= time.time()

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.runtime.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds", "shortest"),
    [
        ("60s", 60, "1m"),
        ("90s", 90, "1m30s"),
        ("1500ms", 1.5, "1.5s"),
        ("1.5s", 1.5, "1.5s"),
        ("1h", 3600, "1h"),
        ("36h", 129600, "36h"),
        ("-1s", -1, "-1s"),
        ("+1s", 1, "1s"),
        ("0", 0, "0"),
        ("3us", 3e-6, "3us"),
        ("0.5ms", 5e-4, "500us"),
        (".5s", 0.5, "500ms"),
        ("1.s", 1, "1s"),
        ("7ns", 7e-9, "7ns"),
        ("inf", math.inf, "inf"),
        ("-inf", -math.inf, "-inf"),
        ("1h2m3.25s", 3723.25, "1h2m3.25s"),
    ],
)
def test_both_ways(text, seconds, shortest) -> None:
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == shortest


@pytest.mark.parametrize(
    "text", ["", "5", "x", "1", "1 s", "s", "1d", "--1s", "1s ", 5, None, "\u0661s"]
)
def test_what_is_no_duration(text) -> None:
    assert parse_duration(text) is None


def test_endless_texts_are_not_read() -> None:
    assert parse_duration("1" * 10_000 + "s") is None


@settings(max_examples=100)
@given(st.integers(0, 10**15))
def test_nanoseconds_survive(nanoseconds) -> None:
    assert parse_duration(format_duration(nanoseconds / 1e9)) == pytest.approx(nanoseconds / 1e9)

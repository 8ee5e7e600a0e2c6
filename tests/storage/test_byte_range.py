"""`ByteRange`: the forms of a range, and what each means for a value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.storage.byte_range import FULL, ByteRange


@settings(max_examples=200, deadline=None)
@given(st.integers(-12, 12), st.none() | st.integers(-3, 12), st.binary(max_size=10))
def test_ranges_are_slices_that_never_miss(low: int, high: int | None, value: bytes) -> None:
    try:
        byte_range = ByteRange(low, high)
    except InvalidArgument:
        assert high is not None
        assert low < 0 or high < low
        return
    try:
        start, stop = byte_range.resolve(len(value))
    except OutOfRange:
        assert low > len(value) or -low > len(value) or (high is not None and high > len(value))
        return
    assert value[start:stop] == value[low:high]
    assert 0 <= start <= stop <= len(value)


def test_what_is_full() -> None:
    assert FULL.is_full
    assert not ByteRange(1).is_full
    assert not ByteRange(0, 0).is_full


def test_text_of_an_error_names_range_and_size() -> None:
    with pytest.raises(OutOfRange, match=r"\[3, 9\).* 5 bytes"):
        ByteRange(3, 9).resolve(5)

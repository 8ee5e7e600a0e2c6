"""`KeyRange`: membership, prefixes and shifts, against the order of UTF-8 bytes."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynctensor.storage.key_range import KeyRange

TEXT = st.text(alphabet="a/\0é\ud7ff\ue000\uffff\U00010000\U0010ffff", max_size=4)
SETTINGS = settings(max_examples=200, deadline=None)


@SETTINGS
@given(TEXT, TEXT, TEXT)
def test_membership_is_the_order_of_bytes(low: str, high: str, key: str) -> None:
    inside = low.encode() <= key.encode() and (not high or key.encode() < high.encode())
    key_range = KeyRange(low, high)
    assert (key in key_range) == inside
    if key_range.empty:
        assert not inside


@SETTINGS
@given(TEXT, TEXT)
@example("\ud7ff", "\ue000")
@example("\U0010ffff", "\U0010ffff\0")
def test_a_prefix_holds_what_starts_with_it(prefix: str, key: str) -> None:
    assert (key in KeyRange.prefix(prefix)) == key.startswith(prefix)
    assert prefix + key in KeyRange.prefix(prefix)


@SETTINGS
@given(TEXT, TEXT)
def test_a_singleton_holds_one_key(one: str, key: str) -> None:
    assert (key in KeyRange.singleton(one)) == (key == one)


@SETTINGS
@given(TEXT, TEXT, TEXT, TEXT)
def test_a_range_under_a_prefix(low: str, high: str, prefix: str, key: str) -> None:
    key_range = KeyRange(low, high)
    shifted = key_range.under(prefix)
    assert (prefix + key in shifted) == (key in key_range)
    if not key.startswith(prefix):
        assert key not in shifted


@SETTINGS
@given(TEXT, TEXT, TEXT)
def test_every_key_of_a_range_has_the_common_prefix(low: str, high: str, key: str) -> None:
    key_range = KeyRange(low, high)
    if key in key_range:
        assert key.startswith(key_range.common_prefix)


@SETTINGS
@given(TEXT)
def test_the_common_prefix_of_a_prefix_range(prefix: str) -> None:
    # What ends in the greatest character has no upper bound of its own length.
    assert KeyRange.prefix(prefix).common_prefix in (prefix, prefix.rstrip("\U0010ffff"))


def test_what_is_no_key_is_in_no_range() -> None:
    assert 3 not in KeyRange()
    assert b"a" not in KeyRange()

"""Chunk keys: there and back, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.chunked.separated_keys import SeparatedKeys


@given(
    cell=st.lists(st.integers(0, 2**62), max_size=5).map(tuple),
    separator=st.sampled_from("/."),
    prefix=st.sampled_from(["c", ""]),
    hidden=st.integers(0, 1),
)
def test_there_and_back(cell: tuple[int, ...], separator: str, prefix: str, hidden: int) -> None:
    keys = SeparatedKeys(len(cell), separator, prefix, hidden)
    full = (*cell, *(0,) * hidden)
    assert keys.cell(keys.key(full)) == full


@pytest.mark.parametrize(
    ("keys", "cell", "key"),
    [
        (SeparatedKeys(2, "/", "c"), (0, 12), "c/0/12"),
        (SeparatedKeys(2, ".", "c"), (0, 12), "c.0.12"),
        (SeparatedKeys(2, "."), (0, 12), "0.12"),
        (SeparatedKeys(0, "/", "c"), (), "c"),
        (SeparatedKeys(0, "."), (), "0"),
        (SeparatedKeys(1, "/", "c", hidden=1), (3, 0), "c/3"),
    ],
)
def test_spelling(keys: SeparatedKeys, cell: tuple[int, ...], key: str) -> None:
    assert keys.key(cell) == key
    assert keys.cell(key) == cell


@pytest.mark.parametrize(
    "key",
    ["", "c", "c/0", "c/0/1/2", "c/00/1", "c/-1/1", "c/+1/1", "c/ 1/1", "c/1/", "c//1", "c.0.1",
     "0/1", "c/a/1", "c/²/1", "c/\u0661/1", f"c/0/{10**30}", "zarr.json", "c/0/1 "],
)  # fmt: skip
def test_what_is_no_key(key: str) -> None:
    assert SeparatedKeys(2, "/", "c").cell(key) is None

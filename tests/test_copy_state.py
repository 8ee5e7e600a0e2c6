"""What a copy has done, as ranges; documents that nobody vouches for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.copy_state import CopyState
from asynctensor.errors import DataLoss, FailedPrecondition


@given(st.integers(0, 40), st.lists(st.integers(0, 39), max_size=60))
def test_it_is_a_set(count: int, numbers: list[int]) -> None:
    state, known = CopyState("x", count), set()
    for number in numbers:
        if number < count:
            state.add(number)
            known.add(number)
    assert list(state.left()) == [n for n in range(count) if n not in known]
    assert state.done == len(known)
    again = CopyState.decoded(state.encoded(), "x", count)
    assert again.ranges == state.ranges
    ends = [end for each in state.ranges for end in each]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"done": None},
        {"done": [[0]]},
        {"done": [[0, 11]]},
        {"done": [[3, 3]]},
        {"done": [[4, 5], [1, 2]]},
        {"done": [[0, 2], [2, 4]]},
        {"done": [[-1, 2]]},
        {"done": [[True, 2]]},
        {"done": [[0.0, 2]]},
        {"done": {"0": 1}},
        {"more": 1},
    ],
)
def test_damage_is_told(change: dict) -> None:
    good = json.loads(CopyState("x", 10, [(1, 3)]).encoded())
    with pytest.raises(DataLoss, match="delete it to copy from the beginning"):
        CopyState.decoded(json.dumps({**good, **change}).encode(), "x", 10)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"5", b"{", b"[" * 100_000])
def test_no_document_at_all(data: bytes) -> None:
    with pytest.raises(DataLoss):
        CopyState.decoded(data, "x", 10)


def test_another_copy() -> None:
    data = CopyState("x", 10, [(1, 3)]).encoded()
    for fingerprint, count in (("y", 10), ("x", 11)):
        with pytest.raises(FailedPrecondition, match="another copy"):
            CopyState.decoded(data, fingerprint, count)

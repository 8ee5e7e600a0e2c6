"""Whatever ranges are asked for: no byte twice, no request above the cap, everybody is served."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from asynctensor.scheduler.plan import plan_ranges

spans = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1])),
    min_size=1,
    max_size=20,
)


@given(wanted=spans, gap=st.integers(0, 50), cap=st.integers(1, 200))
def test_what_always_holds(wanted: list[tuple[int, int]], gap: int, cap: int) -> None:
    plan = plan_ranges(wanted, gap, cap)
    needed = {b for start, stop in wanted for b in range(start, stop)}
    fetched = [b for start, stop in plan.spans for b in range(start, stop)]
    assert len(fetched) == len(set(fetched)) == plan.fetched
    assert needed <= set(fetched)
    assert plan.wanted == len(needed)
    assert all(0 < stop - start <= cap for start, stop in plan.spans)
    assert list(plan.spans) == sorted(plan.spans)
    for start, stop in wanted:
        parts = [plan.spans[k] for k in plan.parts((start, stop))]
        assert parts[0][0] <= start
        assert parts[-1][1] >= stop
        # They follow each other without a gap, and none is superfluous.
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        assert parts[0][1] > start
        assert parts[-1][0] < stop
    for byte in set(fetched) - needed:
        before = max(b for b in needed if b < byte)
        after = min(b for b in needed if b > byte)
        assert after - before - 1 <= gap


@given(
    pieces=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=20),
    gap=st.integers(0, 50),
    cap=st.integers(60, 200),
)
def test_ranges_that_do_not_overlap_are_not_torn_apart(
    pieces: list[tuple[int, int]], gap: int, cap: int
) -> None:
    wanted, at = [], 0
    for before, size in pieces:
        wanted.append((at + before, at + before + size))
        at += before + size
    plan = plan_ranges(wanted, gap, cap)
    assert all(len(plan.parts(span)) == 1 for span in wanted)


@given(wanted=spans, gap=st.integers(0, 50))
def test_a_gap_saves_requests_and_costs_no_more_than_is_wanted(
    wanted: list[tuple[int, int]], gap: int
) -> None:
    cap = 10**6
    fewer, more = plan_ranges(wanted, gap, cap), plan_ranges(wanted, 0, cap)
    assert len(fewer.spans) <= len(more.spans)
    needed = {b for start, stop in wanted for b in range(start, stop)}
    for start, stop in fewer.spans:
        assert stop - start <= 2 * len(needed & set(range(start, stop)))


def test_examples() -> None:
    assert plan_ranges([(0, 10), (20, 30)], 9, 100).spans == ((0, 10), (20, 30))
    assert plan_ranges([(20, 30), (0, 10)], 10, 100).spans == ((0, 30),)
    # Two islands in a sea are no continent.
    assert plan_ranges([(0, 10), (50, 60)], 10**6, 10**6).spans == ((0, 10), (50, 60))
    # Neighbours are not torn apart by the cap; one long range is.
    assert plan_ranges([(0, 60), (60, 120)], 10, 100).spans == ((0, 60), (60, 120))
    assert plan_ranges([(0, 70), (70, 120)], 10, 100).spans == ((0, 70), (70, 120))
    assert plan_ranges([(0, 250)], 10, 100).spans == ((0, 84), (84, 168), (168, 250))

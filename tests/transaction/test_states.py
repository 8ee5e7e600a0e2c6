"""The table of a transaction's moves."""

from __future__ import annotations

import itertools

from asynctensor.transaction.states import MOVES, Event, State, next_state


def test_what_is_not_in_the_table_is_refused() -> None:
    for state, event in itertools.product(State, Event):
        assert next_state(state, event) == MOVES.get((state, event))


def test_every_state_is_reached_and_ends() -> None:
    reached = {State.OPEN} | set(MOVES.values())
    assert reached == set(State)
    for final in (State.COMMITTED, State.ABORTED):
        assert {to for (state, _), to in MOVES.items() if state is final} == {final}


def test_nothing_is_staged_once_the_commit_was_asked_for() -> None:
    assert [s for s in State if next_state(s, Event.STAGE) is not None] == [State.OPEN]


def test_what_was_begun_is_finished_before_the_commit() -> None:
    stepping = [s for s in State if next_state(s, Event.STEP) is not None]
    assert stepping == [State.OPEN, State.FINISHING]
    assert next_state(State.FINISHING, Event.FINISH) is State.COMMITTING


def test_a_commit_is_not_undone() -> None:
    assert next_state(State.COMMITTING, Event.ABORT) is None
    assert next_state(State.COMMITTED, Event.ABORT) is None

"""The life of a transaction: a table of its legal moves, and nothing else.

`docs/design/states.md` draws it from here.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a transaction stands."""

    OPEN = "open"
    FINISHING = "commit waits for what was begun"
    COMMITTING = "commit started"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Event(Enum):
    """What can happen to it."""

    STAGE = "a read or write is staged"
    STEP = "an operation begun before stages its next step"
    COMMIT = "commit is asked for"
    FINISH = "all operations begun have ended"
    ABORT = "abort is asked for"
    SUCCEED = "the commit succeeded"
    FAIL = "the commit failed"


#: (state, event) -> next state. What is not here is refused.
MOVES: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.STAGE): State.OPEN,
    (State.OPEN, Event.STEP): State.OPEN,
    (State.OPEN, Event.COMMIT): State.FINISHING,
    (State.OPEN, Event.ABORT): State.ABORTED,
    (State.FINISHING, Event.STEP): State.FINISHING,
    (State.FINISHING, Event.FINISH): State.COMMITTING,
    (State.FINISHING, Event.FAIL): State.ABORTED,
    (State.COMMITTING, Event.SUCCEED): State.COMMITTED,
    (State.COMMITTING, Event.FAIL): State.ABORTED,
    # Asking again for what is so already changes nothing.
    (State.FINISHING, Event.COMMIT): State.FINISHING,
    (State.COMMITTING, Event.COMMIT): State.COMMITTING,
    (State.COMMITTED, Event.COMMIT): State.COMMITTED,
    (State.ABORTED, Event.ABORT): State.ABORTED,
}


def next_state(state: State, event: Event) -> State | None:
    """The state after `event`; None if it is not allowed in `state`."""
    return MOVES.get((state, event))

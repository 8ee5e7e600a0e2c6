"""The life of a read that the scheduler serves: a table of its legal moves, and nothing else.

`docs/design/scheduler.md` draws it from here.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a read stands."""

    ASKED = "asked"
    WAITING = "waits for its requests"
    ALONE = "asked for once more, in one piece"
    SERVED = "served"
    FAILED = "failed"
    GONE = "gone"


class Event(StrEnum):
    """What can happen to it."""

    PLAN = "the turn ends, requests are planned"
    BRING = "all that it waits for has come"
    REFUSE = "an error came"
    TEAR = "parts are of several versions, or a range merged with it is too long"
    LEAVE = "its reader leaves"


#: (state, event) -> next state.
MOVES: dict[tuple[State, Event], State] = {
    (State.ASKED, Event.PLAN): State.WAITING,
    (State.ASKED, Event.LEAVE): State.GONE,
    (State.WAITING, Event.BRING): State.SERVED,
    (State.WAITING, Event.REFUSE): State.FAILED,
    (State.WAITING, Event.TEAR): State.ALONE,
    (State.WAITING, Event.LEAVE): State.GONE,
    (State.ALONE, Event.BRING): State.SERVED,
    (State.ALONE, Event.REFUSE): State.FAILED,
    (State.ALONE, Event.LEAVE): State.GONE,
}

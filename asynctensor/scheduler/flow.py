"""What a request is made for, and the watch that times it, handed down in the task's context."""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Stopwatch:
    """How long a request is on the wire: neither waiting for its turn nor to be repeated.

    A store that asks nobody for leave is on the wire all the time.

    Attributes:
        began: When the request was made (monotonic).
        queued: Whether it has ever asked for its turn.
        since: When it was let through; None: it is not on the wire, or has not asked.
        seconds: Time on the wire of what is over.
        admissions: How often it was let through.
    """

    began: float
    queued: bool = False
    since: float | None = None
    seconds: float = 0.0
    admissions: int = 0

    def start(self, now: float) -> None:
        """It has been let through."""
        self.since = now
        self.admissions += 1

    def stop(self, now: float) -> None:
        """It is over."""
        if self.since is not None:
            self.seconds += now - self.since
            self.since = None

    def on_wire(self, now: float) -> float:
        """How long it has been on the wire without a break; 0: it is not."""
        if self.since is not None:
            return now - self.since
        return 0.0 if self.queued else now - self.began

    def total(self, now: float) -> float:
        """How long it has been on the wire in all."""
        return self.seconds + self.on_wire(now)


#: What times the request that a task makes, set by whoever wants to know.
WATCH: ContextVar[Stopwatch | None] = ContextVar("asynctensor_watch", default=None)
#: The operation on whose behalf a request is made: what fairness is between.
FLOW: ContextVar[Hashable] = ContextVar("asynctensor_flow", default=None)

"""Time: the clock that the runtime reads, and the point in time by which a call must be over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

from asynctensor.errors import InvalidArgument
from asynctensor.runtime.sources import SOURCES


class Clock(Protocol):
    """What time it is. Tests put a clock of their own in the place of `SYSTEM_CLOCK`."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch; may jump when the machine's clock is set."""
        ...


class SystemClock:
    """The clock of this process: the machine's, or that of the simulation it runs."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back."""
        return SOURCES.monotonic()

    def time(self) -> float:
        """Seconds since the Unix epoch; may jump when the machine's clock is set."""
        return SOURCES.time()

    def __repr__(self) -> str:
        return "SystemClock()"


SYSTEM_CLOCK = SystemClock()


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidArgument(
            f"{name} must be a number of seconds or None, but received: {value!r}"
        )
    seconds = float(value)
    if math.isnan(seconds):
        raise InvalidArgument(f"{name} must be a number of seconds or None, but received: nan")
    return seconds


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point of the monotonic clock by which something must be over.

    It is fixed when it is made: a Unix time is converted once, so that setting the machine's clock
    later neither shortens nor lengthens a wait.

    Attributes:
        at: Seconds of the monotonic clock; infinite: never.
    """

    at: float

    @classmethod
    def of(
        cls,
        timeout: float | None = None,
        deadline: float | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Deadline:
        """The earlier of two ways to say when.

        Args:
            timeout: Seconds from now; negative means that it is over already.
            deadline: Seconds since the Unix epoch.
            clock: Where now comes from.

        Raises:
            InvalidArgument: One of them is not a number (``nan``, a bool, a string ...).
        """
        if timeout is None and deadline is None:
            return NEVER
        now = clock.monotonic()
        at = math.inf
        if timeout is not None:
            at = now + _seconds("timeout", timeout)
        if deadline is not None:
            at = min(at, now + (_seconds("deadline", deadline) - clock.time()))
        return cls(at) if at != math.inf else NEVER

    @property
    def never(self) -> bool:
        """Whether there is no limit at all."""
        return self.at == math.inf

    def remaining(self, clock: Clock = SYSTEM_CLOCK) -> float:
        """Seconds left: 0 when it is over, infinite when there is no limit."""
        return max(0.0, self.at - clock.monotonic())

    def expired(self, clock: Clock = SYSTEM_CLOCK) -> bool:
        """Whether it is over."""
        return self.at <= clock.monotonic()

    def earlier(self, other: Deadline) -> Deadline:
        """Whichever comes first."""
        return self if self.at <= other.at else other


NEVER = Deadline(math.inf)

"""Whether and when to try again: pure.

Waits grow by decorrelated jitter (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015): each is
drawn between the base and three times the one before, up to a cap, so that clients that failed
together do not come back together. What a server asks for (``Retry-After``) is the least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Times the wait before: the greatest of the next.
_GROWTH = 3.0
#: Longest wait in seconds that a server may ask for: whoever wants more is asked no more.
LONGEST_ASKED = 600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after how long.

    Attributes:
        max_retries: Attempts beyond the first.
        initial_delay: Least wait in seconds.
        max_delay: Longest.
    """

    max_retries: int = 32
    initial_delay: float = 1.0
    max_delay: float = 32.0

    def delay(
        self,
        attempt: int,
        previous: float,
        asked: float | None,
        remaining: float,
        draw: Callable[[float, float], float],
    ) -> float | None:
        """Seconds to wait after a failed attempt; None: give up.

        Args:
            attempt: Which one failed, from 1 on.
            previous: The wait before it, 0 if there was none.
            asked: What the server asked for.
            remaining: Until the deadline of the whole operation.
            draw: ``random.uniform``, or the like.
        """
        if attempt > self.max_retries or (asked or 0.0) > LONGEST_ASKED:
            return None
        greatest = min(self.max_delay, max(self.initial_delay, previous * _GROWTH))
        wait = draw(min(self.initial_delay, greatest), greatest)
        wait = max(wait, asked or 0.0)
        return wait if wait < remaining else None

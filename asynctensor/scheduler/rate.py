"""How many requests per second: pure.

A limiter produces permits at a steady rate, or at one that doubles every so many seconds, as object
stores ask of those who begin to use a bucket (they spread its keys over more machines meanwhile). A
permit that nobody takes is kept for a tenth of a second: timers are late, but nobody saves up.

Nothing here waits, and time is an argument: `rate_gate` is the shell that does.
"""

from __future__ import annotations

import math

#: Seconds whose permits may be taken together.
_SAVED = 0.1
#: After so many doublings there is no limit worth the name, and no number that could hold it.
_DOUBLINGS = 40.0
#: Time is a floating-point number: a permit that lacks less is whole.
_ROUNDING = 1e-6


class RateLimiter:
    """The permits of one limit.

    Args:
        rate: Permits per second, to begin with; positive.
        doubling_time: Seconds in which the rate doubles; none if it is infinite or not positive.
        began: Now, in seconds of any steady clock. The first permit is there at once.
    """

    __slots__ = ("_began", "_doubling", "_rate", "_taken")

    def __init__(self, rate: float, doubling_time: float, began: float) -> None:
        self._rate = rate
        self._doubling = doubling_time if 0 < doubling_time < math.inf else 0.0
        self._began = began
        self._taken = -1.0

    def rate(self, now: float) -> float:
        """Permits per second, now."""
        if not self._doubling:
            return self._rate
        return self._rate * float(2 ** min(_DOUBLINGS, (now - self._began) / self._doubling))

    def wait(self, now: float) -> float:
        """Seconds until there is a permit; 0: there is one."""
        missing = self._floor(now) + 1.0 - self._produced(now)
        if missing <= _ROUNDING:
            return 0.0
        return max(1e-6, self._when(self._floor(now) + 1.0) - now)

    def take(self, now: float) -> None:
        """Takes a permit, which is there."""
        self._taken = self._floor(now) + 1.0

    def _floor(self, now: float) -> float:
        """Permits that are gone: taken, or kept for too long."""
        saved = max(1.0, _SAVED * self.rate(now))
        return max(self._taken, self._produced(now) - saved)

    def _produced(self, now: float) -> float:
        """Permits since the beginning: the integral of the rate."""
        passed = now - self._began
        if not self._doubling:
            return self._rate * passed
        scale = self._rate * self._doubling / math.log(2)
        steps = passed / self._doubling
        growing = float(scale * (2 ** min(_DOUBLINGS, steps) - 1.0))
        rest = max(0.0, steps - _DOUBLINGS) * self._doubling
        return growing + rest * self.rate(now)

    def _when(self, permits: float) -> float:
        """When so many will have been produced: `_produced` turned round."""
        if not self._doubling:
            return self._began + permits / self._rate
        scale = self._rate * self._doubling / math.log(2)
        steps = math.log2(permits / scale + 1.0)
        # Beyond the last doubling, there are more than anybody can take.
        return self._began + min(steps, _DOUBLINGS) * self._doubling

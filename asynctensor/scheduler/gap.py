"""How many unwanted bytes cost as much as one request, learnt from the requests of a store: pure.

A request of n bytes takes about ``latency + n / bandwidth``. Two ranges are better requested as one
if the gap between them is less than ``latency * bandwidth``. Both come from a line fitted to the
recent requests, weighted towards the newest (least squares over exponentially fading sums).
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Where nothing is known yet: what obstore takes (``OBJECT_STORE_COALESCE_DEFAULT``).
PRIOR = 2**20
#: Least and greatest gap: below, a header is as long; above, one slow answer holds up too much.
LEAST, GREATEST = 16 * 2**10, 8 * 2**20
#: What each further request leaves of the weight of those before it.
_FADING = 0.98
#: Requests before the first change.
_WARM_UP = 20
#: The estimate must be so many times the gap, or less than one over that, for the gap to move.
_HYSTERESIS = 3.0


@dataclass(slots=True)
class LearntGap:
    """The gap of one store.

    Attributes:
        gap: Unwanted bytes to request at most rather than make one more request.
    """

    gap: int = PRIOR
    _count: int = 0
    _weight: float = 0.0
    _sums: list[float] = field(default_factory=lambda: [0.0] * 4)

    def observe(self, size: int, seconds: float) -> None:
        """Takes in one request that was neither slowed down nor repeated.

        Args:
            size: Bytes of its answer.
            seconds: From its first byte sent to the last received.
        """
        x, y, sums = float(size), seconds, self._sums
        self._count += 1
        self._weight = self._weight * _FADING + 1.0
        sums[0] = sums[0] * _FADING + x
        sums[1] = sums[1] * _FADING + y
        sums[2] = sums[2] * _FADING + x * x
        sums[3] = sums[3] * _FADING + x * y
        if self._count >= _WARM_UP:
            self._move()

    def estimate(self) -> float | None:
        """``latency * bandwidth`` in bytes; None where the requests do not tell the two apart."""
        if self._weight <= 0:
            return None
        mean_x, mean_y, mean_xx, mean_xy = (s / self._weight for s in self._sums)
        spread = mean_xx - mean_x * mean_x
        # All of about one size: no line goes through them.
        if spread <= (0.1 * mean_x) ** 2:
            return None
        seconds_per_byte = (mean_xy - mean_x * mean_y) / spread
        latency = mean_y - seconds_per_byte * mean_x
        if seconds_per_byte <= 0 or latency <= 0:
            return None
        return latency / seconds_per_byte

    def _move(self) -> None:
        wanted = self.estimate()
        if wanted is None:
            return
        if wanted > _HYSTERESIS * self.gap:
            self.gap = min(GREATEST, self.gap * 2)
        elif wanted < self.gap / _HYSTERESIS:
            self.gap = max(LEAST, self.gap // 2)

"""How many values a large read has under way: pure.

From a store nearby the number is fixed. To one far away it grows to a half more than the way
holds: what comes in a second, times the seconds that the quickest value took (the bandwidth-delay
product; N. Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016). Of
fewer, the way is not used up. More come no sooner: they only wait in front of its narrowest place,
and whatever else is read from the same store waits behind them.

As long as the number itself is what limits the read, so many come in the time that one takes: it
grows by half in each round, until something else is the limit.
"""

from __future__ import annotations

from collections import deque
from typing import Final

#: Times what the way holds.
_GAIN: Final = 1.5
#: Seconds: a store whose values come sooner is near, and what it is limited by is this machine.
NEAR: Final = 0.02
#: Measurements that count together: values come in bursts, and no burst is a wider way.
_MEASURED: Final = 3


class ReadWindow:
    """The number for one read.

    Args:
        near: How many from a store nearby, and at the least.
        most: How many at most.
        quickest: Seconds that the quickest value took in earlier reads; 0: not known.
        size: The number with which an earlier read ended; 0: there was none.

    Attributes:
        size: The number.
        quickest: Seconds that the quickest value took.
    """

    __slots__ = ("_came", "_measured", "_most", "_near", "_since", "quickest", "size")

    def __init__(self, near: int, most: int, quickest: float = 0.0, size: int = 0) -> None:
        self._near, self._most = near, max(near, most)
        self.size = min(self._most, max(near, size))
        self.quickest = quickest
        #: Since when values are counted: since some came; and how many have come since.
        self._since: float | None = None
        self._came = 0
        self._measured: deque[tuple[int, float]] = deque(maxlen=_MEASURED)

    @property
    def is_far(self) -> bool:
        """Whether the store is far away, as far as is known."""
        return self.quickest >= NEAR

    def came(self, values: int, seconds: float, now: float) -> int:
        """Takes in that values have come.

        Args:
            values: How many.
            seconds: Since they were asked for.
            now: Seconds of any steady clock.

        Returns:
            By how many more there may be now; negative: by how many fewer.
        """
        self.quickest = min(self.quickest or seconds, seconds)
        if self._since is None:
            self._since = now
            return 0
        self._came += values
        passed = now - self._since
        if self.quickest < NEAR or passed < self.quickest:
            return 0
        self._measured.append((self._came, passed))
        self._came, self._since = 0, now
        before = self.size
        rate = sum([n for n, _ in self._measured]) / sum([t for _, t in self._measured])
        wanted = round(_GAIN * rate * self.quickest)
        self.size = min(self._most, max(self._near, wanted))
        return self.size - before

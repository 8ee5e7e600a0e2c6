"""When a second request for the same bytes is worth it: pure.

A few answers of every store come very late, for no reason that has to do with the request. A read
that has waited longer than nearly all others took is asked for once more, and the first answer
counts (J. Dean, L. Barroso, "The Tail at Scale", CACM 56(2), 2013). A budget keeps the extra
requests to a small share, also when everything is slow.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

#: Answers that are remembered.
_WINDOW = 500
#: ... and needed before anything is asked for twice.
_WARM_UP = 50
#: The share of answers that are quicker than the wait before a second request.
_QUANTILE = 0.98
#: Extra requests per request.
_SHARE = 0.05
#: Extra requests that may be saved up.
_SAVED = 10.0


class Hedging:
    """The waits of one store, and the extra requests it may still make."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._credit = 0.0

    def observe(self, seconds: float) -> None:
        """Takes in how long a request took until its answer."""
        if len(self._recent) == _WINDOW:
            oldest = self._recent.popleft()
            del self._sorted[self._sorted.index(oldest)]
        self._recent.append(seconds)
        insort(self._sorted, seconds)
        self._credit = min(_SAVED, self._credit + _SHARE)

    def patience(self) -> float | None:
        """Seconds to wait before asking again; None: never."""
        if len(self._recent) < _WARM_UP:
            return None
        return self._sorted[int(_QUANTILE * (len(self._sorted) - 1))]

    def spend(self) -> bool:
        """Whether one more request may be made; it counts as made."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

"""When a second request for the same bytes is worth it: pure.

A few answers of every store come very late, for no reason that has to do with the request. A read
that has waited longer than nearly all others took is asked for once more, and the first answer
counts (J. Dean, L. Barroso, "The Tail at Scale", CACM 56(2), 2013). A budget keeps the extra
requests to a small share, also when everything is slow.

Only time on the wire counts (`flow.Stopwatch`), and only reads of about the same size are compared:
who waits for his turn, or for sixteen megabytes, is not helped by asking again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

#: Answers that are remembered.
_WINDOW = 500
#: ... and needed before anything is asked for twice.
_WARM_UP = 50
#: The share of answers that are quicker than the wait before a second request.
_QUANTILE = 0.98
#: Extra requests per request: what the paper found to be enough.
SHARE = 0.05
#: Extra requests that may be saved up.
_SAVED = 10.0


@dataclass(slots=True)
class _Window:
    """How long the latest answers of about one size took, in their order and sorted."""

    recent: deque[float] = field(default_factory=deque)
    ordered: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        if len(self.recent) == _WINDOW:
            oldest = self.recent.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
        self.recent.append(seconds)
        insort(self.ordered, seconds)


class Hedging:
    """The waits of one store, and the extra requests it may still make.

    Args:
        share: Extra requests per request, at most.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._windows: dict[int, _Window] = {}
        self._credit = 0.0

    def observe(self, seconds: float, size: int | None = None) -> None:
        """Takes in how long a request took until its answer.

        Args:
            seconds: On the wire.
            size: Bytes that it asked for; None: all there are.
        """
        self._windows.setdefault(_size_class(size), _Window()).add(seconds)
        self._credit = min(_SAVED, self._credit + self._share)

    def patience(self, size: int | None = None) -> float | None:
        """Seconds on the wire after which to ask again for so many bytes; None: never."""
        window = self._windows.get(_size_class(size))
        if window is None or len(window.recent) < _WARM_UP:
            return None
        return window.ordered[int(_QUANTILE * (len(window.ordered) - 1))]

    def spend(self) -> bool:
        """Whether one more request may be made; it counts as made."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True


def _size_class(size: int | None) -> int:
    """Up to 256 KiB latency is nearly all; beyond that, sizes within a factor of four are alike."""
    return -1 if size is None else max(0, size - 1).bit_length() // 2 - 9 if size > 2**18 else 0

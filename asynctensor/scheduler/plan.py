"""Which byte ranges of one object to request, so that everybody gets theirs: pure.

Ranges that lie close together are requested as one, if the bytes between them cost less than a
request of their own. Four things hold whatever is asked for: no byte is requested twice, no
request is longer than the cap, every byte that is wanted is requested, and of what is requested in
one piece at least half is wanted (far apart in a large object, even cheap gaps add up: random reads
of 64 KiB in 64 MiB fetched fifteen times what they needed).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

#: Unwanted bytes between two ranges that cost about as much as a request of their own. Requests go
#: side by side, so that a further one costs neither a round trip nor a connection, but the work of
#: sending and reading it: some 0.1 ms, in which a fast link brings 64 KiB (docs/design/sweep.md).
GAP = 128 * 2**10
#: A half-open range of absolute byte positions; never empty.
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RangePlan:
    """The requests for some wanted ranges.

    Attributes:
        spans: What to request: disjoint, in order.
        wanted: Bytes that are wanted, each counted once.
    """

    spans: tuple[Span, ...]
    wanted: int

    @property
    def fetched(self) -> int:
        """Bytes that are requested."""
        return sum(stop - start for start, stop in self.spans)

    def parts(self, wanted: Span) -> range:
        """Which of `spans`, in order, hold a wanted range."""
        starts = [start for start, _ in self.spans]
        first = bisect_right(starts, wanted[0]) - 1
        last = bisect_right(starts, wanted[1] - 1) - 1
        return range(first, last + 1)


def plan_ranges(wanted: Sequence[Span], gap: int, cap: int) -> RangePlan:
    """Plans requests for ranges of one object.

    Args:
        wanted: What is wanted, in any order; ranges may overlap.
        gap: Bytes that nobody wants between two ranges that are requested all the same, at most.
        cap: Longest request, in bytes; at least 1.
    """
    spans: list[Span] = []
    needed = 0
    begin = end = useful = 0
    last_wanted = -1
    for start, stop in sorted(wanted):
        new = max(0, stop - max(start, last_wanted))
        needed += new
        last_wanted = max(last_wanted, stop)
        if spans or end:
            near = start <= end + gap and max(end, stop) - begin <= 2 * (useful + new)
            # Ranges that overlap belong together; where none do, none is torn apart by the cap.
            fits = start < end or max(end, stop) - begin <= cap
            if near and fits:
                end = max(end, stop)
                useful += new
                continue
            spans += _cut(begin, end, cap)
        begin, end, useful = start, stop, new
    if end:
        spans += _cut(begin, end, cap)
    return RangePlan(tuple(spans), needed)


def _cut(start: int, stop: int, cap: int) -> list[Span]:
    """A range in as few requests of about the same length as the cap allows."""
    count = -(-(stop - start) // cap)
    size = -(-(stop - start) // count)
    return [(at, min(at + size, stop)) for at in range(start, stop, size)]

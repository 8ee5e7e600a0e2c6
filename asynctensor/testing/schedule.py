"""Which of several tasks goes next: seeded, pure.

Two ways of choosing, and each seed picks one of them and how it is done:

- *evenly*: any that can run, each as likely as the other;
- *by priority*: the highest that can run, where each has a random priority when it first appears,
  and now and then the one that runs falls below all others. (S. Burckhardt et al., "A Randomized
  Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010: of the bugs that need `d`
  ordering constraints, a run finds each with a probability that does not depend on the number of
  interleavings.) Nobody waits for ever: a task that was passed over too often runs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

#: Chances that the running task falls behind, of which a seed picks one: from a handful of changes
#: in a world of a few thousand steps to one in five.
_FALLS = (0.001, 0.005, 0.02, 0.05, 0.2)
#: How often a task is passed over before it runs.
_PATIENCE = 300


class Schedule:
    """Chooses among lanes, which are numbered from 0 on as they appear.

    Args:
        seed: The same seed and the same questions give the same answers.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"schedule {seed}")  # noqa: S311 -- not for secrets
        self._evenly = self._chance.random() < 0.4
        self._fall = self._chance.choice(_FALLS)
        self._priorities: dict[int, float] = {}
        self._passed: dict[int, int] = {}
        self._lowest = 0.0

    def choose(self, lanes: Sequence[int]) -> int:
        """The position in `lanes`, all of which can run, of the one that goes next."""
        count = len(lanes)
        if count == 1:
            return 0
        if self._evenly:
            return int(self._chance.random() * count)
        priorities = self._priorities
        for lane in lanes:
            if lane not in priorities:
                priorities[lane] = self._chance.random()
        best = max(range(count), key=lambda at: priorities[lanes[at]])
        best = self._overdue(lanes, best)
        if self._chance.random() < self._fall:
            self._lowest -= 1.0
            priorities[lanes[best]] = self._lowest
        return best

    def _overdue(self, lanes: Sequence[int], best: int) -> int:
        passed = self._passed
        passed.pop(lanes[best], None)
        for at, lane in enumerate(lanes):
            if at == best:
                continue
            times = passed[lane] = passed.get(lane, 0) + 1
            if times > _PATIENCE:
                passed[lane] = 0
                return at
        return best

    def forget(self, lane: int) -> None:
        """A lane will not come back."""
        self._priorities.pop(lane, None)
        self._passed.pop(lane, None)

    def pause(self, longest: float) -> float:
        """Up to so many seconds."""
        return self._chance.random() * longest

    def __repr__(self) -> str:
        return f"Schedule({'evenly' if self._evenly else f'by priority, {self._fall} falls'})"

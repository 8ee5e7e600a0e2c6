"""What was found so far while a repository is verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from asynctensor.errors import Error
from asynctensor.kvstores.repo.damage import Damage, DamageKind

#: Damages that are told one by one; others are counted.
MOST_TOLD = 10_000

Tell = Callable[[int], Awaitable[None]]


class Findings:
    """Counts what was looked at, and keeps what is damaged.

    Args:
        tell: Awaited now and then with the number of things that were looked at.

    Attributes:
        counts: How many of each kind were looked at; and ``"bytes"``.
        damages: What is damaged, as far as it is told.
        damaged: How much is.
    """

    def __init__(self, tell: Tell | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.damages: list[Damage] = []
        self.damaged = 0
        self._tell = tell
        self._done = 0

    def add(self, damage: Damage) -> None:
        """Adds something that is damaged."""
        self.damaged += 1
        if len(self.damages) < MOST_TOLD:
            self.damages.append(damage)

    def failed(
        self, kind: DamageKind, object: str, error: Error, commit: str | None = None
    ) -> None:
        """Adds something that could not be read."""
        self.add(Damage(kind, object, error.message, commit=commit))

    async def looked(self, kind: str, count: int = 1, size: int = 0) -> None:
        """Counts what was looked at."""
        self.counts[kind] += count
        self.counts["bytes"] += size
        self._done += count
        if self._tell is not None:
            await self._tell(self._done)

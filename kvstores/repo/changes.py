"""What the commits of a tail come to: the last word on each key that they touched. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import merged, without
from asynctensor.kvstores.repo.tail import Applied, Tail, Version
from asynctensor.kvstores.repo.tree import Pages
from asynctensor.storage.key_range import KeyRange

#: Runs of parts that are read side by side.
_AHEAD = 8


class Changes:
    """What the commits of a tail come to, by space.

    Attributes:
        runs: The last word on each key.
        families: The families that were written to.
        cleared: Ranges that are emptied before that.
    """

    def __init__(self) -> None:
        self.runs: dict[bytes, Run] = {}
        self.families: dict[bytes, Family] = {}
        self.cleared: list[KeyRange] = []

    def __len__(self) -> int:
        return sum(map(len, self.runs.values()))

    def add(self, applied: Applied) -> None:
        """Adds the next commit, but for its parts: add their runs behind it."""
        entry = applied.entry
        self.families.update((family.id, family) for family in entry.families)
        if entry.cleared:
            self.cleared += entry.cleared
            for space, run in self.runs.items():
                self.runs[space] = without(run, entry.cleared, self.families.get(space))
        self.add_runs(entry.runs, applied.version)

    def add_runs(self, runs: Iterable[Run], version: Version) -> None:
        """Adds runs of a commit."""
        for run in runs:
            stamped = run.stamped(version)
            older = self.runs.get(run.space)
            self.runs[run.space] = (
                stamped if older is None else merged(stamped, older, keep_deleted=True)
            )


def changes_of(tail: Tail, count: int) -> Pages[Changes]:
    """What the first `count` commits of a tail come to, their parts included."""
    changes = Changes()
    for applied in tail.applied[:count]:
        changes.add(applied)
        parts = [page for part in applied.entry.parts for page in part.pages()]
        for start in range(0, len(parts), _AHEAD):
            pages = yield [*parts[start : start + _AHEAD]]
            changes.add_runs((page.entries for page in pages), applied.version)
    return changes

"""What the commits of a tail come to: the last word on each key that they touched. Pure."""

from __future__ import annotations

from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.run import Run, merged, without
from asynctensor.kvstores.repo.tail import Applied
from asynctensor.storage.key_range import KeyRange


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

    def add(self, applied: Applied) -> None:
        """Adds the next commit."""
        entry = applied.entry
        self.families.update((family.id, family) for family in entry.families)
        if entry.cleared:
            self.cleared += entry.cleared
            for space, run in self.runs.items():
                self.runs[space] = without(run, entry.cleared, self.families.get(space))
        for run in entry.runs:
            stamped = run.stamped(applied.version)
            older = self.runs.get(run.space)
            self.runs[run.space] = (
                stamped if older is None else merged(stamped, older, keep_deleted=True)
            )

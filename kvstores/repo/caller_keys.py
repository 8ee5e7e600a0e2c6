"""Callers' keys: which commit bore one, so that what is tried again is not done twice (R9). Pure.

A caller's key is forever: of all transactions that bear it, one is committed to a branch, whatever
became of the process that tried first. They stand in a tree of each checkpoint, and behind it in
the tail; a reset does not undo them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asynctensor.kvstores.repo.family import CALLER_KEYS
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.ref import Ref, Version
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.tree import Pages, find


@dataclass(slots=True)
class CallerKeys:
    """The keys of the commits of a branch.

    Attributes:
        root: Of the tree of a checkpoint; None: none bore a key up to there.
        since: Keys of the commits behind it.
    """

    root: PageRef | None = None
    since: dict[str, Version] = field(default_factory=dict)

    def find(self, key: str) -> Pages[Version | None]:
        """The commit that bore a key; None: none did."""
        if key in self.since:
            return self.since[key]
        ref = yield from find(self.root, key.encode())
        return None if ref is None else ref.version

    def behind(self, version: Version) -> dict[str, Version]:
        """The keys of commits behind a version."""
        return {key: each for key, each in self.since.items() if each > version}


def run_of(keys: Mapping[str, Version], until: Version) -> Run:
    """What the commits up to a version add to the tree."""
    added = [(key.encode(), each) for key, each in keys.items() if each <= until]
    return Run.of(CALLER_KEYS, [(key, Ref.of_inline(b"", each)) for key, each in added])

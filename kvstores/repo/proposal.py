"""What a transaction asks of the log, and what it got."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.tail import Version


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction that is ready to be committed: all objects that it names are stored (R3).

    Attributes:
        entry: What will stand in the log.
        footing: What must still hold then, judged from slot ``entry.base`` on (R2).
        abort: Instead of the commit, put its abort into the log (R4).
        alone: Nothing at all may have been committed since the base.
        closes: Instead of the commit, close the log (R23).
    """

    entry: CommitEntry
    footing: Footing = field(default_factory=Footing)
    abort: bool = False
    alone: bool = False
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Landed:
    """An outcome that stands in the log.

    Attributes:
        version: Where.
        committed: Whether it is the commit; else it is the abort.
    """

    version: Version
    committed: bool

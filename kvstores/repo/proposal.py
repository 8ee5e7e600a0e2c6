"""What a transaction asks of the log, and what it got."""

from __future__ import annotations

from dataclasses import dataclass, field

from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.part_ref import PartRef
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.tail import Version


@dataclass(frozen=True, slots=True)
class PartReads:
    """What one part rests on.

    Attributes:
        part: The part, which says it exactly.
        coarse: The same or more, in short.
    """

    part: PartRef
    coarse: ReadSet


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction that is ready to be committed: all objects that it names are stored (R3).

    Attributes:
        entry: What will stand in the log.
        footing: What must still hold then, judged from slot ``entry.base`` on (R2).
        abort: Instead of the commit, put its abort into the log (R4).
        alone: Nothing at all may have been committed since the base.
        closes: Instead of the commit, close the log (R23).
        seen: The slot up to which it saw everything, if that is behind its base.
        reads: What the parts of the entry rest on, by themselves.
    """

    entry: CommitEntry
    footing: Footing = field(default_factory=Footing)
    abort: bool = False
    alone: bool = False
    closes: bool = False
    reads: tuple[PartReads, ...] = ()
    seen: int = -1


@dataclass(frozen=True, slots=True)
class Landed:
    """An outcome that stands in the log.

    Attributes:
        version: Where.
        committed: Whether it is the commit; else it is the abort.
        earlier: Whether it is another commit, which bore the same caller's key.
    """

    version: Version
    committed: bool
    earlier: bool = False

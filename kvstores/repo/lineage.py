"""Which log holds which slot of a branch: its own, or those of the branches it was forked from."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.kvstores.repo.tail import Version

#: A place behind every entry of a record.
LAST = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Lineage:
    """A branch, and where it comes from.

    Attributes:
        branch: The branch's id.
        fork: The last commit that it shares with its origin; ``(0, 0)`` if it has none.
        digest: Of the origin's record at the fork; empty if it has none.
        origin: The branch that it was forked from.
    """

    branch: str
    fork: Version = (0, 0)
    digest: bytes = b""
    origin: Lineage | None = None

    def at(self, seq: int) -> Lineage:
        """The branch in whose log slot `seq` is."""
        found = self
        while found.origin is not None and seq <= found.fork[0]:
            found = found.origin
        return found

    def last_place(self, seq: int) -> int:
        """The last entry of record `seq` that belongs to this branch: forks may cut one off."""
        last = LAST
        found = self
        while found.origin is not None and seq <= found.fork[0]:
            if seq == found.fork[0]:
                last = min(last, found.fork[1])
            found = found.origin
        return last

    def whole(self, seq: int) -> int:
        """The last slot, up to `seq`, of whose record all entries belong to this branch."""
        while seq and self.last_place(seq) != LAST:
            seq -= 1
        return seq

    def reaches(self, branch: str, version: Version) -> bool:
        """Whether a commit of `branch` is a commit of this branch, too."""
        limit: Version = (2**63, 0)
        found: Lineage | None = self
        while found is not None:
            if found.branch == branch:
                return version <= limit
            limit = min(limit, found.fork)
            found = found.origin
        return False

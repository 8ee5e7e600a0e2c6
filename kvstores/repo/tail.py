"""What was committed since a checkpoint: looked up before the checkpoint's index is asked. Pure.

A tail only grows, so that any number of snapshots can share one: each sees the first so many of
its commits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from asynctensor.kvstores.repo.caller_keys import CallerKeys
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.neighbours import refs_at, rows_of
from asynctensor.kvstores.repo.page import PageRef
from asynctensor.kvstores.repo.part_ref import PartPage
from asynctensor.kvstores.repo.part_table import PartTable
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.storage.key_range import KeyRange

#: A record, and a place among its entries.
Version: TypeAlias = tuple[int, int]

_NOTHING: dict[bytes, list[tuple[int, Ref | None]]] = {}
#: Runs up to this length are looked up by key, longer ones by bisection.
_SMALL = 256


class Elsewhere(Enum):
    """The answer of a tail that knows nothing of a key."""

    ELSEWHERE = "elsewhere"


ELSEWHERE: Final = Elsewhere.ELSEWHERE


@dataclass(frozen=True, slots=True)
class Roots:
    """The index of a checkpoint.

    Attributes:
        documents: Root of the tree of documents.
        catalog: Root of the tree that names the trees of the families.
    """

    documents: PageRef | None = None
    catalog: PageRef | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """A commit as it stands in a tail."""

    version: Version
    entry: CommitEntry


@dataclass(frozen=True, slots=True)
class Instead:
    """Another tail that is read where pages below one are lost.

    Attributes:
        tail: The other tail.
        since: The first version of which it has the state.
        offset: How many commits more it has, before those that both have.
    """

    tail: Tail
    since: Version
    offset: int


class Tail:
    """The commits after a checkpoint, oldest first.

    Attributes:
        roots: The checkpoint's index.
        base: The version that the checkpoint is of.
        applied: The commits.
    """

    def __init__(self, roots: Roots, base: Version, applied: Iterable[Applied] = ()) -> None:
        self.roots = roots
        self.base = base
        self.applied: list[Applied] = []
        #: About how many bytes its records have.
        self.size = 0
        #: The same without the newest commit.
        self.size_before_last = 0
        #: The reset that this state began with, if it did.
        self.reset_at: Version | None = None
        #: Roots of the families' trees in the checkpoint, as far as they were looked up.
        self.family_roots: dict[bytes, PageRef | None] = {}
        self._versions: list[Version] = []
        self._small: dict[bytes, dict[bytes, list[tuple[int, Ref | None]]]] = {}
        self._large: dict[bytes, list[tuple[int, Run]]] = {}
        #: How many changes stand in parts.
        self.in_parts = 0
        self._parts: dict[bytes, list[tuple[int, PartTable]]] = {}
        self._cleared: list[int] = []
        #: What is read where pages of the checkpoint are lost.
        self.instead: Instead | None = None
        #: What commits up to now bore, also such as a reset undid.
        self.keys = CallerKeys()
        #: Whether it stands for one below which pages are lost: a fold writes them anew.
        self.mended = False
        for each in applied:
            self.append(each)

    def __len__(self) -> int:
        return len(self.applied)

    def append(self, new: Applied) -> None:
        """Adds a commit; those who see fewer do not see it."""
        if self.instead is not None:
            self.instead.tail.append(new)
        place = len(self.applied)
        self.applied.append(new)
        self._versions.append(new.version)
        if new.entry.cleared:
            self._cleared.append(place)
        self.size_before_last = self.size
        self.size += 64
        for run in new.entry.runs:
            self.size += 6 * len(run) + len(run.inline)
            if len(run) > _SMALL:
                self._large.setdefault(run.space, []).append((place, run))
                continue
            keys = self._small.setdefault(run.space, {})
            for key, ref in run.items():
                keys.setdefault(key, []).append((place, ref))
        if new.entry.caller_key is not None:
            self.keys.since.setdefault(new.entry.caller_key, new.version)
        self.in_parts += sum(part.count for part in new.entry.parts)
        for space, table in PartTable.of(new.entry.parts).items():
            self._parts.setdefault(space, []).append((place, table))

    def stands_for(self, version: Version, count: int) -> tuple[Tail, int]:
        """The tail to read a state by that sees `count` commits of this one, and its count there.

        Args:
            version: That of the state.
            count: How many commits of this tail it sees.
        """
        instead = self.instead
        if instead is None or version < instead.since:
            return self, count
        return instead.tail.stands_for(version, instead.offset + count)

    def count_at(self, version: Version) -> int:
        """How many of the commits a snapshot of `version` sees."""
        return bisect_right(self._versions, version)

    def find(
        self, space: bytes, key: bytes, spelled: str, count: int
    ) -> tuple[Version, Ref | None] | Elsewhere:
        """What the newest of the first `count` commits that touched a key left there.

        Parts are not looked into: `lookup.recent` does that.

        Returns:
            The version of that commit, and the reference, or None if it deleted the key.
        """
        place, ref = self.find_place(space, key, spelled, count)
        return ELSEWHERE if place < 0 else (self._versions[place], ref)

    def version(self, place: int) -> Version:
        """The version of a commit."""
        return self._versions[place]

    def parts_with(
        self, space: bytes, key: bytes, count: int, since: int
    ) -> Iterator[tuple[int, list[PartPage]]]:
        """The parts that may have a key, by commit: of the first `count`, the newest first.

        Args:
            space: The key's space.
            key: The key in it.
            count: How many commits are seen.
            since: The first commit of interest.
        """
        for place, table in reversed(self._parts.get(space, ())):
            if place < since:
                return
            if place < count and (pages := table.candidates(key)):
                yield place, pages

    def parts(self, space: bytes, count: int) -> list[PartPage]:
        """All parts of the first `count` commits that have keys of a space."""
        tables = self._parts.get(space, ())
        return [page for place, table in tables if place < count for page in table.pages]

    def find_place(
        self, space: bytes, key: bytes, spelled: str, count: int
    ) -> tuple[int, Ref | None]:
        """As `find`, with the place of the commit in the tail; -1: none touched the key."""
        place, ref = -1, None
        known = self._small.get(space, _NOTHING).get(key)
        if known is not None:
            at = bisect_left(known, count, key=lambda each: each[0]) - 1
            if at >= 0:
                place, ref = known[at]
        for other, run in reversed(self._large.get(space, ())):
            if other <= place:
                break
            if other < count and (i := run.find(key)) >= 0:
                place, ref = other, run.ref(i)
                break
        for other in reversed(self._cleared):
            if other <= place:
                break
            if other < count and any(spelled in r for r in self.applied[other].entry.cleared):
                return other, None
        return place, ref

    def find_together(
        self, space: bytes, keys: Sequence[bytes], count: int
    ) -> list[tuple[Version, Ref | None] | Elsewhere] | None:
        """As `find` for keys of one family; None where each takes a look of its own.

        That is where some of them are in small commits, or where parts or cleared ranges count.
        """
        small = self._small.get(space, _NOTHING)
        if self._parts.get(space) or self._cleared or not small.keys().isdisjoint(keys):
            return None
        found: list[tuple[Version, Ref | None] | Elsewhere] = [ELSEWHERE] * len(keys)
        for place, run in reversed(self._large.get(space, ())):
            left = [i for i, each in enumerate(found) if each is ELSEWHERE]
            if place >= count or not left:
                continue
            version = self._versions[place]
            rows = rows_of(run, [keys[i] for i in left])
            for i, row, ref in zip(left, rows, refs_at(run, rows), strict=True):
                if row >= 0:
                    found[i] = version, ref
        return found

    def touched(self, space: bytes, count: int) -> set[bytes]:
        """The keys of a space that the first `count` commits wrote or deleted one by one."""
        keys = self._small.get(space, _NOTHING)
        found = {key for key, places in list(keys.items()) if places[0][0] < count}
        for place, run in self._large.get(space, ()):
            if place < count:
                found.update(run.key(i) for i in range(len(run)))
        return found

    def cleared(self, count: int) -> list[KeyRange]:
        """The ranges that the first `count` commits emptied."""
        return [
            each
            for place in self._cleared
            if place < count
            for each in self.applied[place].entry.cleared
        ]

    def families(self, count: int) -> dict[bytes, Family]:
        """The families that the first `count` commits wrote to, by their ids."""
        return {f.id: f for each in self.applied[:count] for f in each.entry.families}

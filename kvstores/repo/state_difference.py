"""What differs between two states: their trees where those differ, with their tails laid over.

A state is its trees, less what its tail cleared, and over that the last word of its tail on each
key. So a key is in one of three cases, each looked at by itself:

* a tail has a word on it: it is looked up in the tree of the side that has none;
* it lies in a range that a tail cleared: the trees are read there, also where they are equal;
* neither: it differs exactly if the trees differ, and pages that they share are not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from asynctensor.errors import DataLoss
from asynctensor.kvstores.repo.changes import Changes, changes_of
from asynctensor.kvstores.repo.difference import Difference, compared, difference
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.listing import families
from asynctensor.kvstores.repo.lookup import Found, family_root
from asynctensor.kvstores.repo.page import Page, PageRef
from asynctensor.kvstores.repo.part import PartLeaf
from asynctensor.kvstores.repo.part_ref import PartPage, Span
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.run_layers import contained, merged, without
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.state_rows import bounds
from asynctensor.kvstores.repo.tree import find_many, scan
from asynctensor.storage.key_range import KeyRange

#: Keys of a tail that are looked up at once.
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class _Side:
    """One state, as far as one space of it goes.

    Attributes:
        snapshot: The state.
        recent: The last word of its tail.
        cleared: Ranges in which its tree holds nothing any more.
        root: Its tree; None if that is empty, or cleared altogether.
    """

    snapshot: Snapshot
    recent: Run
    cleared: tuple[KeyRange, ...]
    root: PageRef | None
    family: Family | None

    async def stored(self, keys: Run) -> Run:
        """Those of `keys` that its tree still holds."""
        rows = await self.snapshot.pages.run(find_many(self.root, keys.keys))
        return self.standing(rows)

    def standing(self, rows: Run) -> Run:
        """Those rows of its tree that the tail did not clear."""
        return without(rows, self.cleared, self.family)

    async def at(self, keys: Run) -> Run:
        """What it holds at `keys`, which ascend."""
        mine = _shared(self.recent, keys)
        rest = keys.take(~contained(keys, mine))
        return merged(mine, await self.stored(rest), keep_deleted=False)


@dataclass(frozen=True, slots=True)
class LostPart:
    """A part of a commit that is missing or damaged, as far as one space goes.

    Attributes:
        span: The keys that it had there, in short.
        error: What is wrong with it.
    """

    span: Span
    error: DataLoss


class StateDifference:
    """What differs in two states.

    A value is the same in both if it has the same checksum and size, and was written by the same
    commit, stands at the same place, or is inline.

    Args:
        one: A state.
        other: Another.
    """

    def __init__(self, one: Snapshot, other: Snapshot) -> None:
        self._snapshots = (one, other)
        self._changes: tuple[Changes, Changes] | None = None
        #: Parts of commits of the tails that are missing or damaged: what each had keys of.
        self.lost: list[LostPart] = []

    async def look(self) -> None:
        """Reads what the tails come to, which everything else needs.

        Parts of commits that are missing or damaged are passed over, and are in `lost` then.

        Raises:
            DataLoss: The index is damaged.
            Error: The store failed.
        """
        await self._both()

    def lost_in(self, space: bytes, key: bytes | None = None) -> DataLoss | None:
        """What is wrong with a part that may have had a key of a space, or any; None: nothing."""
        for each in self.lost:
            if each.span.space == space and (key is None or each.span.may_hold(key)):
                return each.error
        return None

    async def _both(self) -> tuple[Changes, Changes]:
        """What the tails come to; parts of their commits are read for it, once."""
        if self._changes is None:
            one, other = [await self._changes_of(each) for each in self._snapshots]
            self._changes = (one, other)
        return self._changes

    async def _changes_of(self, snapshot: Snapshot) -> Changes:
        tail = snapshot.tail
        spans = {
            (part.object, index): span
            for applied in tail.applied[: snapshot.count]
            for part in applied.entry.parts
            for index, span in enumerate(part.spans)
        }

        def instead(ref: PageRef, error: DataLoss) -> Page:
            if not isinstance(ref, PartPage):
                raise error
            span = spans[ref.object, ref.index]
            self.lost.append(LostPart(span, error))
            return PartLeaf(Run.of(span.space, ()))

        return await snapshot.pages.run(changes_of(tail, snapshot.count), instead)

    async def families(self) -> AsyncIterator[Family]:
        """The families in which something may differ, each once; those of lost parts, too."""
        touched: dict[bytes, Family] = {}
        for changes in await self._both():
            touched.update(changes.families)
            for key_range in changes.cleared:
                for snapshot in self._snapshots:
                    async for family in families(snapshot, key_range):
                        touched[family.id] = family
        for family in sorted(touched.values(), key=lambda each: each.key):
            yield family
        one, other = self._snapshots
        steps = difference(one.tail.roots.catalog, other.tail.roots.catalog)
        async for found in one.pages.stream(steps):
            for i in range(len(found.one)):
                family = Family.from_key(found.one.key(i).decode())
                if family.id not in touched:
                    yield family

    async def space(self, family: Family | None) -> AsyncIterator[Difference]:
        """What differs in a family, or of the documents, in pieces of some ten thousand keys.

        Args:
            family: The family; None for documents.

        Raises:
            DataLoss: An index is damaged.
            Error: The store failed.
        """
        sides = (await self._side(0, family), await self._side(1, family))
        touched = merged(sides[0].recent, sides[1].recent, keep_deleted=True)
        for start in range(0, len(touched), _PIECE):
            keys = touched.part(start, min(start + _PIECE, len(touched)))
            found = compared(await sides[0].at(keys), await sides[1].at(keys))
            if found is not None:
                yield found
        cleared = _disjoint([*sides[0].cleared, *sides[1].cleared])
        steps = difference(sides[0].root, sides[1].root)
        async for each in self._snapshots[0].pages.stream(steps):
            keep = ~contained(each.one, _shared(touched, each.one))
            keep &= contained(each.one, without(each.one, cleared, family))
            if keep.any():
                yield Difference(each.one.take(keep), each.other.take(keep))
        for key_range in cleared:
            async for each in _in_cleared(sides, key_range, touched):
                yield each

    async def _side(self, number: int, family: Family | None) -> _Side:
        changes, snapshot = (await self._both())[number], self._snapshots[number]
        tail = snapshot.tail
        space = DOCUMENTS if family is None else family.id
        recent = changes.runs.get(space)
        if recent is None:
            recent = Run.of(space, ())
        everything = KeyRange() if family is None else KeyRange.prefix(family.prefix)
        cleared = tuple(r for r in changes.cleared if not r.intersection(everything).empty)
        if any(r.intersection(everything) == everything for r in cleared):
            return _Side(snapshot, recent, (), None, family)
        root = tail.roots.documents
        if family is not None:
            root = await snapshot.pages.run(family_root(tail, family))
        return _Side(snapshot, recent, cleared, root, family)


async def _in_cleared(
    sides: tuple[_Side, _Side], key_range: KeyRange, touched: Run
) -> AsyncIterator[Difference]:
    """What differs in a range that a tail cleared, but for what a tail has a word on."""
    one, other = sides
    first, last = bounds(key_range, one.family)
    for side in sides:
        if side is other and one.root == other.root:
            return
        async for rows in side.snapshot.pages.stream(scan(side.root, first, last)):
            inside = rows.take(~contained(rows, without(rows, [key_range], side.family)))
            inside = inside.take(~contained(inside, _shared(touched, inside)))
            if side is one:
                found = compared(one.standing(inside), await other.stored(inside))
            else:
                there = await one.snapshot.pages.run(find_many(one.root, inside.keys))
                new = inside.take(~contained(inside, there))
                found = compared(None, other.standing(new))
            if found is not None:
                yield found


def same_value(one: Found, other: Found) -> bool:
    """Whether two references of one key stand for the same value; see `StateDifference`."""
    (version, ref), (other_version, other_ref) = one, other
    if (ref.crc, ref.size) != (other_ref.crc, other_ref.size):
        return False
    same_place = (ref.object, ref.offset) == (other_ref.object, other_ref.offset)
    return version == other_version or same_place


def _shared(run: Run, keys: Run) -> Run:
    """The rows of `run` whose keys are among `keys`."""
    if not len(run) or not len(keys):
        return run.part(0, 0)
    near = run.part(*run.between(keys.key(0), keys.key(len(keys) - 1) + b"\0"))
    return near.take(contained(near, keys))


def _disjoint(ranges: Sequence[KeyRange]) -> list[KeyRange]:
    """Ranges that have the same keys, ascending, and no key twice."""
    return list(_united(sorted(ranges, key=lambda each: each.inclusive_min)))


def _united(ranges: Sequence[KeyRange]) -> Iterator[KeyRange]:
    held: KeyRange | None = None
    for each in ranges:
        if held is None:
            held = each
        elif held.exclusive_max and each.inclusive_min > held.exclusive_max:
            yield held
            held = each
        elif held.exclusive_max and (
            not each.exclusive_max or each.exclusive_max > held.exclusive_max
        ):
            held = KeyRange(held.inclusive_min, each.exclusive_max)
    if held is not None:
        yield held

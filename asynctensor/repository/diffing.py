"""`Repository.diff`: what differs in two states, in the terms of arrays and groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import DataLoss
from asynctensor.index_space.domain import IndexDomain
from asynctensor.kvstores.repo.damage import LostPage
from asynctensor.kvstores.repo.difference import Difference
from asynctensor.kvstores.repo.family import DOCUMENTS, Family, coordinates
from asynctensor.kvstores.repo.named_state import NamedState, named_state
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.state_difference import StateDifference
from asynctensor.repository.boxes import Boxes
from asynctensor.repository.changes import (
    ArrayChange,
    Change,
    ChangeKind,
    ChunkCounts,
    ChunksChange,
    Diff,
    DocumentChange,
    GroupChange,
)
from asynctensor.repository.node_pairs import NodePair, NodePairs
from asynctensor.repository.regions import MOST_REGIONS, Regions, numbers_of
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.listing import Listing, ListingIterator

#: Directories with numbers for names that are looked into, in one piece of keys of one family.
_MOST_NUMBERED = 256


class Diffing:
    """What differs in two states: ``await`` gives a `Diff`, ``async for`` one change after another.

    Each looks again. Pages of the index that both states share are not read, nor is any chunk. An
    iteration holds some regions of each array that differs and the keys of documents that do, and
    nothing else that grows.
    """

    __slots__ = ("_a", "_b", "_state")

    def __init__(self, state: RepositoryState, a: str, b: str) -> None:
        self._state, self._a, self._b = state, a, b

    def __aiter__(self) -> ListingIterator[Change]:
        return aiter(Listing(self._found))

    def __await__(self) -> Generator[Any, None, Diff]:
        return self.all().__await__()

    def all(self, *, timeout: float | None = None, deadline: float | None = None) -> Future[Diff]:
        """All of it.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of it. It fails with `NotFound` if one of the states does not exist, and with
            `DataLoss` if something is lost that it takes.
        """
        return start(self._all, timeout=timeout, deadline=deadline)

    def result(self, timeout: float | None = None, deadline: float | None = None) -> Diff:
        """Blocks until all is there; see `Future.result`."""
        return self.all().result(timeout, deadline)

    async def _all(self) -> Diff:
        one = await named_state(self._state, self._a)
        other = await named_state(self._state, self._b)
        changes = [each async for each in _Comparison(self._state, one, other).changes()]
        return Diff(one.id, other.id, changes)

    async def _found(self) -> AsyncIterator[Change]:
        one = await named_state(self._state, self._a)
        other = await named_state(self._state, self._b)
        async for each in _Comparison(self._state, one, other).changes():
            yield each


class _Comparison:
    """One look at two states.

    Where pages of an index are lost, the states are read through other checkpoints, or the log, and
    looked at anew. What is lost for good is passed over, so that all that can be told is, and
    raised in the end.
    """

    def __init__(self, state: RepositoryState, one: NamedState, other: NamedState) -> None:
        self._sides = [one.snapshot, other.snapshot]
        self._nodes = NodePairs(state, one.snapshot, other.snapshot)
        #: Families of which it is not known what differs, and documents.
        self._lost: dict[Family, DataLoss] = {}
        self._lost_documents: list[DataLoss] = []
        self._begin()

    def _begin(self) -> None:
        self._difference = StateDifference(*self._sides)
        self._regions: dict[str, Regions] = {}
        self._strays: dict[Family, tuple[Boxes, ChunkCounts]] = {}

    async def changes(self) -> AsyncIterator[Change]:
        """All changes: arrays whose metadata differs as they are found, then the others.

        Raises:
            DataLoss: Something is lost; all that does not depend on it was given.
        """
        await self._gather()
        async for change in self._told():
            if not (isinstance(change, ArrayChange) and self._is_hidden(change.path)):
                yield change
        for family, (boxes, counts) in self._strays.items():
            domains = tuple(
                IndexDomain(inclusive_min=low, exclusive_max=high) for low, high in boxes.corners()
            )
            yield ChunksChange(family.prefix, family.separator, counts, domains, boxes.exact)
        for error in (*self._lost.values(), *self._lost_documents):
            raise error

    def _is_hidden(self, path: str) -> bool:
        """Whether the array there, if there is one, may have chunks that are not known."""
        return any(
            path in _directories(family.prefix) or f"{path}/".startswith(family.prefix)
            for family in self._lost
        )

    async def _gather(self) -> None:
        """Looks at all families."""
        while True:
            self._begin()
            family: Family | None = None
            try:
                async for each in self._difference.families():
                    lost = self._difference.lost_in(each.id)
                    if lost is not None:
                        self._lost.setdefault(each, lost)
                    if each in self._lost:
                        continue
                    family = each
                    async for found in self._difference.space(each):
                        await self._chunks(each, found)
                    family = None
            except DataLoss as error:
                if await self._mended(error):
                    continue
                if family is None:
                    raise
                self._lost[family] = error
            else:
                return

    async def _told(self) -> AsyncIterator[Change]:
        """Changes of documents, and of arrays whose chunks alone differ."""
        given: set[str] = set()
        while True:
            try:
                async for found in self._difference.space(None):
                    for key, kind in _documents(found):
                        lost = self._difference.lost_in(
                            DOCUMENTS, key.encode("utf-8", "surrogatepass")
                        )
                        if key not in given and lost is None:
                            given.add(key)
                            for change in await self._document(key, kind):
                                yield change
                lost = self._difference.lost_in(DOCUMENTS)
                if lost is not None:
                    self._lost_documents.append(lost)
                break
            except LostPage as error:
                if not await self._mended(error):
                    raise
                self._difference = StateDifference(*self._sides)
        for path, regions in self._regions.items():
            pair = await self._array_at(path)
            if pair is not None:
                yield _array(pair, "changed", regions)

    async def _array_at(self, path: str) -> NodePair | None:
        try:
            return next((pair for pair in await self._nodes.at(path) if pair.array), None)
        except DataLoss as error:
            self._lost_documents.append(error)
            return None

    async def _mended(self, error: DataLoss) -> bool:
        """Whether the states can be read through something else than what is lost."""
        if not isinstance(error, LostPage):
            return False
        sides = list(self._sides)
        try:
            # Which of them had the page is not known.
            for at, side in enumerate(self._sides):
                again = None if side.reopened is None else await side.reopened(side)
                sides[at] = side if again is None else again
            difference = StateDifference(*sides)
            await difference.look()
        except DataLoss:
            return False
        known = {each.error.key for each in self._difference.lost}
        if any(each.error.key not in known for each in difference.lost):
            # What one family would gain, others would lose.
            return False
        mended = sides != self._sides
        self._sides = sides
        return mended

    # -- chunks -----------------------------------------------------------------------------

    async def _chunks(self, family: Family, found: Difference) -> None:
        cells = coordinates(found.one.keys, family.rank)  # type: ignore[arg-type]
        left = np.ones(len(cells), np.bool_)
        for path in _directories(family.prefix):
            if await self._taken(path, cells, found, left, 0):
                return
        for count in range(1, family.rank):
            numbered = np.unique(cells[left][:, :count], axis=0)
            if len(numbered) > _MOST_NUMBERED:
                break
            for numbers in numbered:
                path = family.prefix + family.separator.join(map(str, numbers.tolist()))
                if family.separator == "/":
                    inside = left & (cells[:, :count] == numbers).all(axis=1)
                    if await self._taken(path, cells, found, inside, count):
                        left &= ~inside
            if not left.any():
                return
        boxes, counts = self._strays.get(family) or (
            Boxes(family.rank, MOST_REGIONS),
            ChunkCounts(),
        )
        boxes.add(cells[left])
        created, deleted = found.one.deleted[left], found.other.deleted[left]
        made, gone = int(created.sum()), int(deleted.sum())
        counts += ChunkCounts(made, int(left.sum()) - made - gone, gone)
        self._strays[family] = boxes, counts

    async def _taken(
        self,
        path: str,
        cells: NDArray[np.uint64],
        found: Difference,
        rows: NDArray[np.bool_],
        skipped: int,
    ) -> bool:
        """Whether the array at a path has the chunks of these rows, which are added to it then."""
        rank = cells.shape[1] - skipped
        for pair in await self._nodes.at(path):
            fitting = [
                each if each is not None and numbers_of(each) == rank else None
                for each in (pair.summary(0), pair.summary(1))
            ]
            if fitting == [None, None]:
                continue
            regions = self._regions.setdefault(path, Regions(*fitting))
            regions.add(
                cells[rows][:, skipped:], found.one.deleted[rows], found.other.deleted[rows]
            )
            return True
        return False

    # -- documents --------------------------------------------------------------------------

    async def _document(self, key: str, kind: ChangeKind) -> list[Change]:
        directory, _, name = key.rpartition("/")
        changes: list[Change] = []
        known = False
        try:
            for pair in await self._nodes.at(directory):
                if name not in pair.format.documents:
                    continue
                known = True
                if await self._nodes.speaks(pair, name):
                    changes += _node_changes(pair, self._regions)
        except DataLoss as error:
            self._lost_documents.append(error)
            return []
        return changes if known else [DocumentChange(key, kind)]


def _documents(found: Difference) -> Iterator[tuple[str, ChangeKind]]:
    made, gone = found.one.deleted.tolist(), found.other.deleted.tolist()
    for i in range(len(found.one)):
        key = found.one.key(i).decode("utf-8", "surrogatepass")
        yield key, "created" if made[i] else "deleted" if gone[i] else "changed"


def _directories(prefix: str) -> Iterator[str]:
    """Where the array may be whose keys begin with `prefix`: nearest first."""
    path = prefix.rpartition("/")[0]
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path


def _node_changes(pair: NodePair, regions: dict[str, Regions]) -> Iterator[Change]:
    before, after = pair.nodes
    kinds = {node.kind for node in pair.nodes if node is not None}
    for kind in sorted(kinds):
        was = before if before is not None and before.kind == kind else None
        there = after if after is not None and after.kind == kind else None
        how: ChangeKind = "created" if was is None else "deleted" if there is None else "changed"
        if kind == "array":
            yield _array(pair, how, regions.pop(pair.path, None))
        else:
            yield GroupChange(
                pair.path,
                how,
                pair.format.driver,
                was.attributes if was is not None else {},
                there.attributes if there is not None else {},
            )


def _array(pair: NodePair, kind: ChangeKind, regions: Regions | None) -> ArrayChange:
    before, after = pair.nodes
    return ArrayChange(
        pair.path,
        kind,
        pair.format.driver,
        pair.summary(0),
        pair.summary(1),
        before.attributes if before is not None and before.kind == "array" else {},
        after.attributes if after is not None and after.kind == "array" else {},
        regions.counts if regions is not None else ChunkCounts(),
        regions.domains() if regions is not None else (),
        regions.exact if regions is not None else True,
    )

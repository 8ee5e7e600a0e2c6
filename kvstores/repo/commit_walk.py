"""The commits of a state, from the newest backwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from asynctensor.kvstores.repo.family import DOCUMENTS
from asynctensor.kvstores.repo.lineage import LAST, Lineage
from asynctensor.kvstores.repo.record import CommitEntry, Record
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.tail import Version
from asynctensor.kvstores.repo.tree import Pages

#: Records that are read side by side.
_AHEAD = 32


@dataclass(frozen=True, slots=True)
class WalkedCommit:
    """A commit, and where it stands.

    Attributes:
        id: Its id.
        parents: The ids of the commits before it.
        time: Microseconds since the Unix epoch.
        entry: The commit itself.
        documents: The documents of its parts.
    """

    id: str
    parents: tuple[str, ...]
    time: int
    entry: CommitEntry
    documents: tuple[Run, ...] = ()


class CommitWalk:
    """Gives the commits of a state in pieces.

    Args:
        state: The repository.
        source: A branch, a tag, or the id of a commit.
    """

    def __init__(self, state: RepositoryState, source: str) -> None:
        self._state = state
        self._source = source
        self._lineage: Lineage | None = None
        self._next: Version = (0, 0)
        self._held: WalkedCommit | None = None

    async def more(self) -> list[WalkedCommit]:
        """The next commits, newest first; none: that is all.

        Raises:
            NotFound: There is no such state.
            DataLoss: A record is damaged or missing.
            Error: The store failed.
        """
        found: list[WalkedCommit] = []
        if self._lineage is None:
            self._lineage, self._next = await self._state.find_state(self._source)
        while not found and self._next[0] > 0:
            found = await self._records(self._lineage)
        if self._next[0] <= 0 and self._held is not None:
            found.append(self._held)
            self._held = None
        return [await self._with_documents(each) for each in found]

    async def _with_documents(self, walked: WalkedCommit) -> WalkedCommit:
        wanted = [
            page
            for part in walked.entry.parts
            for span, page in zip(part.spans, part.pages(), strict=True)
            if span.space == DOCUMENTS
        ]

        def read() -> Pages[tuple[Run, ...]]:
            pages = yield [*wanted]
            return tuple(page.entries for page in pages)

        if not wanted:
            return walked
        return replace(walked, documents=await self._state.pages.run(read()))

    async def _records(self, lineage: Lineage) -> list[WalkedCommit]:
        seq, place = self._next
        seqs = range(seq, max(0, seq - _AHEAD), -1)
        slots = await asyncio.gather(*(self._state.history.slot(lineage, each) for each in seqs))
        found: list[WalkedCommit] = []
        for record in slots:
            reset = self._record(lineage, record, place, found)
            if reset is not None:
                self._next = reset
                return found
            place = LAST
        self._next = (seqs[-1] - 1, LAST)
        return found

    def _record(
        self, lineage: Lineage, record: Record, last: int, found: list[WalkedCommit]
    ) -> Version | None:
        """Adds the commits of a record; where a reset leads to, if there is one."""
        last = min(last, lineage.last_place(record.seq))
        entries = list(enumerate(record.entries))[: last + 1]
        for place, entry in reversed(entries):
            if not isinstance(entry, CommitEntry):
                continue
            name = snapshot_id(lineage.at(record.seq).branch, (record.seq, place))
            if self._held is not None:
                found.append(self._with_parent(name))
            self._held = WalkedCommit(name, (), record.time, entry)
            if entry.kind == "reset" and entry.target is not None:
                _, seq, at = entry.target
                return (seq, at)
        return None

    def _with_parent(self, parent: str) -> WalkedCommit:
        held = self._held
        assert held is not None
        return WalkedCommit(held.id, (parent,), held.time, held.entry)

"""Older states: through the nearest checkpoint, and the records behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from asynctensor.errors import DataLoss, NotFound, Unimplemented
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.lineage import LAST, Lineage
from asynctensor.kvstores.repo.log import read_slot
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.record import CommitEntry, Record
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tail import Applied, Instead, Roots, Tail, Version
from asynctensor.runtime.loop_lock import LoopLock

#: Records that are asked for side by side.
_AHEAD = 64

_log = logging.getLogger(__name__)


class History:
    """Reads states of one repository by their versions.

    Args:
        place: Where the repository is.
        pages: Where pages of the index come from.
    """

    def __init__(self, place: Place, pages: PageCache) -> None:
        self._place = place
        self._pages = pages
        #: Checkpoints of which pages are lost, by branch and slot: the log is read instead.
        self._lost: set[tuple[str, int]] = set()
        self._turn = LoopLock()

    async def checkpoint(self, lineage: Lineage, seq: int) -> Checkpoint | None:
        """The newest checkpoint of slot `seq` or an earlier one that can be read; None: none.

        One that is damaged is passed over, as the log says the same.

        Raises:
            Error: The store failed.
        """
        # A checkpoint is of a whole record.
        seq = lineage.whole(seq)
        found: Lineage | None = lineage.at(seq)
        while found is not None:
            async for at in self._checkpoints(found.branch, seq):
                if (found.branch, at) in self._lost:
                    continue
                held = await self.readable_checkpoint(found, at)
                if held is not None:
                    return held
            seq = lineage.whole(found.fork[0])
            found = found.origin
        return None

    async def _checkpoints(self, branch: str, seq: int) -> AsyncIterator[int]:
        """The slots, `seq` and before, that a branch has checkpoints of; newest first."""
        ordered = self._place.store.capabilities.lists_in_order
        others: list[int] = []
        async for entry in self._place.names(objects.checkpoint_prefix(branch)):
            at = objects.seq_of(entry.key)
            if at is None or not 0 < at <= seq:
                continue
            if ordered:
                yield at
            else:
                others.append(at)
        for at in sorted(others, reverse=True):
            yield at

    async def readable_checkpoint(self, lineage: Lineage, seq: int) -> Checkpoint | None:
        """The checkpoint of that slot; None, with a warning, if it is damaged."""
        try:
            return await self.checkpoint_at(lineage, seq)
        except DataLoss as error:
            _log.warning("A checkpoint is damaged; the log is read instead: %s", error)
            return None

    async def checkpoint_at(self, lineage: Lineage, seq: int) -> Checkpoint | None:
        """The checkpoint of exactly that slot; None if there is none.

        Raises:
            DataLoss: It is damaged, or is that of another slot.
            Error: The store failed.
        """
        branch = lineage.at(seq).branch
        name = objects.checkpoint(branch, seq)
        body = await self._place.get(name)
        if body is None:
            return None
        found = Checkpoint.decode(body, object=self._place.key(name))
        if (found.branch, found.seq) != (branch, seq):
            raise DataLoss(
                f"the checkpoint says that it is of {found.branch} {found.seq}",
                key=self._place.key(name),
            )
        return found

    async def tail_at(self, lineage: Lineage, version: Version) -> Tail:
        """The state after a commit, as a tail that ends there.

        Raises:
            NotFound: There is no such commit.
            DataLoss: A record or a checkpoint is missing or damaged.
            Error: The store failed.
        """
        seq, place = version
        # A checkpoint is of a whole record.
        held = await self.checkpoint(lineage, seq if place == LAST else seq - 1)
        tail = tail_of(held)
        for start in range(tail.base[0] + 1, seq + 1, _AHEAD):
            seqs = range(start, min(start + _AHEAD, seq + 1))
            records = await asyncio.gather(*(self.slot(lineage, each) for each in seqs))
            for record in records:
                tail = await self.extended(lineage, tail, record, version)
        return tail

    async def slot(self, lineage: Lineage, seq: int) -> Record:
        """The record in a slot that must be filled.

        Raises:
            NotFound: It is not, and none behind it is.
            DataLoss: It is damaged, or gone.
            Error: The store failed.
        """
        branch = lineage.at(seq).branch
        record = await read_slot(self._place, branch, seq)
        if record is not None:
            return record
        if await self._was_filled(branch, seq):
            raise DataLoss(
                f"record {seq} of branch {lineage.branch} is gone: what came behind it is there",
                key=self._place.key(objects.log_slot(branch, seq)),
            )
        raise NotFound(f"branch {lineage.branch} has no record {seq}")

    async def _was_filled(self, branch: str, seq: int) -> bool:
        """Whether there is a record behind a slot, or a checkpoint of it or a later one."""
        ordered = self._place.store.capabilities.lists_in_order
        for prefix, least in (
            (objects.log_prefix(branch), seq + 1),
            (objects.checkpoint_prefix(branch), seq),
        ):
            with suppress(Unimplemented):
                async for entry in self._place.names(prefix):
                    found = objects.seq_of(entry.key)
                    if found is not None and found >= least:
                        return True
                    if ordered and found is not None:
                        break
        return False

    async def durable(self, lineage: Lineage, seq: int) -> Record:
        """The record in a slot that must be filled, once it and all before it survive a crash.

        Raises:
            NotFound: It is not filled.
            Unavailable: It may not survive.
            DataLoss, Error: It cannot be read, or the store failed.
        """
        record = await self.slot(lineage, seq)
        name = objects.log_slot(lineage.at(seq).branch, seq)
        await self._place.confirm(name, record.encode())
        return record

    async def commit(self, lineage: Lineage, version: Version) -> CommitEntry:
        """The commit of a version.

        Raises:
            NotFound: There is none.
        """
        seq, place = version
        entries = (await self.slot(lineage, seq)).entries
        found = entries[place] if place < len(entries) else None
        if not isinstance(found, CommitEntry):
            raise NotFound(f"record {seq} of branch {lineage.branch} has no commit {place}")
        return found

    async def extended(
        self, lineage: Lineage, tail: Tail, record: Record, until: Version | None = None
    ) -> Tail:
        """`tail` with the commits of the next record: itself, or a new one after a reset.

        Args:
            lineage: The branch.
            tail: The state before the record.
            record: The record.
            until: The last commit to take in; None: all.

        Raises:
            NotFound, DataLoss, Error: See `tail_at`, which finds what a branch was reset to.
        """
        last_place = lineage.last_place(record.seq)
        keys = tail.keys
        for place, entry in enumerate(record.entries):
            version = (record.seq, place)
            if not isinstance(entry, CommitEntry) or place > last_place:
                continue
            if until is not None and version > until:
                continue
            if entry.kind == "reset":
                assert entry.target is not None
                _, seq, at = entry.target
                old = await self.tail_at(lineage, (seq, at))
                tail = Tail(old.roots, old.base, old.applied[: old.count_at((seq, at))])
                tail.reset_at = version
                tail.keys = keys
            else:
                tail.append(Applied(version, entry))
        return tail

    async def last_commit(self, lineage: Lineage, snapshot: Snapshot) -> Version:
        """The newest commit that a state of a branch contains; ``(0, 0)``: none."""
        known = snapshot.last_commit
        if known is not None:
            return known
        seq, place = snapshot.version
        while seq > 0:
            record = await self.slot(lineage, seq)
            commits = [
                at
                for at, entry in enumerate(record.entries)
                if isinstance(entry, CommitEntry) and at <= min(place, lineage.last_place(seq))
            ]
            if commits:
                return seq, commits[-1]
            seq, place = seq - 1, LAST
        return 0, 0

    async def snapshot(self, lineage: Lineage, version: Version) -> Snapshot:
        """The state after a commit.

        Raises:
            NotFound, DataLoss, Error: See `tail_at`.
        """
        tail = await self.tail_at(lineage, version)
        return self.state(lineage, version, tail)

    async def just_before(
        self, lineage: Lineage, snapshot: Snapshot, version: Version
    ) -> Snapshot | None:
        """The state before a commit that a state has; None: there is nothing before it.

        Raises:
            NotFound, DataLoss, Error: See `tail_at`.
        """
        seq, place = version
        before: Version = (seq, place - 1) if place else (seq - 1, LAST)
        if not before[0]:
            return None
        tail = snapshot.tail
        if before < tail.base:
            return await self.snapshot(lineage, before)
        return replace(snapshot, version=before, count=tail.count_at(before))

    def state(self, lineage: Lineage, version: Version, tail: Tail) -> Snapshot:
        """The state at the end of a tail, which can be read also where pages are lost."""
        reopened = partial(self.reopened, lineage)
        return Snapshot(lineage.branch, version, tail, len(tail), self._pages, reopened)

    async def reopened(self, lineage: Lineage, snapshot: Snapshot) -> Snapshot | None:
        """The same state through another checkpoint, or the log, as pages of its own are lost.

        Through the newest checkpoint that is not behind it, and was not seen to be damaged (R21).

        Returns:
            The state; None if it rests on no checkpoint.

        Raises:
            DataLoss: A record is damaged, too.
            Error: The store failed.
        """
        async with self._turn:
            tail, (seq, _) = snapshot.tail, snapshot.tail.base
            if not seq:
                return None
            if tail.instead is None or snapshot.version < tail.instead.since:
                branch = lineage.at(seq).branch
                self._lost.add((branch, seq))
                _log.warning("Pages of checkpoint %d of branch %s are lost", seq, branch)
                tail.instead = await self._instead(lineage, snapshot)
            return snapshot.standing()

    async def _instead(self, lineage: Lineage, snapshot: Snapshot) -> Instead:
        tail, version = snapshot.tail, snapshot.version
        seq = version[0] if version[1] >= lineage.last_place(version[0]) else version[0] - 1
        held = await self.checkpoint(lineage, seq)
        base: Version = (0, LAST) if held is None else (held.seq, LAST)
        if held is not None and base > max(tail.base, tail.reset_at or (0, 0)):
            fresh = tail_of(held)
            count = tail.count_at(base)
            for each in tail.applied[count:]:
                fresh.append(each)
            return Instead(fresh, base, -count)
        # Behind a reset, the newest checkpoint may be one of what is undone.
        fresh = await self.tail_at(lineage, tail.base)
        offset = len(fresh)
        for each in tail.applied:
            fresh.append(each)
        fresh.reset_at = tail.reset_at or fresh.reset_at
        fresh.mended = True
        fresh.keys.since.update(tail.keys.since)
        return Instead(fresh, (0, 0), offset)


def tail_of(checkpoint: Checkpoint | None) -> Tail:
    """The state of a checkpoint, or an empty one, as a tail without commits."""
    if checkpoint is None:
        return Tail(Roots(), (0, LAST))
    tail = Tail(Roots(checkpoint.documents, checkpoint.catalog), (checkpoint.seq, LAST))
    tail.keys.root = checkpoint.caller_keys
    return tail

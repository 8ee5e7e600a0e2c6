"""One branch as this process knows it: its log, its newest state, and who is committing to it.

Commits of one process go in groups: whatever arrives while a record is on its way to the store
goes into the next record together. Everything here runs on the I/O loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    CommitUnknown,
    Error,
    FailedPrecondition,
    Unimplemented,
)
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.combining import LOSSES, Combiner
from asynctensor.kvstores.repo.conflicts import Conflict, conflicts
from asynctensor.kvstores.repo.history import History, tail_of
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.lineage import LAST
from asynctensor.kvstores.repo.log import Filled, Log
from asynctensor.kvstores.repo.objects import TXN_BYTES
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.proposal import Landed, Proposal
from asynctensor.kvstores.repo.record import (
    AbortEntry,
    ClosedEntry,
    CommitEntry,
    Entry,
    FloorEntry,
    Record,
    SweepEntry,
)
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tail import Tail, Version
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes
from asynctensor.runtime.process import PROCESS

#: Transactions in one record at most, and about so many bytes of them.
_GROUP = 1024
_GROUP_BYTES = 4 * 2**20

#: Records, and commits, after which the tail is folded.
_FOLD_AFTER = 64
_FOLD_COMMITS = 1024

_log = logging.getLogger(__name__)

_Outcome: TypeAlias = "asyncio.Future[Landed]"


@dataclass(slots=True)
class _Waiting:
    proposal: Proposal
    outcome: _Outcome


class Branch:
    """The newest state of one branch, and its committer.

    Args:
        log: The branch's log, which knows the slot that `tail` ends with.
        tail: The state at that slot.
        pages: Where pages of the index come from.
        history: Where older states come from.
        name: For messages.
    """

    def __init__(self, log: Log, tail: Tail, pages: PageCache, history: History, name: str) -> None:
        self.log = log
        self.pages = pages
        self.history = history
        self.name = name
        self._tail = tail
        self._version: Version = (log.tail, LAST)
        self._time = 0
        #: Whether the log takes no more commits.
        self.closed = False
        #: Whether strangers' transactions are taken along under contention; it needs a store
        #: whose listings show what was just created (R37).
        self.combines = log.place.store.capabilities.listable
        self._intents = Intents(log.place, log.branch)
        self._waiting: list[_Waiting] = []
        #: Folds the tail into a checkpoint; called beside the commits.
        self.folder: Callable[[Branch], Coroutine[Any, Any, None]] | None = None
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: what the parent is committing is not ours."""
        self._waiting = []
        self._committing: asyncio.Task[None] | None = None
        self.folding: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    @property
    def id(self) -> str:
        """The branch's id."""
        return self.log.branch

    def newest(self) -> Snapshot:
        """The newest state that this process knows."""
        tail = self._tail
        return Snapshot(self.id, self._version, tail, len(tail), self.pages)

    async def refresh(self, expected: int = 0) -> Snapshot:
        """Asks the store for commits of others; gives the newest state.

        Args:
            expected: A slot that is probably filled.

        Raises:
            DataLoss: The log is damaged.
            Error: The store failed.
        """
        async with self._turn:
            await self._advance(expected)
        return self.newest()

    async def commit(self, proposal: Proposal) -> Landed:
        """Puts a transaction, or its abort, into the log.

        A cancelled call gives up waiting only: the outcome is decided without it.

        Raises:
            Aborted: What it rests on was changed, or its abort stands in the log: nothing of it
                was or will be committed.
            CommitUnknown: The store does not say whether it was committed.
            AlreadyExists: A transaction of this id, with other contents, was committed.
            FailedPrecondition: The branch was deleted.
            InvalidArgument: It cannot be stored.
            Error: The store failed; nothing was committed.
        """
        # What cannot be encoded must not fail those that it would share a record with.
        _ = proposal.entry.encoded
        outcome: _Outcome = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(proposal, outcome))
        if self._committing is None:
            self._committing = asyncio.ensure_future(self._serve())
        return await asyncio.shield(outcome)

    async def close(self) -> None:
        """Closes the log: nothing is committed to the branch any more.

        Raises:
            CommitUnknown, Error: See `commit`.
        """
        entry = CommitEntry(random_bytes(TXN_BYTES), self.log.tail, now())
        await self.commit(Proposal(entry, closes=True))

    async def rest_on(self, checkpoint: Checkpoint) -> None:
        """Takes a checkpoint of a state of this branch for the beginning of its tail."""
        async with self._turn:
            base: Version = (checkpoint.seq, LAST)
            if base <= self._tail.base or (self._tail.reset_at or (0, 0)) > base:
                return
            count = self._tail.count_at(base)
            fresh = tail_of(checkpoint)
            for applied in self._tail.applied[count:]:
                fresh.append(applied)
            self._tail = fresh
            self.log.forget_before(checkpoint.seq)

    # -- the committer ----------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
                try:
                    async with self._turn:
                        await self._commit_group(group)
                except Error as error:
                    # Surely nothing of it was written: see `Log.fill`.
                    for each in group:
                        _fail(each, error)
                except BaseException as error:
                    for each in group:
                        _fail(each, self._unknown(each, error))
                    raise
        finally:
            self._committing = None

    async def _commit_group(self, group: list[_Waiting]) -> None:
        """Brings each of `group` to its outcome; the turn is held."""
        losses = 0
        combiner = Combiner(self.log, self._intents, self.record)
        try:
            while True:
                group = [each for each in group if not each.outcome.done()]
                accepted, entries = await self._accepted(group)
                if not entries:
                    return
                if losses >= LOSSES and self.combines:
                    proposals = [each.proposal for each in accepted]
                    strangers = await combiner.strangers(proposals, entries)
                    if strangers is None:
                        await self._advance(0)
                        continue
                    entries += strangers
                filled = await self._fill(entries)
                await self._told(filled, accepted)
                if filled is Filled.UNKNOWN:
                    return
                losses += filled is Filled.OTHER
        finally:
            await combiner.close()

    async def _told(self, filled: Filled, accepted: list[_Waiting]) -> None:
        """Tells those whose record was sent how that ended, once the state has what landed."""
        if filled is Filled.UNKNOWN:
            for each in accepted:
                _fail(each, self._unknown(each, None))
            return
        seq = self.log.tail
        try:
            if filled is Filled.OTHER:
                # Perhaps more than one record was written meanwhile.
                await self.log.advance()
            # Whoever is told that it is committed finds it in the newest state.
            await self._catch_up()
        finally:
            if filled is Filled.OURS:
                for place, each in enumerate(accepted):
                    _settle(each, Landed((seq, place), not each.proposal.abort))
        if filled is Filled.OURS and self._should_fold():
            self._start_folding()

    async def _accepted(self, group: list[_Waiting]) -> tuple[list[_Waiting], list[Entry]]:
        """Those of `group` that go into the next record; others may get their outcome here."""
        accepted: list[_Waiting] = []
        entries: list[Entry] = []
        size = 0
        for each in group:
            if size > _GROUP_BYTES:
                break
            try:
                found = await self._judge(each, entries)
            except Error as error:
                _fail(each, error)
                continue
            if found is not None:
                _settle(each, found)
                continue
            accepted.append(each)
            entries.append(_entry(each.proposal))
            size += len(each.proposal.entry.encoded)
        return accepted, entries

    def _should_fold(self) -> bool:
        """Whether it is our turn to fold: one process at a time, or all once nobody did."""
        since = self.log.tail - self._tail.base[0]
        due = since >= _FOLD_AFTER or len(self._tail) >= _FOLD_COMMITS
        return due and (self.log.tail % _FOLD_AFTER == 0 or since >= 4 * _FOLD_AFTER)

    def _start_folding(self) -> None:
        if self.folder is None or self.folding is not None:
            return
        self.folding = asyncio.ensure_future(self.folder(self))
        self.folding.add_done_callback(self._folded)

    def _folded(self, task: asyncio.Task[None]) -> None:
        self.folding = None
        if not task.cancelled() and task.exception() is not None:
            _log.warning("Folding branch %r failed: %s", self.name, task.exception())

    async def _fill(self, entries: list[Entry]) -> Filled:
        record = Record(
            self.id, self.log.tail + 1, self.log.digest, self._next_time(), tuple(entries)
        )
        return await self.log.fill(record)

    async def _judge(self, waiting: _Waiting, accepted: list[Entry]) -> Landed | None:
        """Whether the log decides `waiting` already; None if it may go into the next record.

        Raises:
            Aborted: It conflicts with what was committed, or with what is accepted before it.
        """
        proposal = waiting.proposal
        entry = proposal.entry
        if self.closed and not (proposal.closes or proposal.abort):
            raise _deleted(self.name)
        later: list[tuple[Version, CommitEntry]] = []
        for seq in range(entry.base + 1, self.log.tail + 1):
            record = await self.record(seq)
            for place, other in enumerate(record.entries):
                decided = _decided(proposal, other, (seq, place))
                if decided is not None:
                    return decided
                if isinstance(other, CommitEntry):
                    later.append(((seq, place), other))
                elif isinstance(other, ClosedEntry):
                    if proposal.closes:
                        return Landed((seq, place), committed=True)
                    raise _deleted(self.name)
                elif not isinstance(other, (AbortEntry, FloorEntry, SweepEntry)):
                    raise Unimplemented(
                        f"record {seq} of branch {self.name!r} has an entry that this version "
                        "does not know; upgrade asynctensor to commit here"
                    )
        if proposal.abort or proposal.closes:
            return None
        if proposal.alone and (later or accepted):
            raise Aborted(f"branch {self.name!r} has newer commits", operation="commit")
        if any(isinstance(other, ClosedEntry) for other in accepted):
            raise _deleted(self.name)
        following = self.log.tail + 1
        later += [
            ((following, place), other)
            for place, other in enumerate(accepted)
            if isinstance(other, CommitEntry)
        ]
        found = conflicts(proposal.footing, self.id, later)
        if found:
            raise self._conflict(found, later)
        return None

    def _conflict(self, found: list[Conflict], later: list[tuple[Version, CommitEntry]]) -> Aborted:
        by = dict(later)
        named = ", ".join(repr(each.key) for each in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        entry = by[found[0].by]
        who = f" by {entry.author}" if entry.author else ""
        why = f" ({entry.message!r})" if entry.message else ""
        error = Aborted(
            f"{named}{more} of branch {self.name!r} changed meanwhile{who}{why}; run the "
            "transaction again",
            key=found[0].key,
            operation="commit",
        )
        error.conflicts = tuple(found)
        error.final = any(each.read for each in found)
        return error

    def _unknown(self, waiting: _Waiting, error: BaseException | None) -> Error:
        entry = waiting.proposal.entry
        unknown = CommitUnknown(
            "the store did not say whether the transaction was committed; await "
            "error.resolve() to find out, or have it aborted",
            transaction_id=entry.txn.hex(),
            branch=self.id,
            base=entry.base,
            digest=entry.digest.hex(),
        )
        unknown.__cause__ = error
        return unknown

    # -- what was committed -----------------------------------------------------------------

    async def _advance(self, expected: int) -> None:
        await self._catch_up()
        await self.log.advance(expected)
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Takes in the slots of the log that the state does not have yet."""
        for seq in range(self._version[0] + 1, self.log.tail + 1):
            record = await self.record(seq)
            self._time = max(self._time, record.time)
            self._tail = await self.history.extended(self.log.lineage, self._tail, record)
            self.closed |= any(isinstance(each, ClosedEntry) for each in record.entries)
            self._version = (seq, LAST)

    async def record(self, seq: int) -> Record:
        """The record in a slot that is filled.

        Raises:
            NotFound: It is gone.
            DataLoss, Error: It cannot be read.
        """
        return self.log.slot(seq) or await self.history.slot(self.log.lineage, seq)

    def _next_time(self) -> int:
        return max(now(), self._time + 1)


def now() -> int:
    """Microseconds since the Unix epoch."""
    return int(SYSTEM_CLOCK.time() * 1e6)


def _entry(proposal: Proposal) -> Entry:
    if proposal.closes:
        return ClosedEntry()
    if proposal.abort:
        return AbortEntry(proposal.entry.txn)
    return proposal.entry


def _decided(proposal: Proposal, other: Entry, version: Version) -> Landed | None:
    """What an entry of the log says about a transaction; None: nothing.

    Raises:
        Aborted: It is the abort of what wants to be committed.
        AlreadyExists: It is another transaction of the same id.
    """
    mine = proposal.entry
    if isinstance(other, AbortEntry) and other.txn == mine.txn:
        if proposal.abort:
            return Landed(version, committed=False)
        raise Aborted("the transaction was aborted: its abort stands in the log")
    if isinstance(other, CommitEntry) and other.txn == mine.txn:
        if not proposal.abort and other.digest != mine.digest:
            raise AlreadyExists(
                f"a transaction of this id was committed in record {version[0]} with other "
                "contents; nothing more was committed"
            )
        return Landed(version, committed=True)
    return None


def _deleted(name: str) -> FailedPrecondition:
    return FailedPrecondition(f"branch {name!r} was deleted; nothing was committed")


def _settle(waiting: _Waiting, landed: Landed) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_result(landed)


def _fail(waiting: _Waiting, error: Error) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_exception(error)
        # Whoever waited may be gone.
        waiting.outcome.exception()

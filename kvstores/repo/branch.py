"""One branch as this process knows it: its log, its newest state, and who is committing to it.

Commits of one process go in groups: whatever arrives while a record is on its way to the store
goes into the next record together. Everything here runs on the I/O loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from asynctensor.errors import Aborted, AlreadyExists, Error, FailedPrecondition
from asynctensor.kvstores.repo.checkpoint import Checkpoint
from asynctensor.kvstores.repo.combining import LOSSES, Combiner
from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.damage import LostPage
from asynctensor.kvstores.repo.fold_due import is_due, is_overdue
from asynctensor.kvstores.repo.history import History, tail_of
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.judging import (
    Standing,
    deleted,
    foresee,
    judge,
    known,
    unknown_entry,
)
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
    Record,
)
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.tail import Tail, Version
from asynctensor.kvstores.repo.waiting import Waiting
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import random_bytes
from asynctensor.runtime.loop_lock import LoopLock
from asynctensor.runtime.process import PROCESS

#: Transactions in one record at most, and about so many bytes of them.
_GROUP = 1024
_GROUP_BYTES = 4 * 2**20

#: Clocks of two machines differ by so many microseconds without being wrong.
_CLOCK_TOLERANCE = 10_000_000

_log = logging.getLogger(__name__)


class Branch:
    """The newest state of one branch, and its committer.

    Args:
        log: The branch's log, which knows the slot that `tail` ends with.
        tail: The state at that slot.
        pages: Where pages of the index come from.
        history: Where older states come from.
        name: For messages.
        time: That of the slot that `tail` ends with; 0 if there is none.
    """

    def __init__(
        self,
        log: Log,
        tail: Tail,
        pages: PageCache,
        history: History,
        name: str,
        time: int = 0,
    ) -> None:
        self.log = log
        self.pages = pages
        self.history = history
        self.name = name
        self._tail = tail
        self._version: Version = (log.tail, LAST)
        self._time = time
        self._warned = False
        #: Where the log was closed: it takes no more commits.
        self._closed_at: Version | None = None
        #: The last slot with an entry of a version that is not known; 0: there is none.
        self._not_understood = 0
        #: Whether strangers' transactions are taken along under contention; it needs a store
        #: whose listings show what was just created (R37).
        self.combines = log.place.store.capabilities.listable
        #: Folds the tail into a checkpoint; called beside the commits.
        self.folder: Callable[[Branch], Coroutine[Any, Any, None]] | None = None
        self._turn = LoopLock()
        #: Held by whoever tries again what was in the way of others.
        self.again = LoopLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.after_fork()
        PROCESS.survives(self)

    def after_fork(self) -> None:
        """See `AfterFork`: what the parent offered is not ours."""
        self._begin_anew()
        intents = Intents(self.log.place, self.log.branch)
        self._combiner = Combiner(self.log, intents, self._since, self._look)

    def _begin_anew(self) -> None:
        self._waiting: list[Waiting] = []
        self._committing: asyncio.Task[None] | None = None
        self.folding: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether the log takes no more commits."""
        return self._closed_at is not None

    @property
    def id(self) -> str:
        """The branch's id."""
        return self.log.branch

    def newest(self) -> Snapshot:
        """The newest state that this process knows."""
        return self.history.state(self.log.lineage, self._version, self._tail)

    def _attend(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What an I/O loop that has ended, or is the parent's, left behind never goes on.
            self._loop = loop
            self._begin_anew()

    async def refresh(self, expected: int = 0) -> Snapshot:
        """Asks the store for commits of others; gives the newest state.

        Args:
            expected: A slot that is probably filled.

        Raises:
            DataLoss: The log is damaged.
            Error: The store failed.
        """
        self._attend()
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
        self._attend()
        waiting = Waiting(proposal, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        # A task that is cancelled before its first step never says that it has ended.
        if self._committing is None or self._committing.done():
            self._committing = asyncio.ensure_future(self._serve())
        return await asyncio.shield(waiting.outcome)

    def foresee(self, footing: Footing, seen: int) -> None:
        """Refuses what conflicts with commits that are known already.

        Args:
            footing: What it rests on.
            seen: The slot up to which it saw everything.

        Raises:
            Aborted: It does.
        """
        since = [self.log.slot(seq) for seq in range(seen + 1, self.log.tail + 1)]
        at_hand = [record for record in since if record is not None]
        if len(at_hand) == len(since):
            foresee(footing, at_hand, branch=self.id, name=self.name)

    async def close(self) -> None:
        """Closes the log: nothing is committed to the branch any more.

        Raises:
            CommitUnknown, Error: See `commit`.
        """
        entry = CommitEntry(random_bytes(TXN_BYTES), self.log.tail, now())
        await self.commit(Proposal(entry, closes=True))

    async def rest_on(self, checkpoint: Checkpoint) -> None:
        """Takes a checkpoint of a state of this branch for the beginning of its tail."""
        self._attend()
        async with self._turn:
            base: Version = (checkpoint.seq, LAST)
            if base <= self._tail.base or (self._tail.reset_at or (0, 0)) > base:
                return
            count = self._tail.count_at(base)
            fresh = tail_of(checkpoint)
            for applied in self._tail.applied[count:]:
                fresh.append(applied)
            fresh.keys.since.update(self._tail.keys.behind(base))
            self._tail = fresh
            self.log.forget_before(checkpoint.seq)

    # -- the committer ----------------------------------------------------------------------

    async def _serve(self) -> None:
        group: list[Waiting] = []
        try:
            while self._waiting:
                group = []
                try:
                    async with self._turn:
                        await self._commit_group(group)
                except Error as error:
                    # Surely nothing of it was written: see `Log.fill`.
                    for each in group:
                        self._give_up(each, error)
        except GeneratorExit:
            raise  # The loop has ended, and with it whoever waited.
        except BaseException as error:
            for each in (*group, *self._waiting):
                each.fail(each.unknown(self.id, error))
            self._waiting = []
            raise

    async def _commit_group(self, group: list[Waiting]) -> None:
        """Brings those who wait to their outcomes, through `group`; the turn is held.

        Whoever comes meanwhile joins the group before the next record.
        """
        losses = 0
        while True:
            self._combiner.withdraw(e.proposal.entry.txn for e in group if e.outcome.done())
            group[:] = [each for each in group if not each.outcome.done()]
            room = _GROUP - len(group)
            group += self._waiting[:room]
            self._waiting = self._waiting[room:]
            accepted, entries = await self._accepted(group)
            if any(each.outcome.done() for each in group):
                self._combiner.decided()
            if not entries:
                self._combiner.withdraw(each.proposal.entry.txn for each in group)
                return
            combining = self.combines and (losses >= LOSSES or self._combiner.contended)
            if combining:
                proposals = [each.proposal for each in accepted]
                strangers = await self._combiner.strangers(proposals, entries)
                if strangers is None:
                    continue
                entries += strangers
            filled = await self._fill(entries)
            if filled is Filled.OTHER:
                losses += 1
                if combining or losses > LOSSES:
                    self._combiner.lost()
            await self._told(filled, accepted, combining=combining)

    async def _told(self, filled: Filled, accepted: list[Waiting], *, combining: bool) -> None:
        """Tells those whose record was sent how that ended, once the state has what landed."""
        if filled is Filled.UNKNOWN:
            for each in accepted:
                each.fail(each.unknown(self.id, None))
            return
        seq = self.log.tail
        try:
            if filled is Filled.OTHER and not combining:
                # Perhaps more than one record was written meanwhile.
                await self.log.advance()
            # Whoever is told that it is committed finds it in the newest state.
            await self._catch_up()
        finally:
            if filled is Filled.OURS:
                for place, each in enumerate(accepted):
                    each.settle(Landed((seq, place), not each.proposal.abort))
        if filled is Filled.OURS and not self._not_understood and is_due(self._tail, self.log.tail):
            self._start_folding()

    async def _accepted(self, group: list[Waiting]) -> tuple[list[Waiting], list[Entry]]:
        """Those of `group` that go into the next record; others may get their outcome here.

        Whatever stands in the way of those accepted before it stays for a later record (R6).
        """
        accepted: list[Waiting] = []
        entries: list[Entry] = []
        size = 0
        txns: set[bytes] = set()
        for each in group:
            if size > _GROUP_BYTES:
                break
            if each.proposal.entry.txn in txns:
                # One of several who commit or abort the same is on its way: judged behind that.
                continue
            try:
                entry_size = len(each.proposal.entry.encoded)
                # Under contention the log grows while somebody waits: nothing is judged twice.
                start = max(each.proposal.entry.base, each.judged)
                since = await self._since(start)
            except Error as error:
                self._give_up(each, error)
                continue
            try:
                tail = since[-1].seq if since else start
                found = await self._judged(each.proposal, since, entries, tail)
                found = self._behind_the_end(each.proposal, found)
            except (Aborted, AlreadyExists, FailedPrecondition) as error:
                each.fail(error)
            except Error as error:
                self._give_up(each, error)
            else:
                if isinstance(found, Landed):
                    await self._found(each, found)
                    continue
                each.judged = tail
                if found is Standing.READY:
                    accepted.append(each)
                    entries.append(_entry(each.proposal))
                    txns.add(each.proposal.entry.txn)
                    size += entry_size
        return accepted, entries

    async def _judged(
        self, proposal: Proposal, since: list[Record], accepted: list[Entry], tail: int
    ) -> Landed | Standing:
        """See `judge`; what it asks of a checkpoint is found without that, if it is lost."""
        while True:
            keys = self._tail.keys
            judging = judge(
                proposal, since, accepted, branch=self.id, name=self.name, tail=tail, keys=keys
            )
            try:
                return await self.pages.run(judging)
            except LostPage:
                if await self.history.reopened(self.log.lineage, self.newest()) is None:
                    raise
                self._tail, _ = self._tail.stands_for(self._version, 0)

    async def _found(self, each: Waiting, landed: Landed) -> None:
        """Tells of an outcome that was read, which survives a crash by then."""
        try:
            await self.log.confirm(landed.version[0])
        except Error as error:
            each.fail(each.unknown(self.id, error))
        else:
            each.settle(landed)

    def _behind_the_end(self, proposal: Proposal, found: Landed | Standing) -> Landed | Standing:
        """What becomes of the undecided in a log that was closed, or is not understood."""
        if isinstance(found, Landed):
            return found
        if self._closed_at is not None:
            if proposal.closes or proposal.abort:
                return Landed(self._closed_at, committed=proposal.closes)
            raise deleted(self.name)
        if self._not_understood:
            raise unknown_entry(self._not_understood, self.name)
        return found

    def _give_up(self, each: Waiting, error: Error) -> None:
        """Tells of an error that decides nothing: strangers may still commit what was offered."""
        if self._combiner.offered(each.proposal.entry.txn):
            each.fail(each.unknown(self.id, error))
        else:
            each.fail(error)

    def _start_folding(self) -> None:
        if self.folder is None or self.folding is not None:
            return
        self.folding = asyncio.ensure_future(self.folder(self))
        self.folding.add_done_callback(partial(self._folded, self._tail.base))

    def _folded(self, base: Version, task: asyncio.Task[None]) -> None:
        """Takes the turns that came during the fold, unless it brought nothing.

        Args:
            base: That of the tail before.
            task: The fold.
        """
        self.folding = None
        if not task.cancelled() and task.exception() is not None:
            _log.warning("Folding branch %r failed: %s", self.name, task.exception())
        elif base < self._tail.base and is_overdue(self._tail, self.log.tail):
            self._start_folding()

    async def _fill(self, entries: list[Entry]) -> Filled:
        record = Record(
            self.id, self.log.tail + 1, self.log.digest, self._next_time(), tuple(entries)
        )
        return await self.log.fill(record)

    # -- what was committed -----------------------------------------------------------------

    async def _advance(self, expected: int) -> None:
        await self._catch_up()
        await self.log.advance(expected)
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Takes in the slots of the log that the state does not have yet."""
        self._tail, _ = self._tail.stands_for(self._version, 0)
        for seq in range(self._version[0] + 1, self.log.tail + 1):
            record = await self.record(seq)
            self._time = max(self._time, record.time)
            self._tail = await self.history.extended(self.log.lineage, self._tail, record)
            for place, entry in enumerate(record.entries):
                if isinstance(entry, ClosedEntry) and self._closed_at is None:
                    self._closed_at = (seq, place)
                elif not known(entry):
                    self._not_understood = seq
            self._version = (seq, LAST)

    async def _look(self, width: int) -> None:
        await self.log.peek(width)
        await self._catch_up()

    async def _since(self, base: int) -> list[Record]:
        """All records behind a slot, in order."""
        return [await self.record(seq) for seq in range(base + 1, self.log.tail + 1)]

    async def record(self, seq: int) -> Record:
        """The record in a slot that is filled.

        Raises:
            NotFound: It is gone.
            DataLoss, Error: It cannot be read.
        """
        return self.log.slot(seq) or await self.history.slot(self.log.lineage, seq)

    def _next_time(self) -> int:
        """The time of the next record: above that of the last one, whatever the clock says."""
        time = now()
        if time < self._time - _CLOCK_TOLERANCE and not self._warned:
            self._warned = True
            _log.warning(
                "The newest commit of branch %r was made %.0f s in the future, by the clock of "
                "this machine: one of the clocks is wrong. Commits get times behind that one",
                self.name,
                (self._time - time) / 1e6,
            )
        return max(time, self._time + 1)


def now() -> int:
    """Microseconds since the Unix epoch."""
    return int(SYSTEM_CLOCK.time() * 1e6)


def _entry(proposal: Proposal) -> Entry:
    if proposal.closes:
        return ClosedEntry()
    if proposal.abort:
        return AbortEntry(proposal.entry.txn)
    return proposal.entry

"""Contention: losers of the race for slots let one of them write a record for all.

After a lost slot, and while slots are being lost at once, a transaction is published as an intent.
The owner of the intent with the least name writes the next record, with whatever of the others it
may adopt; they look for that record for a few round trips, and then write by themselves: who
writes is a preference, never a right (R8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from asynctensor.errors import Error
from asynctensor.kvstores.repo.adoption import intent_of, may_be_adopted
from asynctensor.kvstores.repo.intent import Intent
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.judging import is_outcome, known
from asynctensor.kvstores.repo.log import Log
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import (
    AbortEntry,
    ClosedEntry,
    CommitEntry,
    Entry,
    Record,
)
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import uniform

#: Lost slots of a group after which it is offered to others; more count as contention.
LOSSES = 1
#: How often the owner of the least intent is waited for, about a round trip each time.
_PATIENCE = 3
#: Looks around, and lost races, in a row after which there is no more looking.
_ROUNDS = 24
#: Round trips after a lost slot during which it counts as contended.
_RUSH = 30
#: Slots that are looked for at once by whoever comes anew.
_AHEAD = 3
#: Seconds of a round trip until one was measured; and the least and the most that are believed.
_GUESS, _SHORTEST, _LONGEST = 0.02, 0.001, 2.0
#: Bytes of strangers' transactions in one record, about.
_MOST_BYTES = 2**22
#: Slots whose outcomes are remembered, so that settled intents are told from others by their name.
_REMEMBERED = 64


class Combiner:
    """What this process does under contention for one branch.

    Args:
        log: The branch's log.
        intents: The branch's intents.
        since: All records behind a slot.
        look: Takes in so many slots behind the tail, as far as they are filled.
    """

    def __init__(
        self,
        log: Log,
        intents: Intents,
        since: Callable[[int], Awaitable[list[Record]]],
        look: Callable[[int], Awaitable[None]],
    ) -> None:
        self._log, self._intents, self._since, self._look = log, intents, since, look
        #: Names of intents that were sent, and not deleted.
        self._offered: set[str] = set()
        self._settled: dict[str, int] = {}
        self._others: list[str] = []
        self._listed = False
        #: Pauses since the last look around; looks and lost slots since the last outcome of ours.
        self._polls = 0
        self._rounds = 0
        self._round_trip = _GUESS
        self._contended_until = float("-inf")
        self._deleting: set[asyncio.Task[None]] = set()

    @property
    def contended(self) -> bool:
        """Whether a slot was lost lately."""
        return SYSTEM_CLOCK.monotonic() < self._contended_until

    def lost(self) -> None:
        """Notes that somebody else wrote a record meanwhile."""
        self._contended_until = SYSTEM_CLOCK.monotonic() + _RUSH * self._round_trip

    def offered(self, txn: bytes) -> bool:
        """Whether strangers may commit a transaction: only the log tells its outcome then (R4)."""
        return self._intents.name(txn) in self._offered

    async def strangers(
        self, accepted: Sequence[Proposal], entries: Sequence[Entry]
    ) -> list[CommitEntry] | None:
        """Transactions of others to take into the next record.

        Returns:
            They; or None where somebody else wrote or should have written: judge again.
        """
        if self._rounds >= _ROUNDS:
            # Whoever writes all the time, and never loses, does not look at what is offered, and is
            # not overtaken by whoever looks around: race.
            self._listed = False
            return []
        if not self._listed and await self._look_around(accepted):
            self._rounds += 1
            return None
        mine = {self._intents.name(each.entry.txn) for each in accepted if _offerable(each)}
        settled = self._settled_names()
        others = [name for name in self._others if name not in mine and name not in settled]
        leads = not mine or not others or min(mine) < others[0]
        if not leads and self._polls < _PATIENCE:
            self._polls += 1
            if await self._wait(accepted):
                self._rounds += 1
                self._listed = False
            return None
        self._polls = 0
        self._rounds += 1
        self._listed = False
        return await self._adopted(others, entries)

    def decided(self) -> None:
        """Notes that a transaction of ours has its outcome."""
        self._polls = self._rounds = 0

    async def _look_around(self, accepted: Sequence[Proposal]) -> bool:
        """Offers, and sees what is offered; gives whether somebody wrote a record meanwhile."""
        tail = self._log.tail
        _, self._others, _ = await asyncio.gather(
            self._offer(accepted), self._intents.names(self._offered), self._looked(_AHEAD)
        )
        self._listed = True
        return self._log.tail > tail

    async def _wait(self, accepted: Sequence[Proposal]) -> bool:
        """A pause; gives whether somebody wrote a record in it."""
        tail = self._log.tail
        await asyncio.sleep(self._round_trip * uniform(0.2, 0.8))
        await asyncio.gather(self._offer(accepted), self._looked(1))
        if self._log.tail == tail:
            return False
        self.lost()
        return True

    async def _looked(self, width: int) -> None:
        began = SYSTEM_CLOCK.monotonic()
        try:
            await self._look(width)
        except Error:
            # Whoever writes at a slot that is filled finds out.
            return
        took = min(max(SYSTEM_CLOCK.monotonic() - began, _SHORTEST), _LONGEST)
        self._round_trip += 0.25 * (took - self._round_trip)

    async def _offer(self, proposals: Iterable[Proposal]) -> None:
        new: list[Intent] = []
        for each in proposals:
            name = self._intents.name(each.entry.txn)
            if name in self._offered or not _offerable(each):
                continue
            intent = intent_of(self._log.branch, each.entry, each.footing)
            if intent is not None:
                self._offered.add(name)
                new.append(intent)
        await self._intents.publish(new)

    async def _adopted(self, names: list[str], entries: Sequence[Entry]) -> list[CommitEntry]:
        """Intents that are valid after all slots since their bases, and after `entries`."""
        adopted: list[CommitEntry] = []
        size = 0
        if any(isinstance(each, ClosedEntry) for each in entries):
            return []
        for intent in await self._intents.load(names):
            commit = intent.commit
            if size + len(commit.encoded) > _MOST_BYTES:
                continue
            before = await self._before(commit.base)
            if before is None or any(is_outcome(each, commit.txn) for each in (*before, *entries)):
                continue
            others = [
                each for each in (*before, *entries, *adopted) if isinstance(each, CommitEntry)
            ]
            if may_be_adopted(intent, others):
                adopted.append(commit)
                size += len(commit.encoded)
        if adopted:
            self.lost()
        return adopted

    async def _before(self, base: int) -> list[Entry] | None:
        """All entries of the slots behind a base; None where nothing may be adopted (R6, R7)."""
        if base > self._log.tail:
            return None
        try:
            records = await self._since(base)
        except Error:
            return None
        found = [entry for record in records for entry in record.entries]
        if any(isinstance(each, ClosedEntry) or not known(each) for each in found):
            return None
        return found

    def _settled_names(self) -> dict[str, int]:
        """The names of intents whose outcomes stand in one of the last slots, and the slots."""
        tail = self._log.tail
        newest = max(self._settled.values(), default=0)
        self._settled = {n: at for n, at in self._settled.items() if at > tail - _REMEMBERED}
        for seq in range(max(newest + 1, tail - _REMEMBERED + 1), tail + 1):
            record = self._log.slot(seq)
            for entry in record.entries if record is not None else ():
                if isinstance(entry, (CommitEntry, AbortEntry)):
                    self._settled[self._intents.name(entry.txn)] = seq
        return self._settled

    def withdraw(self, txns: Iterable[bytes]) -> None:
        """Has the intents of transactions deleted, beside what is done next.

        That decides nothing (R4): their outcomes stand in the log, or never will.
        """
        names = self._offered & {self._intents.name(txn) for txn in txns}
        if names:
            self._offered -= names
            task = asyncio.ensure_future(self._intents.delete(sorted(names)))
            self._deleting.add(task)
            task.add_done_callback(self._deleting.discard)


def _offerable(proposal: Proposal) -> bool:
    return not (proposal.abort or proposal.closes or proposal.alone)

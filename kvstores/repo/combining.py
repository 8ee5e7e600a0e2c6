"""Contention: losers of the race for slots let one of them write a record for all.

After two lost slots a transaction is published as an intent. The owner of the intent with the least
name writes the next record, with whatever of the others it may adopt; they wait for it for a few
round trips, and then write by themselves: who writes is a preference, never a right (R8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asynctensor.errors import Error, NotFound
from asynctensor.kvstores.repo.adoption import intent_of, may_be_adopted
from asynctensor.kvstores.repo.commit_entry import CommitEntry, Intent
from asynctensor.kvstores.repo.intents import Intents
from asynctensor.kvstores.repo.log import Log
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import AbortEntry, Entry, Record
from asynctensor.runtime.clock import SYSTEM_CLOCK
from asynctensor.runtime.entropy import uniform

#: Lost slots after which a transaction is offered to others.
LOSSES = 2
#: Round trips for which the owner of the least intent is waited for.
_PATIENCE = 4
#: Seconds of a round trip until one was measured, and at most.
_GUESS = 0.02
_LONGEST = 2.0


class Combiner:
    """What one group of transactions does under contention.

    Args:
        log: The branch's log.
        intents: The branch's intents.
        record: Reads a filled slot.
    """

    def __init__(
        self, log: Log, intents: Intents, record: Callable[[int], Awaitable[Record]]
    ) -> None:
        self._log, self._intents, self._record = log, intents, record
        self._published: set[str] = set()
        self._waited = 0
        self._round_trip = _GUESS

    async def strangers(
        self, accepted: list[Proposal], entries: list[Entry]
    ) -> list[CommitEntry] | None:
        """Transactions of others to take into the next record.

        Returns:
            They; or None after a pause in which somebody else should have written: look again.

        Raises:
            Error: The store failed.
        """
        began = SYSTEM_CLOCK.monotonic()
        await self._publish(accepted)
        listed = await self._intents.listed()
        took = SYSTEM_CLOCK.monotonic() - began
        self._round_trip = min(max(took, 0.001), _LONGEST)
        mine = {self._intents.name(each.entry.txn) for each in accepted}
        least = min(listed, default="")
        if least and least not in mine and self._waited < _PATIENCE:
            self._waited += 1
            await asyncio.sleep(self._round_trip * uniform(0.5, 1.0))
            return None
        self._waited = 0
        return await self._adopted(listed, mine, entries)

    async def _publish(self, accepted: list[Proposal]) -> None:
        new: list[Intent] = []
        for each in accepted:
            name = self._intents.name(each.entry.txn)
            if each.abort or each.closes or each.alone or name in self._published:
                continue
            intent = intent_of(self._log.branch, each.entry, each.footing)
            if intent is not None:
                self._published.add(name)
                new.append(intent)
        await self._intents.publish(new)

    async def _adopted(
        self, listed: dict[str, Intent], mine: set[str], entries: list[Entry]
    ) -> list[CommitEntry]:
        """Intents that are valid after all slots since their bases, and after `entries`."""
        adopted: list[CommitEntry] = []
        settled: list[str] = []
        for name, intent in listed.items():
            if name in mine:
                continue
            try:
                since = await self._since(intent.commit.base)
            except (Error, NotFound):
                continue
            outcome = any(_is_outcome(each, intent.commit.txn) for each in since)
            if outcome:
                settled.append(name)
                continue
            others = [
                each for each in (*since, *entries, *adopted) if isinstance(each, CommitEntry)
            ]
            if any(each.txn == intent.commit.txn for each in others):
                continue
            if may_be_adopted(intent, others):
                adopted.append(intent.commit)
        await self._intents.delete(settled)
        return adopted

    async def _since(self, base: int) -> list[Entry]:
        """All entries of the slots since a base, which must all be read (R6)."""
        found: list[Entry] = []
        for seq in range(base + 1, self._log.tail + 1):
            found += (await self._record(seq)).entries
        return found

    async def close(self) -> None:
        """Takes back what was offered: its outcomes stand in the log, or never will."""
        await self._intents.delete(self._published)
        self._published = set()


def _is_outcome(entry: Entry, txn: bytes) -> bool:
    return isinstance(entry, (CommitEntry, AbortEntry)) and entry.txn == txn

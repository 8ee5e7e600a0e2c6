"""Intents: transactions that were published so that whoever gets the next slot takes them along.

Only under contention. An intent never changes, and is only ever an offer: its outcome stands in
the log, and it is deleted once it does (R8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable

from asynctensor.errors import Error
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.intent import Intent
from asynctensor.kvstores.repo.place import Place
from asynctensor.runtime.clock import SYSTEM_CLOCK

#: Intents that are looked at, in the order of their names.
_MOST = 256
#: Seconds after which an intent is left to its owner, by the store's own clock (R8).
_OLD = 60.0


class Intents:
    """The intents for one branch.

    Args:
        place: Where the repository is.
        branch: The branch's id.
    """

    def __init__(self, place: Place, branch: str) -> None:
        self._place = place
        self._branch = branch
        #: By how many seconds the store's clock is ahead of ours, as far as that is known.
        self._ahead = 0.0
        #: Those that were read; they never change.
        self._read: dict[str, Intent | None] = {}

    def name(self, txn: bytes) -> str:
        """The object of a transaction's intent."""
        return objects.intent(self._branch, txn)

    async def publish(self, intents: Iterable[Intent]) -> None:
        """Writes intents; what fails was not offered, or perhaps was: either is safe (R4)."""

        async def one(intent: Intent) -> None:
            try:
                await self._place.create(self.name(intent.commit.txn), intent.encode())
            except Error:
                return

        await asyncio.gather(*(one(each) for each in intents))

    async def names(self, mine: Container[str] = ()) -> list[str]:
        """The names of the intents that are there and not old, in order; none where it fails.

        Args:
            mine: Intents that were just written: by their times the store's clock is known.
        """
        try:
            prefix = objects.intent_prefix(self._branch)
            found = [entry async for entry in self._place.names(prefix)]
        except Error:
            return []
        fresh = [each.time for each in found if each.key in mine and each.time is not None]
        if fresh:
            self._ahead = max(fresh) - SYSTEM_CLOCK.time()
        oldest = SYSTEM_CLOCK.time() + self._ahead - _OLD
        return sorted(each.key for each in found if each.time is None or each.time > oldest)[:_MOST]

    async def load(self, names: Iterable[str]) -> list[Intent]:
        """The intents of some names, in their order.

        Those that are gone, or damaged, or of a version that is not known, are left to their
        owners (R7).
        """
        wanted = list(names)
        missing = [name for name in wanted if self._read.get(name) is None]
        for name, intent in zip(missing, await self._load(missing), strict=True):
            self._read[name] = intent
        self._read = {name: self._read[name] for name in wanted}
        return [intent for intent in self._read.values() if intent is not None]

    async def _load(self, names: list[str]) -> list[Intent | None]:
        return list(await asyncio.gather(*(self._load_one(name) for name in names)))

    async def _load_one(self, name: str) -> Intent | None:
        try:
            body = await self._place.get(name)
            found = None if body is None else Intent.decode(body, object=name)
        except Error:
            return None
        if found is None or found.branch != self._branch:
            return None
        return found if self.name(found.commit.txn) == name else None

    async def delete(self, names: Iterable[str]) -> None:
        """Deletes intents whose outcomes are in the log; what fails is left to others."""

        async def one(name: str) -> None:
            try:
                await self._place.delete(name)
            except Error:
                return

        await asyncio.gather(*(one(name) for name in names))

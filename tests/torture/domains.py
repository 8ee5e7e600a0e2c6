"""The commit domains that there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from asynctensor.testing.store_faults import UnreliableStore
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction
from tests.torture.domain import Domain, Session


class TransactionSession(Session):
    """A `Transaction` over one store."""

    def __init__(self, store: UnreliableStore) -> None:
        self._transaction = Transaction()
        self._view = StagedStore(store, self._transaction)

    async def read(self, key: str) -> bytes | None:
        found = await self._view.read(key)
        return found.value if found.state == "value" else None

    async def write(self, key: str, value: bytes) -> None:
        await self._view.write(key, value)

    async def commit(self) -> None:
        await self._transaction.commit_async()

    async def abort(self) -> None:
        self._transaction.abort()


class MemoryDomain(Domain):
    """The atomic commits of `memory`, through `Transaction`."""

    name = "memory"
    # Stale reads too: what was read is validated by the commit.
    bears = ("reliable", "lossy", "s3", "gcs", "tigris", "express")

    async def create(self, store: UnreliableStore) -> None:
        self._store = store

    async def begin(self, client: int) -> Session:
        return TransactionSession(self._store)


DOMAINS: Mapping[str, type[Domain]] = {domain.name: domain for domain in (MemoryDomain,)}

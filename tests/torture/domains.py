"""The commit domains that there are, by name."""

from __future__ import annotations

import random
from collections.abc import Mapping

from asynctensor.errors import Aborted, CommitUnknown, Unavailable
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.storage.kvstore import KeyValueStore
from asynctensor.testing.store_faults import UnreliableStore
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction
from tests.torture.domain import Domain, Session


class TransactionSession(Session):
    """A `Transaction` over one store."""

    def __init__(self, store: KeyValueStore) -> None:
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


class RepoSession(TransactionSession):
    """Of a repository, which says when it does not know."""

    async def commit(self) -> None:
        try:
            await self._transaction.commit_async()
        except CommitUnknown as error:
            # Some find out, some live with it.
            if error.resolve is None or random.random() < 0.3:
                raise
            if await error.resolve() != "committed":
                raise Aborted("resolved: it was aborted") from error
        except Unavailable as error:
            raise Aborted("the store failed, and nothing was committed") from error


class MemoryDomain(Domain):
    """The atomic commits of `memory`, through `Transaction`."""

    name = "memory"
    # Stale reads too: what was read is validated by the commit.
    bears = ("reliable", "lossy", "s3", "gcs", "tigris", "express")

    async def create(self, store: UnreliableStore) -> None:
        self._store = store

    async def begin(self, client: int) -> Session:
        return TransactionSession(self._store)


class RepoDomain(Domain):
    """A branch of a repository, used by some processes, each with what it knows by itself."""

    name = "repo"
    # It needs reads that see what was created: no stale ones.
    bears = ("reliable", "lossy", "s3", "gcs", "express")
    # A client reads the newest state that it knows of.
    realtime = False

    async def create(self, store: UnreliableStore) -> None:
        self._store = store
        self._processes: dict[int, RepositoryStore] = {}
        self._count = random.choice((1, 2, 4, 8))
        await RepositoryState(Place(store.another(), "lab/")).create()

    async def begin(self, client: int) -> Session:
        process = client % self._count
        # Whoever is not one of the clients opens it anew, and so sees everything.
        if process not in self._processes or client < 0:
            state = RepositoryState(Place(self._store.another(), "lab/"))
            self._processes[process] = RepositoryStore(state, source_of(state, {}))
        return RepoSession(self._processes[process])


DOMAINS: Mapping[str, type[Domain]] = {domain.name: domain for domain in (MemoryDomain, RepoDomain)}

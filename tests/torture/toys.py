"""Small stores of versions, one right, the others each wrong in one way: they try the harness."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from asynctensor.errors import Aborted
from asynctensor.testing.store_faults import UnreliableStore
from tests.torture.domain import Domain, Session


class ToyDomain(Domain):
    """Serializable: a commit fails if anything that was read has changed."""

    name = "toy"
    bears = ("reliable",)
    #: Whether what was read, and what was written, is looked at by the commit.
    validates_reads: ClassVar[bool] = True
    validates_writes: ClassVar[bool] = True
    #: Whether reads see what others have not committed.
    dirty: ClassVar[bool] = False
    #: Whether all reads are of one moment.
    snapshots: ClassVar[bool] = True
    #: Whether a commit becomes visible key by key.
    piecemeal: ClassVar[bool] = False
    #: Every so often a commit that was done is reported as aborted.
    denies: ClassVar[int] = 0

    async def create(self, store: UnreliableStore) -> None:
        self.versions: dict[str, list[tuple[int, bytes]]] = {}
        self.uncommitted: dict[str, bytes] = {}
        self.number = 0
        self.commits = 0

    async def begin(self, client: int) -> Session:
        return ToySession(self)

    def newest(self, key: str) -> int:
        versions = self.versions.get(key)
        return versions[-1][0] if versions else 0


class ToySession(Session):
    def __init__(self, domain: ToyDomain) -> None:
        self.domain = domain
        self.base = domain.number
        self.seen: dict[str, int] = {}
        self.staged: dict[str, bytes] = {}

    async def read(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        if key in self.staged:
            return self.staged[key]
        if self.domain.dirty and key in self.domain.uncommitted:
            return self.domain.uncommitted[key]
        until = self.base if self.domain.snapshots else self.domain.number
        found = [v for v in self.domain.versions.get(key, ()) if v[0] <= until]
        self.seen.setdefault(key, found[-1][0] if found else 0)
        return found[-1][1] if found else None

    async def write(self, key: str, value: bytes) -> None:
        await asyncio.sleep(0)
        self.staged[key] = value
        if self.domain.dirty:
            self.domain.uncommitted[key] = value

    async def abort(self) -> None:
        for key in self.staged:
            self.domain.uncommitted.pop(key, None)

    async def commit(self) -> None:
        await asyncio.sleep(0.001)
        domain = self.domain
        await self.abort()
        if domain.validates_reads and any(domain.newest(k) != v for k, v in self.seen.items()):
            raise Aborted("read")
        if domain.validates_writes and any(domain.newest(k) > self.base for k in self.staged):
            raise Aborted("written")
        domain.commits += 1
        if not domain.piecemeal:
            domain.number += 1
        for key, value in self.staged.items():
            if domain.piecemeal:
                domain.number += 1
                await asyncio.sleep(0)
            domain.versions.setdefault(key, []).append((domain.number, value))
        if domain.denies and domain.commits % domain.denies == 0:
            raise Aborted("it was done")


class SnapshotToy(ToyDomain):
    """Snapshot isolation: what was only read is not looked at."""

    validates_reads = False


class LostUpdateToy(ToyDomain):
    """Nothing is looked at."""

    validates_reads = validates_writes = False


class DirtyToy(ToyDomain):
    """Reads see what is not committed, and may never be."""

    dirty = True
    validates_reads = validates_writes = False


class TornToy(ToyDomain):
    """Commits are visible key by key."""

    piecemeal = True
    snapshots = validates_reads = False


class DenyingToy(ToyDomain):
    """Reports every seventh commit as aborted."""

    denies = 7


class HangingToy(ToyDomain):
    """Never answers a commit."""

    async def begin(self, client: int) -> Session:
        session = ToySession(self)
        if client >= 0:
            session.commit = asyncio.Event().wait  # type: ignore[method-assign,assignment]
        return session

"""One state of a repository: what every key held after a commit. It never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asynctensor.kvstores.repo.conflicts import generation_of
from asynctensor.kvstores.repo.lookup import Found, lookup, lookup_many
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.tail import Tail, Version
from asynctensor.storage.generation import NO_VALUE


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the commit `version` of a branch.

    Attributes:
        branch: The branch's id.
        version: The commit.
        tail: A checkpoint's index, and what was committed since.
        count: How many of the tail's commits it sees.
        pages: Where pages of the index come from.
    """

    branch: str
    version: Version
    tail: Tail
    count: int
    pages: PageCache

    @property
    def last_commit(self) -> Version | None:
        """The newest commit that it sees, if its tail has it; else None: `History.last_commit`."""
        reset = self.tail.reset_at
        if not self.count:
            return reset
        last = self.tail.applied[self.count - 1].version
        return last if reset is None else max(last, reset)

    def generation(self, found: Found | None) -> bytes:
        """The generation of a value that was found, or of a key that has none."""
        return NO_VALUE if found is None else generation_of(self.branch, found[0])

    async def find(self, key: str) -> Found | None:
        """Where the value of `key` is, and which commit wrote it; None: there is none.

        Raises:
            DataLoss: The index is damaged.
            Error: The store failed.
        """
        return await self.pages.run(lookup(self.tail, self.count, key))

    async def find_many(self, keys: Sequence[str]) -> list[Found | None]:
        """`find` of many keys."""
        return await self.pages.run(lookup_many(self.tail, self.count, keys))

    def find_blocking(self, key: str) -> Found | None:
        """`find` on a thread that may wait."""
        return self.pages.run_blocking(lookup(self.tail, self.count, key))

    def find_many_blocking(self, keys: Sequence[str]) -> list[Found | None]:
        """`find_many` on a thread that may wait."""
        return self.pages.run_blocking(lookup_many(self.tail, self.count, keys))

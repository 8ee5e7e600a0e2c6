"""One state of a repository: what every key held after a commit. It never changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from asynctensor.kvstores.repo.conflicts import generation_of
from asynctensor.kvstores.repo.damage import LostPage
from asynctensor.kvstores.repo.lookup import Found, lookup, lookup_many
from asynctensor.kvstores.repo.pages import PageCache
from asynctensor.kvstores.repo.tail import Tail, Version
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import NO_VALUE

T = TypeVar("T")
Reopened: TypeAlias = "Callable[[Snapshot], Awaitable[Snapshot | None]]"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the commit `version` of a branch.

    Attributes:
        branch: The branch's id.
        version: The commit.
        tail: A checkpoint's index, and what was committed since.
        count: How many of the tail's commits it sees.
        pages: Where pages of the index come from.
        reopened: Finds the same state without the checkpoint that it rests on, whose pages are
            lost; None: there is no other way.
    """

    branch: str
    version: Version
    tail: Tail
    count: int
    pages: PageCache
    reopened: Reopened | None = field(default=None, compare=False, repr=False)

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
            DataLoss: The index is damaged, and the log does not help.
            Error: The store failed.
        """
        return await self.mended(lambda s: s.pages.run(lookup(s.tail, s.count, key)))

    async def find_many(self, keys: Sequence[str]) -> list[Found | None]:
        """`find` of many keys."""
        return await self.mended(lambda s: s.pages.run(lookup_many(s.tail, s.count, keys)))

    def find_blocking(self, key: str) -> Found | None:
        """`find` on a thread that may wait, and on which no read waits that this one needs."""
        return self.mended_blocking(lambda s: s.pages.run_blocking(lookup(s.tail, s.count, key)))

    def find_many_blocking(self, keys: Sequence[str]) -> list[Found | None]:
        """`find_many` on such a thread."""
        return self.mended_blocking(
            lambda s: s.pages.run_blocking(lookup_many(s.tail, s.count, keys))
        )

    def standing(self) -> Snapshot:
        """This state as it can be read: with another tail, if pages below its own are lost."""
        if self.tail.instead is None:
            return self
        tail, count = self.tail.stands_for(self.version, self.count)
        return replace(self, tail=tail, count=count)

    async def mended(self, use: Callable[[Snapshot], Awaitable[T]]) -> T:
        """What `use` gives of this state; again without each checkpoint whose pages are lost (R21).

        Raises:
            DataLoss, Error: As `use` does.
        """
        state = self.standing()
        while True:
            try:
                return await use(state)
            except LostPage:
                again = None if state.reopened is None else await state.reopened(state)
                if again is None:
                    raise
                state = again

    async def mended_stream(self, use: Callable[[Snapshot], AsyncIterator[T]]) -> AsyncIterator[T]:
        """The same of what gives one thing after the other, in an order that the state decides."""
        given = 0
        state = self.standing()
        while True:
            at = 0
            try:
                async for each in use(state):
                    at += 1
                    if at > given:
                        given = at
                        yield each
            except LostPage:
                again = None if state.reopened is None else await state.reopened(state)
                if again is None:
                    raise
                state = again
            else:
                return

    def mended_blocking(self, use: Callable[[Snapshot], T]) -> T:
        """`mended` on a thread that may wait."""
        state = self.standing()
        while True:
            try:
                return use(state)
            except LostPage:
                again = None if state.reopened is None else start(state.reopened, state).result()
                if again is None:
                    raise
                state = again

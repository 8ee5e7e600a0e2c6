"""Committing all that was staged at once, and trying again what others were in the way of."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from asynctensor.errors import Aborted, CommitUnknown, DeadlineExceeded, Error
from asynctensor.runtime.clock import Deadline
from asynctensor.storage.commit_cut import CommitCut
from asynctensor.storage.commit_domain import CommitDomain, Committed
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.root_names import Part, domain_of, owners_of, together
from asynctensor.transaction.sharing import Sharing
from asynctensor.transaction.terms import Terms

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AtomicCommit:
    """The commit of one transaction.

    Attributes:
        participants: What was staged, all in one domain.
        terms: What the commit says of itself.
        mark: The state that the transaction reads.
        sharing: Where several processes work on it.
        limit: When it must have been handed to the domain.
    """

    participants: Sequence[Participant]
    terms: Terms
    mark: object
    sharing: Sharing | None
    limit: Deadline

    async def run(self) -> Committed | None:
        """Commits; None if there was nothing to commit.

        Raises:
            Aborted: Something that was read has changed.
            CommitUnknown: The store does not say whether it was made.
            DeadlineExceeded: It was too late to begin.
            Error: The store failed; nothing was committed.
        """
        if not self.participants:
            return None
        domain = domain_of(self.participants[0]).root
        done = await self._attempt(domain)
        if done is None:
            async with AsyncExitStack() as held:
                await within(self.limit, held.enter_async_context(domain.turn()))
                while (done := await self._attempt(domain)) is None:
                    pass
        return done

    async def _attempt(self, domain: CommitDomain) -> Committed | None:
        """One try; None if values that were only written, not read, changed meanwhile."""
        token = None if self.sharing is None else self.sharing.token
        if token is None and self.terms.caller_key is None:
            # What was committed before, by others or under the same key, counts as done.
            self._foresee(domain)
        parts: list[Part] = []
        proposed = False
        try:
            for each in self.participants:
                part = await within(self.limit, each.prepare(token))
                parts.append((each, part))
            commits = together(parts)
            check(self.limit)
            proposed = True
            shared = None if self.sharing is None else self.sharing.commit()
            return await domain.commit(self.terms.commit(commits, self.mark, shared))
        except CommitUnknown:
            # What was stored for it may be in the log.
            raise
        except CommitCut as cut:
            raise cut.unknown from cut.unknown.__cause__
        except Error as error:
            if token is None:
                await _discard_stored(parts)
            if not (proposed and isinstance(error, Aborted) and error.key is not None):
                raise
            owners = owners_of(error.key, parts)
            if error.final or any(each.is_final(key) for each, key in owners):
                error.key = owners[0][1] if owners else error.key
                raise
            return None

    def _foresee(self, domain: CommitDomain) -> None:
        """Refuses at once what is known to conflict: nothing is worked out for it."""
        parts = [(each, each.read()) for each in self.participants]
        try:
            domain.foresee(self.terms.commit(together(parts), self.mark, None))
        except Aborted as error:
            owners = owners_of(error.key, parts)
            error.key = owners[0][1] if owners else error.key
            raise


async def _discard_stored(parts: Sequence[Part]) -> None:
    """Deletes what was stored ahead of a commit that was not made, and never will be."""
    for each, part in parts:
        if part.stash is not None and not each.keeps(part.stash):
            await part.stash.discard()


def check(limit: Deadline) -> None:
    """Refuses to go on behind a deadline.

    Raises:
        DeadlineExceeded: It is too late.
    """
    if limit.expired():
        raise _too_late()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the time given by timeout= or deadline= ran out during the commit")


async def within(limit: Deadline, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, unless that takes until `limit`: then it is cancelled.

    Raises:
        DeadlineExceeded: It was.
    """
    if limit.never:
        return await work
    until = asyncio.timeout(limit.remaining())
    try:
        async with until:
            return await work
    except TimeoutError as error:
        if not until.expired():
            raise
        raise _too_late() from error

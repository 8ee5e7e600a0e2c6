"""What a transaction that several processes work on knows of the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from asynctensor.errors import (
    Aborted,
    Error,
    FailedPrecondition,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.storage.commit_domain import Commit, CommitDomain
from asynctensor.storage.shared_transaction import Receipt, SharedCommit, SharedTransaction
from asynctensor.storage.stash import plain
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.root_names import domain_of, together
from asynctensor.transaction.terms import Terms

#: Bytes of what was staged before that a token carries.
_MOST_STAGED = 256 * 1024


class Sharing:
    """A transaction with a token; of one process.

    Args:
        token: Its token.
        domain: What commits it.
        part: Whether this process writes a part of it; else it gathers them.
    """

    def __init__(
        self, token: SharedTransaction, domain: CommitDomain, *, part: bool = False
    ) -> None:
        self.token = token
        self.domain = domain
        self.part = part
        #: By worker.
        self.receipts: dict[str, Receipt] = {}

    def add(self, receipt: Receipt) -> bool:
        """Adds a receipt, unless there is one of the same worker.

        Raises:
            InvalidArgument: It is of another transaction.
        """
        if receipt.transaction != self.token.id:
            raise InvalidArgument(
                f"the receipt of {receipt.worker!r} is of transaction {receipt.transaction}, and "
                f"this is {self.token.id}"
            )
        if receipt.worker in self.receipts:
            return False
        self.receipts[receipt.worker] = receipt
        return True

    def commit(self) -> SharedCommit:
        """What the commit says of it."""
        return SharedCommit(self.token, tuple(self.receipts.values()))

    async def finish(
        self,
        participants: Sequence[Participant],
        terms: Terms,
        mark: object,
        worker: str,
        attempt: int,
    ) -> Receipt:
        """Stores what was staged in this part.

        Raises:
            Aborted: Something that it rests on is not as it was.
            Error: The store failed.
        """
        prepared = [(each, await each.prepare(self.token)) for each in participants]
        commit = terms.commit(together(prepared), mark, self.commit())
        return await self.domain.write_part(commit, worker, attempt)

    async def abandoned(self, aborted: Error) -> Error:
        """Notes in the store that it is aborted; gives what its future fails with."""
        try:
            if not await self.domain.abandon(self.token):
                return FailedPrecondition(
                    "the transaction was committed before it was aborted: by somebody else with "
                    "the same token"
                )
        except Error as error:
            return error
        return aborted

    async def settle(self, failure: Error) -> None:
        """Notes that it is over if what it rests on has changed (R4).

        After any other failure it may be resumed.
        """
        if isinstance(failure, Aborted):
            with suppress(Error):
                await self.domain.abandon(self.token)


async def share(participants: Sequence[Participant], terms: Terms, mark: object) -> Sharing:
    """Gives a transaction a token.

    Raises:
        FailedPrecondition: Nobody knows where it commits, or too much was staged before.
        Unimplemented: The store keeps no history.
        Error: The store failed.
    """
    if not participants:
        raise FailedPrecondition(
            "nothing was opened in this transaction yet: open an array in it first, or use "
            "Repository.transaction()"
        )
    for each in participants:
        if (domain := domain_of(each)).root is not domain:
            raise Unimplemented(
                f"{each.description} shows a store under other names of keys, by which other "
                "processes would not find what was staged: share the transaction before it is used"
            )
    domain = domain_of(participants[0])
    given = terms.commit([each.given() for each in participants], mark, None)
    check_given(given)
    return Sharing(await domain.share(given), domain)


def check_given(terms: Commit) -> None:
    """Refuses to put more into a token than is good for it.

    Raises:
        FailedPrecondition: What was staged is too much.
    """
    size = sum(len(key) + len(value or b"") for key, value in plain(terms.values).items())
    if size > _MOST_STAGED:
        raise FailedPrecondition(
            f"{size} bytes of whole values were staged before the transaction was shared, and a "
            f"token takes at most {_MOST_STAGED}: share it first, and write them then"
        )

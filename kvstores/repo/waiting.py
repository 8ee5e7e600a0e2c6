"""A transaction that waits for its outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from asynctensor.errors import CommitUnknown, Error
from asynctensor.kvstores.repo.proposal import Landed, Proposal


@dataclass(slots=True)
class Waiting:
    """One transaction, and whoever waits for it.

    Attributes:
        proposal: The transaction.
        outcome: Told how it ends.
        judged: A slot up to which nothing speaks against it.
    """

    proposal: Proposal
    outcome: asyncio.Future[Landed]
    judged: int = 0

    def settle(self, landed: Landed) -> None:
        """Tells that its outcome stands in the log."""
        if not self.outcome.done():
            self.outcome.set_result(landed)

    def fail(self, error: Error) -> None:
        """Tells that it failed, or that its outcome is not known."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            # Whoever waited may be gone.
            self.outcome.exception()

    def unknown(self, branch: str, cause: BaseException | None) -> CommitUnknown:
        """See `outcome_unknown`."""
        return outcome_unknown(self.proposal, branch, cause)


def outcome_unknown(proposal: Proposal, branch: str, cause: BaseException | None) -> CommitUnknown:
    """The error of a transaction to a branch of which the store did not say how it ended."""
    entry = proposal.entry
    unknown = CommitUnknown(
        "the store did not say whether the transaction was committed; await "
        "error.resolve() to find out, or have it aborted",
        transaction_id=entry.txn.hex(),
        branch=branch,
        base=entry.base,
        digest=entry.digest.hex(),
    )
    unknown.__cause__ = cause
    return unknown

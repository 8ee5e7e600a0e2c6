"""What a transaction that several processes work on knows of the others."""

from __future__ import annotations

from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.storage.commit_domain import Commit, CommitDomain
from asynctensor.storage.shared_transaction import Receipt, SharedCommit, SharedTransaction
from asynctensor.storage.stash import plain

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

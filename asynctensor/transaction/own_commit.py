"""`in_one_commit`: an operation of several steps that nobody put into a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asynctensor.errors import Aborted
from asynctensor.storage.commit_domain import Isolation
from asynctensor.transaction.transaction import Transaction

#: How often it is begun again because others changed what it rests on.
_ATTEMPTS = 100


async def in_one_commit(
    steps: Callable[[Transaction], Awaitable[object]],
    *,
    rests_on_reads: int = _ATTEMPTS,
) -> None:
    """Takes `steps` in a transaction and commits it; anew as often as others are in the way.

    Args:
        steps: What it does.
        rests_on_reads: Attempts that count as conflicts what was read and listed, too. Further ones
            count only what must be as it was for the writes to be right, so that others who never
            rest do not keep it from ending.

    Raises:
        Aborted: Others were in the way each time.
        Error: What `steps` raise, or the store; nothing was committed.

    A cancelled call has committed all of it or nothing.
    """
    for attempt in range(_ATTEMPTS):
        isolation: Isolation = "serializable" if attempt < rests_on_reads else "blind"
        transaction = Transaction(isolation=isolation)
        try:
            await steps(transaction)
            await transaction.commit_async()
        except Aborted:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return
        finally:
            if transaction.open:
                transaction.abort()

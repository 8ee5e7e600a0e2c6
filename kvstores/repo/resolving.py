"""Finding out what became of a transaction whose commit the store did not answer."""

from __future__ import annotations

from functools import partial

from asynctensor.errors import CommitUnknown
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.event_loop import start


async def resolve(state: RepositoryState, unknown: CommitUnknown) -> str:
    """See `Repository.resolve` (R5): its outcome, which is made an abort if there is none.

    Raises:
        CommitUnknown: The store does not say whether the abort was written.
        Error: The store failed.
    """
    branch = await state.branch_by_id(await state.lineage_of(unknown.branch))
    await branch.refresh()
    entry = CommitEntry(bytes.fromhex(unknown.transaction_id), unknown.base, now())
    landed = await branch.commit(Proposal(entry, abort=True))
    return "committed" if landed.committed else "aborted"


def resolvable(state: RepositoryState, unknown: CommitUnknown) -> CommitUnknown:
    """The error with a `resolve` that works in this process."""
    unknown.resolve = partial(start, resolve, state, unknown)
    return unknown

"""Finding out what became of a transaction whose commit the store did not answer."""

from __future__ import annotations

from functools import partial

from asynctensor.errors import CommitUnknown, DataLoss, NotFound
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.log import read_slot
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import AbortEntry, CommitEntry
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.event_loop import start


async def resolve(state: RepositoryState, unknown: CommitUnknown) -> str:
    """See `Repository.resolve` (R5): its outcome, which is made an abort if there is none.

    Raises:
        CommitUnknown: The store does not say whether the abort was written.
        Error: The store failed.
    """
    lineage = await state.lineage_of(unknown.branch)
    txn = bytes.fromhex(unknown.transaction_id)
    try:
        branch = await state.branch_by_id(lineage)
        await branch.refresh()
        entry = CommitEntry(txn, unknown.base, now())
        landed = await branch.commit(Proposal(entry, abort=True))
    except (DataLoss, NotFound):
        return await _looked_up(state, lineage, txn, unknown)
    if not landed.committed:
        return "aborted"
    unknown.commit_id = snapshot_id(lineage.at(landed.version[0]).branch, landed.version)
    return "committed"


async def _looked_up(
    state: RepositoryState, lineage: Lineage, txn: bytes, unknown: CommitUnknown
) -> str:
    """The outcome where some record since the base is damaged or gone, so that none is written.

    Returns:
        What stands in a record that can be read; else "unknown".
    """
    seq = unknown.base
    while True:
        seq += 1
        try:
            record = await read_slot(state.place, lineage.at(seq).branch, seq)
        except DataLoss:
            continue
        if record is None:
            return "unknown"
        for place, entry in enumerate(record.entries):
            if isinstance(entry, CommitEntry | AbortEntry) and entry.txn == txn:
                await state.history.durable(lineage, seq)
                if isinstance(entry, AbortEntry):
                    return "aborted"
                unknown.commit_id = snapshot_id(lineage.at(seq).branch, (seq, place))
                return "committed"


def resolvable(state: RepositoryState, unknown: CommitUnknown) -> CommitUnknown:
    """The error with a `resolve` that works in this process."""
    unknown.resolve = partial(start, resolve, state, unknown)
    return unknown

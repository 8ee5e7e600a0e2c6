"""What the log says about a transaction that wants to be committed. Pure.

The answer depends on the log and the transaction only, so that every process, of whatever version,
comes to the same one; what is accepted for the next record, and not in the log yet, fails nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from asynctensor.errors import Aborted, AlreadyExists, FailedPrecondition, Unimplemented
from asynctensor.kvstores.repo.caller_keys import CallerKeys
from asynctensor.kvstores.repo.conflict_report import report
from asynctensor.kvstores.repo.conflicts import Conflict, Footing, conflicts
from asynctensor.kvstores.repo.part_conflicts import part_conflicts
from asynctensor.kvstores.repo.proposal import Landed, Proposal
from asynctensor.kvstores.repo.record import (
    AbortEntry,
    ClosedEntry,
    CommitEntry,
    Entry,
    FloorEntry,
    Record,
    SweepEntry,
)
from asynctensor.kvstores.repo.tail import Version
from asynctensor.kvstores.repo.tree import Pages

Later = list[tuple[Version, CommitEntry]]


class Standing(Enum):
    """How an undecided transaction stands: it may go into the next record, or into a later one."""

    READY = "ready"
    LATER = "later"


def judge(
    proposal: Proposal,
    since: Sequence[Record],
    accepted: Sequence[Entry],
    *,
    branch: str,
    name: str,
    tail: int,
    keys: CallerKeys,
) -> Pages[Landed | Standing]:
    """The outcome of a transaction, or how it stands; yields what it needs of parts.

    Args:
        proposal: The transaction.
        since: All records since its base, in order; or since it was judged last, as what held then
            can only have been changed by what came behind.
        accepted: What goes before it into the next record.
        branch: The branch's id.
        name: The branch's name, for messages.
        tail: The last slot of the log.
        keys: The callers' keys of the commits up to it.

    Raises:
        Aborted: It conflicts with what was committed, or its abort stands in the log.
        AlreadyExists: Another transaction of the same id was committed.
        FailedPrecondition: The branch was deleted before it was committed.
        Unimplemented: The log has an entry of a later version: nobody knows what it rests on.
    """
    later: Later = []
    for record in since:
        for place, other in enumerate(record.entries):
            decided = _decided(proposal, other, (record.seq, place), name)
            if decided is not None:
                return decided
            if isinstance(other, CommitEntry) and record.seq > proposal.seen:
                later.append(((record.seq, place), other))
            if not known(other):
                raise unknown_entry(record.seq, name)
    closing = any(isinstance(other, ClosedEntry) for other in accepted)
    if proposal.abort or proposal.closes:
        return Standing.LATER if proposal.closes and closing else Standing.READY
    if proposal.entry.caller_key is not None:
        done = yield from _done_before(proposal.entry.caller_key, accepted, keys)
        if done is not None:
            return done
    if proposal.alone and later:
        raise Aborted(f"branch {name!r} has newer commits", operation="commit")
    found = yield from part_conflicts(proposal, branch, later)
    if found:
        raise _conflict(found, later, branch, name)
    before: Later = [
        ((tail + 1, place), other)
        for place, other in enumerate(accepted)
        if isinstance(other, CommitEntry)
    ]
    if closing or (before and proposal.alone):
        return Standing.LATER
    if before and (yield from part_conflicts(proposal, branch, later + before)):
        return Standing.LATER
    return Standing.READY


def foresee(footing: Footing, since: Sequence[Record], *, branch: str, name: str) -> None:
    """Refuses what would be found to conflict, as far as that takes no more than the log.

    Args:
        footing: What a transaction rests on.
        since: All records behind what it saw, in order.
        branch: The branch's id.
        name: The branch's name, for messages.

    Raises:
        Aborted: It conflicts with what was committed.
    """
    later: Later = []
    for record in since:
        for place, other in enumerate(record.entries):
            if isinstance(other, ClosedEntry) or not known(other):
                # Something else is wrong, which `judge` tells.
                return
            if isinstance(other, CommitEntry):
                if other.parts:
                    return
                later.append(((record.seq, place), other))
    found = conflicts(footing, branch, later)
    if found:
        raise _conflict(found, later, branch, name)


def _done_before(
    key: str, accepted: Sequence[Entry], keys: CallerKeys
) -> Pages[Landed | Standing | None]:
    """What another commit with the same caller's key means; None: there is none (R9)."""
    bore = yield from keys.find(key)
    if bore is not None:
        return Landed(bore, committed=True, earlier=True)
    bearers = [each for each in accepted if isinstance(each, CommitEntry)]
    return Standing.LATER if any(each.caller_key == key for each in bearers) else None


def known(entry: Entry) -> bool:
    """Whether this version knows what an entry means."""
    return isinstance(entry, (CommitEntry, AbortEntry, FloorEntry, SweepEntry, ClosedEntry))


def unknown_entry(seq: int, name: str) -> Unimplemented:
    """The error of whoever would have to understand an entry of a later version (R7)."""
    return Unimplemented(
        f"record {seq} of branch {name!r} has an entry that this version does not know; upgrade "
        "asynctensor to commit here"
    )


def deleted(name: str) -> FailedPrecondition:
    """The error of whoever would commit to a closed branch (R23)."""
    return FailedPrecondition(f"branch {name!r} was deleted; nothing was committed")


def is_outcome(entry: Entry, txn: bytes) -> bool:
    """Whether an entry is the commit or the abort of a transaction."""
    return isinstance(entry, (CommitEntry, AbortEntry)) and entry.txn == txn


def _decided(proposal: Proposal, other: Entry, version: Version, name: str) -> Landed | None:
    """What an entry of the log says about a transaction; None: nothing."""
    mine = proposal.entry
    if isinstance(other, ClosedEntry):
        if proposal.closes:
            return Landed(version, committed=True)
        if proposal.abort:
            # Nothing is committed behind it (R23).
            return Landed(version, committed=False)
        raise deleted(name)
    if isinstance(other, AbortEntry) and other.txn == mine.txn:
        if proposal.abort:
            return Landed(version, committed=False)
        raise Aborted("the transaction was aborted: its abort stands in the log")
    if isinstance(other, CommitEntry) and other.txn == mine.txn:
        if not proposal.abort and other.digest != mine.digest:
            raise AlreadyExists(
                f"a transaction of this id was committed in record {version[0]} with other "
                "contents; nothing more was committed"
            )
        return Landed(version, committed=True)
    return None


def _conflict(found: list[Conflict], later: Later, branch: str, name: str) -> Aborted:
    told = report(found, dict(later), branch)
    named = "; ".join(map(str, told[:3]))
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    error = Aborted(
        f"branch {name!r} has changed meanwhile: {named}{more}; run the transaction again",
        key=found[0].key,
        operation="commit",
    )
    error.conflicts = told
    error.final = any(each.read for each in found)
    return error

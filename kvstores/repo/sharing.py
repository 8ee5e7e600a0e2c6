"""One transaction of several processes: tokens, parts and receipts.

Whoever shares a transaction fixes its id, its base and all that its commit says of itself. Workers
store their values and one part each, which nobody refers to until the commit does: what is not
added to it never happened. As others know the id, only the log can say that it is aborted (R4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from asynctensor.errors import (
    Aborted,
    DataLoss,
    Error,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from asynctensor.kvstores.repo import key_columns, objects
from asynctensor.kvstores.repo.branch import Branch, now
from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.family import Family
from asynctensor.kvstores.repo.lease import Lease
from asynctensor.kvstores.repo.located import family_of
from asynctensor.kvstores.repo.overlaps import Clash, Writer, WrittenAt, find_clashes
from asynctensor.kvstores.repo.part import Part
from asynctensor.kvstores.repo.part_merging import MergedKeys, without_keys
from asynctensor.kvstores.repo.part_receipt import PartReceipt
from asynctensor.kvstores.repo.part_ref import PartRef, Span
from asynctensor.kvstores.repo.place import Created, Place
from asynctensor.kvstores.repo.proposal import Landed, PartReads, Proposal
from asynctensor.kvstores.repo.read_set import ReadSet
from asynctensor.kvstores.repo.record import AbortEntry, CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.run import Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.entropy import random_bytes
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction

#: Attempts to store a part, each under a name of its own.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Gathered:
    """The parts of a commit.

    Attributes:
        parts: In an order that only depends on which they are.
        families: Those of their keys.
        reads: What they rest on.
        merged: The values of keys that several have written in part; they are in no part.
    """

    parts: tuple[PartRef, ...] = ()
    families: tuple[Family, ...] = ()
    reads: tuple[PartReads, ...] = ()
    merged: Mapping[str, Ref | None] = field(default_factory=dict)


async def gathered(
    receipts: tuple[Receipt, ...],
    families: tuple[Family, ...],
    runs: tuple[Run, ...],
    place: Place,
    written_at: WrittenAt,
    merging: Callable[[list[Clash]], Awaitable[Mapping[str, Ref | None]]],
) -> Gathered:
    """The parts that receipts are of, checked against each other.

    Args:
        receipts: One of each worker.
        families: Of what whoever commits has written by itself.
        runs: What that is.
        place: Where the parts are.
        written_at: Which parts of values whoever commits has written.
        merging: Makes one value of each key that several have written in part.

    Raises:
        InvalidArgument: A receipt is damaged.
        FailedPrecondition: Two wrote the same; see `find_clashes`.
        DataLoss: A part is missing or damaged.
        Error: The store failed.
    """
    found = sorted(map(PartReceipt.read, receipts), key=_order)
    known = {family.id: family for each in found for family in each.families}
    known.update((family.id, family) for family in families)
    writers = [
        Writer(f"worker {each.ref.worker!r}", each.ref.spans, each.ref)
        for each in found
        if each.ref.spans
    ]
    spans = tuple(Span.of(run) for run in runs if len(run))
    if spans:
        writers.append(Writer("whoever commits", spans, None, runs, written_at))
    merged: dict[str, Ref | None] = {}
    taken = MergedKeys()
    async for clashes in find_clashes(writers, known, place):
        merged.update(await merging(clashes))
        taken.add(clashes)
    parts = [await without_keys(place, each.ref, taken.of(each.ref)) for each in found]
    ordered = tuple(sorted(known.values(), key=lambda family: family.key))
    reads = tuple(PartReads(each.ref, each.reads) for each in found if _rests(each.reads))
    return Gathered(tuple(each for each in parts if each.count), ordered, reads, merged)


def _order(receipt: PartReceipt) -> tuple[str, str]:
    return receipt.ref.worker, receipt.ref.object


def _rests(reads: ReadSet) -> bool:
    return bool(reads.keys or reads.ranges)


async def join(
    state: RepositoryState, branch: Branch, token: SharedTransaction, *, may_be_committed: bool
) -> Snapshot:
    """The state that a shared transaction reads, unless it is over.

    Raises:
        Aborted: It was aborted.
        FailedPrecondition: It was committed; or the branch's name means another one now.
        NotFound, DataLoss, Error: The state cannot be read.
    """
    if branch.id != token.branch:
        raise FailedPrecondition(
            f"the branch {branch.name!r} that the transaction was shared for is gone, and its name "
            "means another one"
        )
    newest = await branch.refresh(token.base[0])
    if newest.version[0] < token.base[0]:
        raise NotFound(
            f"branch {branch.name!r} has no record {token.base[0]}: is it another store?"
        )
    txn = bytes.fromhex(token.id)
    for seq in range(token.base[0] + 1, newest.version[0] + 1):
        for entry in (await branch.record(seq)).entries:
            if isinstance(entry, AbortEntry) and entry.txn == txn:
                raise Aborted("the transaction was aborted: its abort stands in the log")
            if isinstance(entry, CommitEntry) and entry.txn == txn and not may_be_committed:
                raise FailedPrecondition("the transaction was committed; nothing can join it")
    if newest.version == token.base:
        return newest
    return await state.history.snapshot(branch.log.lineage, token.base)


async def landed_alike(branch: Branch, entry: CommitEntry) -> Landed | None:
    """Where the same transaction was committed with the same parts and values; None if it was not.

    What whoever commits has stored by itself, merged values among it, lies in other objects each
    time: it counts as the same if it has the same keys, sizes and checksums.
    """
    newest = (await branch.refresh()).version[0]
    for seq in range(entry.base + 1, newest + 1):
        for place, each in enumerate((await branch.record(seq)).entries):
            if isinstance(each, CommitEntry) and each.txn == entry.txn:
                same = each.parts == entry.parts and list(map(_content, each.runs)) == list(
                    map(_content, entry.runs)
                )
                return Landed((seq, place), committed=True) if same else None
    return None


def _content(run: Run) -> tuple[object, ...]:
    keys = run.keys if isinstance(run.keys, list) else run.keys.tolist()
    return run.space, keys, run.deleted.tolist(), run.sizes.tolist(), run.crcs.tolist()


def reads_of(footing: Footing) -> tuple[ReadSet, set[Family]]:
    """What a part rests on, and the families of its keys."""
    keys = {
        space: key_columns.of(space, sorted(footing.in_space(space))) for space in footing.spaces
    }
    found = {family for key in footing.expected if (family := family_of(key)) is not None}
    return ReadSet(keys, tuple(footing.ranges)), found


async def store_part(place: Place, part: Part) -> PartReceipt:
    """Stores a part; returns when the store has acknowledged it (R3).

    Raises:
        Error: The store failed. What was written is named by nobody.
    """
    body = part.encode()
    name = ""
    for _ in range(_ATTEMPTS):
        name = objects.part(part.branch, part.txn, random_bytes(objects.RANDOM_BYTES))
        if await place.create(name, body) is Created.CREATED:
            return PartReceipt.of(part, part.ref(name, body))
    raise Unavailable("the store did not take a part of a transaction", key=place.key(name))


async def stored_parts(place: Place, token: SharedTransaction) -> list[Receipt]:
    """The receipts of all parts that are stored; see `CommitDomain.parts_of`."""
    found: list[Receipt] = []
    txn = bytes.fromhex(token.id)
    names = [e.key async for e in place.names(objects.part_prefix(token.branch, txn))]
    for name in sorted(names):
        body = await place.get(name)
        if body is None:
            continue
        with suppress(DataLoss):
            # A damaged part is none: its task has to be done again.
            part = Part.decode(body, object=name)
            if part.of:
                # Stored anew for a commit, without keys that were merged.
                continue
            receipt = PartReceipt.of(part, part.ref(name, body)).receipt(token.id)
            # Whoever wrote it may have died before that was certain (R3).
            await place.confirm(name, body)
            found.append(receipt)
    return found


def lease_of(token: SharedTransaction) -> Lease:
    """The lease on the state that a shared transaction reads (R16)."""
    return Lease(token.branch, token.base, token.branch, bytes.fromhex(token.id), token.time)


async def hold(place: Place, token: SharedTransaction) -> None:
    """Takes the lease of a shared transaction, before anybody knows its id.

    Raises:
        Error: The store failed.
    """
    lease = lease_of(token)
    outcome = await place.create(lease.name(0), lease.encode())
    if outcome is Created.UNKNOWN and await place.get(lease.name(0)) is None:
        raise Unavailable("the store did not take a lease", key=place.key(lease.name(0)))


async def release(place: Place, token: SharedTransaction) -> None:
    """Releases the lease, once the outcome stands in the log.

    What is not released is so as soon as a collector sees the outcome: failures do not matter.
    """
    lease = lease_of(token)
    with suppress(Error):
        await place.create(lease.name(1), lease.encode())


async def abandon(state: RepositoryState, branch: Branch, token: SharedTransaction) -> bool:
    """Writes the abort of a shared transaction into the log (R4); see `CommitDomain.abandon`.

    Raises:
        CommitUnknown: The store does not say whether it was written.
        Error: The store failed.
    """
    if branch.id != token.branch:
        branch = await state.branch_by_id(await state.lineage_of(token.branch))
    await branch.refresh(token.base[0])
    entry = CommitEntry(bytes.fromhex(token.id), token.base[0], now())
    landed = await branch.commit(Proposal(entry, abort=True))
    await release(state.place, token)
    return not landed.committed

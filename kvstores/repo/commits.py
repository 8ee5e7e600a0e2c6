"""The commit domain of one branch: turns what was staged into a proposal to the log."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    CommitUnknown,
    Error,
    FailedPrecondition,
)
from asynctensor.kvstores.repo.branch import Branch, now
from asynctensor.kvstores.repo.conflicts import Footing, generation_of
from asynctensor.kvstores.repo.family import DOCUMENTS, Family, Keys
from asynctensor.kvstores.repo.key_columns import at as key_at
from asynctensor.kvstores.repo.located import by_family
from asynctensor.kvstores.repo.objects import TXN_BYTES
from asynctensor.kvstores.repo.overlaps import Clash
from asynctensor.kvstores.repo.pack_stash import PackedValue, PackStash
from asynctensor.kvstores.repo.part import Part, written_at
from asynctensor.kvstores.repo.part_merging import merged_values
from asynctensor.kvstores.repo.proposal import Landed, Proposal
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.resolving import resolvable
from asynctensor.kvstores.repo.run import DELETED, Run
from asynctensor.kvstores.repo.sharing import (
    Gathered,
    abandon,
    gathered,
    hold,
    join,
    landed_alike,
    reads_of,
    release,
    store_part,
    stored_parts,
)
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import BranchSource, FixedSource
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.waiting import outcome_unknown
from asynctensor.runtime.entropy import random_bytes
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.commit_cut import CommitCut
from asynctensor.storage.commit_domain import Commit, CommitDomain, Committed
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.partial_value import Written
from asynctensor.storage.shared_transaction import Receipt, SharedCommit, SharedTransaction
from asynctensor.storage.stash import plain

#: Bytes in which a part tells which parts of values were written.
_MOST_WRITTEN = 16 * 2**20
#: Bytes of values that are moved from pack to pack together.
_TOGETHER = 8 * 2**20
#: Runs up to this length are built from Python objects.
_SMALL = 64


class RepositoryCommits(CommitDomain):
    """Commits to one branch of a repository.

    Args:
        state: The repository.
        source: The branch.
    """

    def __init__(self, state: RepositoryState, source: BranchSource) -> None:
        self._state = state
        self._source = source

    @property
    def identity(self) -> object:
        """See `CommitDomain.identity`."""
        return ("repo", self._state.place.identity, self._source.identity)

    def mark(self) -> FixedSource:
        """See `CommitDomain.mark`: the newest state when it is first read."""
        return FixedSource(self._source.members, self._begin)

    async def _begin(self) -> Snapshot:
        branch = await self._source.branch()
        return await branch.refresh()

    def stash(self, shared: SharedTransaction | None = None) -> PackStash:
        """See `CommitDomain.stash`."""
        txn = None if shared is None else bytes.fromhex(shared.id)
        return PackStash(self._state.place, txn, self._tail if shared is None else None)

    async def _tail(self) -> int:
        return (await self._source.branch()).newest().version[0]

    def foresee(self, commit: Commit) -> None:
        """See `CommitDomain.foresee`: what is known of the log is looked through."""
        branch, mark = self._source.known_branch(), commit.mark
        began = mark.known() if isinstance(mark, FixedSource) else None
        if branch is None or began is None or branch.log.tail <= began.version[0]:
            return
        if not _is_nothing(commit):
            branch.foresee(_footing(commit), began.version[0])

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `CommitDomain.turn`: it is the branch's, among the tasks of this process."""
        branch = self._source.known_branch()
        return nullcontext() if branch is None else branch.again

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`.

        Raises:
            CommitUnknown: The store did not say whether it was committed.
        """
        branch = await self._source.branch()
        if _is_nothing(commit):
            # What it read, it read of one state: there is nothing to validate, and nothing to say.
            return Committed({})
        await self._state.may_write(branch)
        base, looked_up = branch.newest(), commit.looked_up
        if isinstance(commit.mark, FixedSource):
            if commit.mark.known() is None:
                # Nothing was read there: what it rests on, if anything, was looked up since, so
                # that no request needs to find out how a transaction began that saw nothing.
                looked_up = frozenset()
            else:
                base = await commit.mark.snapshot()
        await _check(commit, base, looked_up)
        stash = self._stash_of(commit)
        try:
            return await self._propose(branch, commit, base, stash)
        except CommitUnknown:
            raise
        except Error:
            if stash is not commit.stash and commit.shared is None:
                # Nobody else has its values, and the log never will.
                await stash.packs.discard()
            raise

    async def _propose(
        self, branch: Branch, commit: Commit, base: Snapshot, stash: PackStash
    ) -> Committed:
        """Stores what is to be committed, and puts it into the log."""
        shared = commit.shared
        refs = await self._stored(commit, stash)
        families, runs = await _runs(refs)
        parts = Gathered(families=families)
        if shared is not None:
            parts = await self._gathered(shared, commit, families, runs, stash)
            if parts.merged:
                refs |= parts.merged
                _, runs = await _runs(refs)
        entry = CommitEntry(
            txn=stash.txn,
            base=_begun(commit, base),
            # The same whoever commits it, so that it is known again (R9).
            time=now() if shared is None else shared.token.time,
            message=commit.message,
            author=commit.author,
            metadata=commit.metadata or {},
            isolation=commit.isolation,
            cleared=tuple(commit.cleared),
            families=parts.families,
            runs=runs,
            parts=parts.parts,
            caller_key=commit.caller_key,
        )
        seen = base.version[0]
        proposal = Proposal(entry, _footing(commit), reads=parts.reads, seen=seen)
        try:
            landed = await self._landed(branch, proposal, shared)
        except CommitUnknown as error:
            raise resolvable(self._state, error) from error.__cause__
        except CancelledError as error:
            # Whoever waits for a commit does not cancel it: the loop ends, and the record may be
            # there, or on its way.
            unknown = outcome_unknown(proposal, branch.id, error)
            raise CommitCut(resolvable(self._state, unknown)) from error
        if landed.earlier:
            if shared is None:
                # It was done before; nothing of this is in the log, nor ever will be.
                await stash.packs.discard()
            id_ = snapshot_id(branch.log.lineage.at(landed.version[0]).branch, landed.version)
            return Committed(dict.fromkeys(refs, UNKNOWN), id_)
        generation = generation_of(branch.id, landed.version)
        return Committed(
            {key: NO_VALUE if ref is None else generation for key, ref in refs.items()},
            snapshot_id(branch.id, landed.version),
        )

    async def _landed(
        self, branch: Branch, proposal: Proposal, shared: SharedCommit | None
    ) -> Landed:
        """Has a transaction put into the log; where it is then, by this attempt or another.

        Raises:
            Aborted: It stands in the log that it is aborted.
            Error: See `Branch.commit`.
        """
        try:
            landed = await branch.commit(proposal)
        except AlreadyExists:
            found = None if shared is None else await landed_alike(branch, proposal.entry)
            if found is None:
                raise
            landed = found
        if not landed.committed:
            raise Aborted("the transaction was aborted by somebody else", operation="commit")
        if shared is not None:
            await release(self._state.place, shared.token)
        return landed

    async def _gathered(
        self,
        shared: SharedCommit,
        commit: Commit,
        families: tuple[Family, ...],
        runs: tuple[Run, ...],
        stash: PackStash,
    ) -> Gathered:
        """The parts of a shared transaction; what several have written in part is merged."""
        place = self._state.place

        async def merging(clashes: list[Clash]) -> dict[str, Ref | None]:
            if commit.merge is None:
                raise FailedPrecondition(
                    f"several workers wrote parts of {clashes[0].spelled!r}, which cannot be merged"
                )
            return await merged_values(clashes, commit.merge, stash.packs, place)

        written = written_runs(commit.written)
        return await gathered(
            shared.receipts, families, runs, place, partial(written_at, written), merging
        )

    def _stash_of(self, commit: Commit) -> PackStash:
        """What stores the values of a commit: its own stash, unless that had a commit before."""
        if commit.shared is not None:
            # Whoever writes into it does so under its id.
            return self.stash(commit.shared.token)
        given = commit.stash
        return given if isinstance(given, PackStash) and given.claim() else self.stash()

    async def _stored(self, commit: Commit, stash: PackStash) -> dict[str, Ref | None]:
        """Has all values stored; gives where they are."""
        refs: dict[str, Ref | None] = {}
        rest: dict[str, bytes] = {}
        moved: dict[str, bytes] = {}
        size = 0
        for key, value in commit.values.items():
            if value is None:
                refs[key] = None
            elif isinstance(value, bytes):
                rest[key] = value
            elif isinstance(value, PackedValue):
                if value.stash.txn == stash.txn:
                    refs[key] = value.ref
                else:
                    # In the packs of a transaction of which nothing may ever be in the log.
                    moved[key] = await value.stash.read(key, value)
                    size += value.size
                    if size >= _TOGETHER:
                        refs |= await stash.packs.pack(moved)
                        moved, size = {}, 0
        refs |= await stash.packs.pack(moved)
        refs |= await stash.packs.store(rest)
        return refs

    async def share(self, terms: Commit) -> SharedTransaction:
        """See `CommitDomain.share`; the state that it reads is held by a lease."""
        branch = await self._source.branch()
        assert isinstance(terms.mark, FixedSource)
        base = await terms.mark.snapshot()
        place = self._state.place
        token = SharedTransaction(
            {"driver": "repo", "base": place.store.spec_json(place.path), **self._source.members},
            random_bytes(TXN_BYTES).hex(),
            branch.id,
            base.version,
            now(),
            terms.isolation,
            terms.message,
            terms.author,
            terms.metadata or {},
            tuple((each.inclusive_min, each.exclusive_max) for each in terms.cleared),
            tuple(sorted(plain(terms.values).items())),
            terms.caller_key,
        )
        await hold(place, token)
        return token

    async def join(self, token: SharedTransaction) -> FixedSource:
        """See `CommitDomain.join`."""
        return await self._joined(token, may_be_committed=False)

    async def resume(self, token: SharedTransaction) -> FixedSource:
        """See `CommitDomain.resume`."""
        return await self._joined(token, may_be_committed=True)

    async def _joined(self, token: SharedTransaction, *, may_be_committed: bool) -> FixedSource:
        branch = await self._source.branch()
        base = await join(self._state, branch, token, may_be_committed=may_be_committed)

        async def find() -> Snapshot:
            return base

        mark = FixedSource(self._source.members, find)
        await mark.snapshot()
        return mark

    async def write_part(self, commit: Commit, worker: str, attempt: int) -> Receipt:
        """See `CommitDomain.write_part`."""
        shared, mark = commit.shared, commit.mark
        assert shared is not None
        assert isinstance(mark, FixedSource)
        if commit.cleared:
            raise FailedPrecondition(
                "a part of a shared transaction cannot delete ranges of keys (nor an array, nor "
                "shrink one): do that where the transaction is committed, before it is shared"
            )
        await _check(commit, await mark.snapshot(), commit.looked_up)
        stash = self._stash_of(commit)
        refs = await self._stored(commit, stash)
        written, runs = await _runs(refs)
        reads, read = reads_of(_footing(commit))
        families = tuple(sorted({*written, *read}, key=lambda family: family.key))
        known = {family.id: family for family in families}
        branch, reads = shared.token.branch, reads.coarsened(known)
        of = await data_copy_pool().run(written_runs, commit.written)
        part = Part(branch, stash.txn, worker, attempt, families, runs, reads, of)
        return (await store_part(self._state.place, part)).receipt(shared.token.id)

    async def parts_of(self, token: SharedTransaction) -> list[Receipt]:
        """See `CommitDomain.parts_of`."""
        return await stored_parts(self._state.place, token)

    async def abandon(self, token: SharedTransaction) -> bool:
        """See `CommitDomain.abandon`."""
        branch = await self._source.branch()
        try:
            return await abandon(self._state, branch, token)
        except CommitUnknown as error:
            raise resolvable(self._state, error) from error.__cause__


async def _runs(refs: Mapping[str, Ref | None]) -> tuple[tuple[Family, ...], tuple[Run, ...]]:
    """See `runs_of`; many take a worker."""
    return await data_copy_pool().run(runs_of, refs) if len(refs) > _SMALL else runs_of(refs)


def _begun(commit: Commit, base: Snapshot) -> int:
    """The slot behind which the outcome stands: its id was written nowhere before (R2)."""
    stash = commit.stash
    if isinstance(stash, PackStash) and stash.began is not None:
        return min(stash.began, base.version[0])
    return base.version[0]


def _is_nothing(commit: Commit) -> bool:
    """Whether a commit changes nothing, and has nothing to say in the history."""
    said = any(each is not None for each in (commit.message, commit.author, commit.caller_key))
    said = said or bool(commit.metadata)
    return not (commit.values or commit.cleared or commit.shared is not None or said)


async def _check(commit: Commit, base: Snapshot, looked_up: frozenset[str]) -> None:
    """Checks what was not looked up in the base, or later: the log is judged from there on only."""
    keys = sorted(commit.expected.keys() - looked_up)
    for key, found in zip(keys, await base.find_many(keys), strict=True):
        generation = base.generation(found)
        if generation != commit.expected[key]:
            raise Aborted(
                "somebody else changed this key since it was read; run the transaction again",
                key=key,
                operation="commit",
            )


def _footing(commit: Commit) -> Footing:
    """What is validated, as the isolation says."""
    if commit.isolation == "serializable":
        return Footing(commit.expected, commit.read, tuple(commit.listed))
    written = commit.values.keys()
    rests_on = {
        key: generation
        for key, generation in commit.expected.items()
        if key not in commit.read or (commit.isolation == "snapshot" and key in written)
    }
    return Footing(rests_on, commit.read & rests_on.keys())


def runs_of(refs: Mapping[str, Ref | None]) -> tuple[tuple[Family, ...], tuple[Run, ...]]:
    """The changes of a commit by space, and the families that they are of."""
    names, chunks = by_family(list(refs))
    documents = [(key.encode("utf-8", "surrogatepass"), refs[key]) for key in names]
    runs = [Run.of(DOCUMENTS, documents)] if documents else []
    runs += [_family_run(family, keys, parsed, refs) for family, keys, parsed in chunks]
    return tuple(family for family, _, _ in chunks), tuple(runs)


def written_runs(written: Mapping[str, Written]) -> tuple[tuple[bytes, tuple[Run, ...]], ...]:
    """Which parts of values were written, by what they are chunks of; not more than is fit."""
    forms: dict[bytes, dict[str, Ref | None]] = {}
    left = _MOST_WRITTEN
    for key, (form, part) in written.items():
        left -= len(part)
        if left < 0:
            # What is not told counts as written whole.
            break
        forms.setdefault(form, {})[key] = Ref.of_inline(part)
    return tuple((form, runs_of(refs)[1]) for form, refs in forms.items())


def _family_run(
    family: Family, keys: list[str], parsed: Keys, refs: Mapping[str, Ref | None]
) -> Run:
    found = [refs[key] for key in keys]
    if len(keys) <= _SMALL or any(ref is not None and ref.inline is not None for ref in found):
        return Run.of(family.id, [(key_at(parsed, i), ref) for i, ref in enumerate(found)])
    names: dict[str, int] = {}
    index = [DELETED if ref is None else names.setdefault(ref[0], len(names)) for ref in found]
    none = Ref("", 0, 0, 0)
    rows = [none if ref is None else ref for ref in found]

    def column(at: int) -> NDArray[np.uint64]:
        return np.fromiter(map(itemgetter(at), rows), np.uint64, len(rows))

    return Run.of_columns(
        family.id,
        parsed,
        list(names),
        np.array(index, dtype=np.uint32),
        column(1),
        column(2),
        column(3),
    )

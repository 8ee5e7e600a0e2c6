"""The commit domain of one branch: turns what was staged into a proposal to the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asynctensor.errors import Aborted, CommitUnknown
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.conflicts import Footing, generation_of
from asynctensor.kvstores.repo.family import DOCUMENTS, Family, Keys
from asynctensor.kvstores.repo.key_columns import at as key_at
from asynctensor.kvstores.repo.located import by_family
from asynctensor.kvstores.repo.pack_stash import PackedValue, PackStash
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.resolving import resolvable
from asynctensor.kvstores.repo.run import DELETED, Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import BranchSource, FixedSource
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.commit_domain import Commit, CommitDomain, Committed
from asynctensor.storage.generation import NO_VALUE

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

    def stash(self) -> PackStash:
        """See `CommitDomain.stash`."""
        return PackStash(self._state.place)

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`.

        Raises:
            CommitUnknown: The store did not say whether it was committed.
        """
        branch = await self._source.branch()
        base, looked_up = branch.newest(), commit.looked_up
        if isinstance(commit.mark, FixedSource):
            if commit.mark.known() is None:
                # Nothing was read there: what it rests on, if anything, was looked up since, so
                # that no request needs to find out how a transaction began that saw nothing.
                looked_up = frozenset()
            else:
                base = await commit.mark.snapshot()
        await _check(commit, base, looked_up)
        txn, refs = await self._stored(commit)
        many = len(refs) > _SMALL
        families, runs = await data_copy_pool().run(runs_of, refs) if many else runs_of(refs)
        entry = CommitEntry(
            txn=txn,
            base=base.version[0],
            time=now(),
            message=commit.message,
            author=commit.author,
            metadata=commit.metadata or {},
            isolation=commit.isolation,
            cleared=tuple(commit.cleared),
            families=families,
            runs=runs,
        )
        try:
            landed = await branch.commit(Proposal(entry, _footing(commit)))
        except CommitUnknown as error:
            raise resolvable(self._state, error) from error.__cause__
        if not landed.committed:
            raise Aborted("the transaction was aborted by somebody else", operation="commit")
        generation = generation_of(branch.id, landed.version)
        return Committed(
            {key: NO_VALUE if ref is None else generation for key, ref in refs.items()},
            snapshot_id(branch.id, landed.version),
        )

    async def _stored(self, commit: Commit) -> tuple[bytes, dict[str, Ref | None]]:
        """Has all values stored; gives the transaction's id, and where they are."""
        stash = commit.stash
        if not isinstance(stash, PackStash) or not stash.claim():
            stash = PackStash(self._state.place)
        refs: dict[str, Ref | None] = {}
        rest: dict[str, bytes] = {}
        for key, value in commit.values.items():
            if value is None:
                refs[key] = None
            elif isinstance(value, bytes):
                rest[key] = value
            elif isinstance(value, PackedValue):
                if value.stash is stash:
                    refs[key] = value.ref
                else:
                    # In the packs of a transaction of which nothing may ever be in the log.
                    rest[key] = await value.stash.read(key, value)
        refs |= await stash.packs.store(rest)
        return stash.txn, refs


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


def _family_run(
    family: Family, keys: list[str], parsed: Keys, refs: Mapping[str, Ref | None]
) -> Run:
    found = [refs[key] for key in keys]
    if len(keys) <= _SMALL or any(ref is not None and ref.inline is not None for ref in found):
        return Run.of(family.id, [(key_at(parsed, i), ref) for i, ref in enumerate(found)])
    names: dict[str, int] = {}
    index = [DELETED if ref is None else names.setdefault(ref[0], len(names)) for ref in found]
    columns = [(0, 0, 0) if ref is None else ref[1:4] for ref in found]
    numbers = np.array(columns, dtype=np.uint64)
    return Run.of_columns(
        family.id,
        parsed,
        list(names),
        np.array(index, dtype=np.uint32),
        numbers[:, 0],
        numbers[:, 1],
        numbers[:, 2],
    )

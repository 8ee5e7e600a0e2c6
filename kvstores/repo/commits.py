"""The commit domain of one branch: turns what was staged into a proposal to the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asynctensor.errors import Aborted, CommitUnknown
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.conflicts import Footing, generation_of
from asynctensor.kvstores.repo.family import DOCUMENTS, Family
from asynctensor.kvstores.repo.located import family_of
from asynctensor.kvstores.repo.objects import TXN_BYTES
from asynctensor.kvstores.repo.packs import Packs
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.resolving import resolvable
from asynctensor.kvstores.repo.run import DELETED, Run
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import snapshot_id
from asynctensor.kvstores.repo.source import BranchSource, FixedSource
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.entropy import random_bytes
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

    async def commit(self, commit: Commit) -> Committed:
        """See `CommitDomain.commit`.

        Raises:
            CommitUnknown: The store did not say whether it was committed.
        """
        branch = await self._source.branch()
        base = branch.newest()
        if isinstance(commit.mark, FixedSource):
            base = await commit.mark.snapshot()
        await _check(commit, base)
        txn = random_bytes(TXN_BYTES)
        refs: dict[str, Ref | None] = dict.fromkeys(
            key for key, value in commit.values.items() if value is None
        )
        stored = {key: value for key, value in commit.values.items() if value is not None}
        refs |= await Packs(self._state.place, txn).store(stored)
        families, runs = runs_of(refs)
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


async def _check(commit: Commit, base: Snapshot) -> None:
    """Checks what was not looked up in the base, or later: the log is judged from there on only."""
    keys = sorted(commit.expected.keys() - commit.looked_up)
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
    documents: list[tuple[bytes, Ref | None]] = []
    chunks: dict[Family, list[str]] = {}
    for key, ref in refs.items():
        family = family_of(key)
        if family is None:
            documents.append((key.encode("utf-8", "surrogatepass"), ref))
        else:
            chunks.setdefault(family, []).append(key)
    runs = [Run.of(DOCUMENTS, documents)] if documents else []
    for family, keys in chunks.items():
        runs.append(_family_run(family, keys, refs))
    return tuple(chunks), tuple(runs)


def _family_run(family: Family, keys: list[str], refs: Mapping[str, Ref | None]) -> Run:
    found = [refs[key] for key in keys]
    parsed = family.parse_many(keys)
    if len(keys) <= _SMALL or any(ref is not None and ref.inline is not None for ref in found):
        items = []
        for key, ref in zip(keys, found, strict=True):
            inside = family.parse(key)
            assert inside is not None
            items.append((inside, ref))
        return Run.of(family.id, items)
    names: dict[str, int] = {}
    index = [DELETED if ref is None else names.setdefault(ref.object, len(names)) for ref in found]
    columns = [(0, 0, 0) if ref is None else (ref.offset, ref.size, ref.crc) for ref in found]
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

"""Commits that go back: revert and reset; and finding out what became of a transaction."""

from __future__ import annotations

from dataclasses import replace

from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument
from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.branch import now
from asynctensor.kvstores.repo.commits import runs_of
from asynctensor.kvstores.repo.conflicts import Footing
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.listing import listed, spelled_keys
from asynctensor.kvstores.repo.part_runs import read_parts
from asynctensor.kvstores.repo.proposal import Proposal
from asynctensor.kvstores.repo.record import CommitEntry
from asynctensor.kvstores.repo.ref import Ref
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import parse_snapshot_id, snapshot_id
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.tail import Version
from asynctensor.runtime.entropy import random_bytes


class Edits:
    """Changes of whole commits of one repository.

    Args:
        state: The repository.
    """

    def __init__(self, state: RepositoryState) -> None:
        self._state = state

    async def refresh(self, name: str) -> str | None:
        """See `Repository.refresh`."""
        branch = await self._state.branch(name)
        snapshot = await branch.refresh()
        lineage = branch.log.lineage
        last = await self._state.history.last_commit(lineage, snapshot)
        return snapshot_id(lineage.at(last[0]).branch, last) if last[0] else None

    async def revert(self, name: str, commit: str, message: str | None, author: str | None) -> str:
        """See `Repository.revert`."""
        branch = await self._state.branch(name)
        await self._state.may_write(branch)
        newest = await branch.refresh()
        lineage, version = await self._of_branch(name, commit)
        entry = await self._state.history.commit(lineage, version)
        if entry.kind == "reset":
            raise InvalidArgument("a reset cannot be reverted; reset to the commit before it")
        before = await self._state.history.snapshot(lineage, _just_before(version))
        after = await self._state.history.snapshot(lineage, version)
        refs, expected = await self._undone(entry, before, after, newest)
        families, runs = runs_of(refs)
        undo = CommitEntry(
            txn=random_bytes(objects.TXN_BYTES),
            base=newest.version[0],
            time=now(),
            message=message or f"Revert {commit}: {entry.message or '(no message)'}",
            author=author,
            families=families,
            runs=runs,
            adopts=tuple(sorted({ref.object for ref in refs.values() if ref and ref.object})),
            kind="revert",
            target=(lineage.at(version[0]).branch, *version),
        )
        landed = await branch.commit(Proposal(undo, Footing(expected, frozenset(expected))))
        return snapshot_id(branch.id, landed.version)

    async def _undone(
        self, entry: CommitEntry, before: Snapshot, after: Snapshot, newest: Snapshot
    ) -> tuple[dict[str, Ref | None], dict[str, bytes]]:
        """What each key of a commit held before it, and what it must hold now."""
        keys = list(spelled_keys(entry))
        async for part in read_parts(self._state.place, entry.parts):
            keys += spelled_keys(replace(entry, runs=part.runs, parts=()))
        for key_range in entry.cleared:
            keys += [key async for key, _ in listed(before, key_range)]
        keys = list(dict.fromkeys(keys))
        old, made, now_there = [await each.find_many(keys) for each in (before, after, newest)]
        refs: dict[str, Ref | None] = {}
        expected: dict[str, bytes] = {}
        for key, was, did, there in zip(keys, old, made, now_there, strict=True):
            if (there and there[0]) != (did and did[0]):
                raise Aborted(
                    "this key was written again since that commit, so that it cannot be reverted "
                    "by itself",
                    key=key,
                    operation="revert",
                )
            refs[key] = None if was is None else was[1]._replace(version=(0, 0))
            expected[key] = newest.generation(there)
        return refs, expected

    async def reset(
        self, name: str, to: str, expected: str | None, message: str | None, author: str | None
    ) -> str:
        """See `Repository.reset`."""
        branch = await self._state.branch(name)
        await self._state.may_write(branch)
        newest = await branch.refresh()
        lineage, version = await self._of_branch(name, to)
        base = newest.version[0]
        if expected is not None:
            last = await self._state.history.last_commit(branch.log.lineage, newest)
            if parse_snapshot_id(expected)[1] != last:
                raise Aborted(
                    f"branch {name!r} has newer commits than {expected}", operation="reset"
                )
        entry = CommitEntry(
            txn=random_bytes(objects.TXN_BYTES),
            base=base,
            time=now(),
            message=message,
            author=author,
            kind="reset",
            target=(lineage.at(version[0]).branch, *version),
        )
        landed = await branch.commit(Proposal(entry, alone=expected is not None))
        return snapshot_id(branch.id, landed.version)

    async def _of_branch(self, name: str, text: str) -> tuple[Lineage, Version]:
        """A commit that is one of a branch's own."""
        branch = await self._state.branch(name)
        lineage, version = await self._state.find_state(text)
        if not branch.log.lineage.reaches(lineage.at(version[0]).branch, version):
            raise FailedPrecondition(f"{text} is no commit of branch {name!r}")
        return branch.log.lineage, version


def _just_before(version: Version) -> Version:
    seq, place = version
    return (seq, place - 1) if place else (seq - 1, 2**16 - 1)

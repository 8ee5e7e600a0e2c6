"""The state that a name stands for: a branch, a tag, or the id of a commit."""

from __future__ import annotations

from dataclasses import dataclass

from asynctensor.kvstores.repo import objects
from asynctensor.kvstores.repo.lineage import Lineage
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.snapshot_id import is_snapshot_id, snapshot_id
from asynctensor.kvstores.repo.state import RepositoryState


@dataclass(frozen=True, slots=True)
class NamedState:
    """A state, and where it stands.

    Attributes:
        id: Of the commit that it is after; empty for the state before all commits.
        snapshot: The state.
        lineage: The branch.
    """

    id: str
    snapshot: Snapshot
    lineage: Lineage


async def named_state(state: RepositoryState, text: str) -> NamedState:
    """The state that `text` stands for; of a branch, the newest that the store has.

    Raises:
        NotFound: It stands for none.
        InvalidArgument: It can be no name.
        DataLoss, Error: See `RepositoryState.snapshot`.
    """
    objects.quoted(text)
    if is_snapshot_id(text):
        found = await state.snapshot_of(text)
        return NamedState(text, found, await state.lineage_of(found.branch))
    lineage, version = await state.find_state(text)
    known = state.named.get(text)
    if known is not None and known.log.lineage == lineage:
        newest = known.newest()
        if await state.history.last_commit(lineage, newest) == version:
            return NamedState(_id(lineage, version), newest, lineage)
    snapshot = await state.history.snapshot(lineage, version)
    return NamedState(_id(lineage, version), snapshot, lineage)


def _id(lineage: Lineage, version: tuple[int, int]) -> str:
    return snapshot_id(lineage.at(version[0]).branch, version) if version[0] else ""

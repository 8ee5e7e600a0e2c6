"""Which state of a repository a store shows: a branch as it moves, or one that stays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asynctensor.kvstores.repo.branch import Branch
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.members import parse_time
from asynctensor.kvstores.repo.snapshot import Snapshot
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.runtime.loop_lock import LoopLock
from asynctensor.storage.kvstore import Json


class Source(ABC):
    """Where a store takes its state from."""

    @property
    @abstractmethod
    def identity(self) -> object:
        """Hashable; equal for two that show the same."""

    @property
    @abstractmethod
    def members(self) -> dict[str, Json]:
        """The spec members that name it."""

    @abstractmethod
    def known(self) -> Snapshot | None:
        """The state, if it can be told at once."""

    @abstractmethod
    async def snapshot(self) -> Snapshot:
        """The state.

        Raises:
            NotFound: There is no such state.
            DataLoss, Error: It cannot be read.
        """


class BranchSource(Source):
    """A branch: the newest commit that this process knows.

    Args:
        name: The branch's name.
        known: The branch of that name, if it was opened.
        opened: Opens it.
    """

    def __init__(
        self,
        name: str,
        known: Callable[[str], Branch | None],
        opened: Callable[[str], Awaitable[Branch]],
    ) -> None:
        self.name = name
        self._known = known
        self._opened = opened
        #: Kept: the name may come to mean another branch.
        self._branch: Branch | None = None

    @property
    def identity(self) -> object:
        """See `Source.identity`."""
        return ("branch", self.name)

    @property
    def members(self) -> dict[str, Json]:
        """See `Source.members`."""
        return {"branch": self.name}

    def known(self) -> Snapshot | None:
        """See `Source.known`."""
        branch = self.known_branch()
        return None if branch is None else branch.newest()

    async def snapshot(self) -> Snapshot:
        """See `Source.snapshot`."""
        return (await self.branch()).newest()

    def known_branch(self) -> Branch | None:
        """The branch, if it is open."""
        if self._branch is None:
            self._branch = self._known(self.name)
        return self._branch

    async def branch(self) -> Branch:
        """The branch, opened."""
        if self._branch is None:
            self._branch = await self._opened(self.name)
        return self._branch


class FixedSource(Source):
    """A state that stays: a tag, a snapshot, the state as of some time, or a transaction's.

    Args:
        members: The spec members that name it.
        find: Finds it; called once.
    """

    def __init__(self, members: dict[str, Json], find: Callable[[], Awaitable[Snapshot]]) -> None:
        self._members = members
        self._find = find
        self._found: Snapshot | None = None
        self._turn = LoopLock()

    @property
    def identity(self) -> object:
        """See `Source.identity`."""
        return tuple(sorted((name, str(value)) for name, value in self._members.items()))

    @property
    def members(self) -> dict[str, Json]:
        """See `Source.members`."""
        return dict(self._members)

    def known(self) -> Snapshot | None:
        """See `Source.known`."""
        return self._found

    async def snapshot(self) -> Snapshot:
        """See `Source.snapshot`."""
        async with self._turn:
            if self._found is None:
                self._found = await self._find()
            return self._found


def source_of(state: RepositoryState, members: Mapping[str, Any]) -> Source:
    """The state that the members of a spec name."""
    if "branch" in members or not members:
        name = members.get("branch", MAIN)
        return BranchSource(name, state.known, state.branch)
    (name, text), *_ = members.items()

    async def find() -> Snapshot:
        if name == "tag":
            return await state.tagged(text)
        if name == "snapshot":
            return await state.snapshot_of(text)
        return await state.as_of(parse_time(text))

    return FixedSource({name: text}, find)

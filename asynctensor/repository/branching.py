"""The branches and tags of a repository."""

from __future__ import annotations

from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.repository.names import BranchInfo, TagInfo
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future


class Branching:
    """The names in a `Repository`."""

    _state: RepositoryState

    def create_branch(
        self,
        name: str,
        source: str = MAIN,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str | None]:
        """Makes a branch.

        Args:
            name: Its name: not empty, of 240 characters at most when percent-encoded, and not
                spelled as the id of a commit.
            source: What it begins as: a branch, a tag, or the id of a commit.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the id of the commit that it begins at; None if there is no commit yet. It
            fails with `AlreadyExists`, with `NotFound` if there is no such source, and with
            `InvalidArgument` if that can be no name.
        """
        return start(self._naming().create_branch, name, source, timeout=timeout, deadline=deadline)

    def delete_branch(
        self, name: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[None]:
        """Closes a branch, and forgets its name. Its commits stay readable by their ids.

        Who has it open can still read; writes fail with `FailedPrecondition`. The name can be
        given to a new branch.

        Args:
            name: The branch's name.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future; it fails with `NotFound` if there is none, and with `InvalidArgument` if it is
            ``main``, which every repository has.
        """
        return start(self._naming().delete_branch, name, timeout=timeout, deadline=deadline)

    def branches(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[BranchInfo]]:
        """The branches, by name.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
        """
        return start(self._branches, timeout=timeout, deadline=deadline)

    async def _branches(self) -> list[BranchInfo]:
        return [BranchInfo(*each) for each in await self._naming().branches()]

    def create_tag(
        self,
        name: str,
        source: str = MAIN,
        *,
        message: str | None = None,
        author: str | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str]:
        """Gives a state a name that never moves.

        Args:
            name: The name; see `create_branch`.
            source: The state: a branch (as it is now), a tag, or the id of a commit.
            message: Why.
            author: By whom.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the id of the tagged commit. It fails with `AlreadyExists`, also if there was
            such a tag once; with `NotFound` if there is no such source, with `FailedPrecondition`
            if that has no commit yet, and with `InvalidArgument` if that can be no name.
        """
        return start(
            self._naming().create_tag,
            name,
            source,
            message,
            author,
            timeout=timeout,
            deadline=deadline,
        )

    def delete_tag(
        self, name: str, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[None]:
        """Forgets a tag; it can never be created again.

        Args:
            name: The tag's name.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future; it fails with `NotFound` if there is none.
        """
        return start(self._naming().delete_tag, name, timeout=timeout, deadline=deadline)

    def tags(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[TagInfo]]:
        """The tags, by name.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.
        """
        return start(self._tags, timeout=timeout, deadline=deadline)

    async def _tags(self) -> list[TagInfo]:
        return [TagInfo(*each) for each in await self._naming().tags()]

    def _naming(self) -> Naming:
        return Naming(self._state)

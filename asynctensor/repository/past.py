"""The history of a repository: what was committed, what differs, and going back."""

from __future__ import annotations

from asynctensor.chunked.array_driver import ProgressFunction
from asynctensor.errors import CommitUnknown, InvalidArgument
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.resolving import resolve
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.repository.commit_log import CommitLog
from asynctensor.repository.diffing import Diffing
from asynctensor.repository.statistics import RepositoryStatistics, statistics_of
from asynctensor.repository.verification import Verification, verified
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future


class Past:
    """What a `Repository` tells of its commits, and how it goes back to them."""

    _state: RepositoryState

    def log(self, branch: str = MAIN, *, limit: int | None = None) -> CommitLog:
        """The commits of a branch, newest first: ``async for`` or ``for``, or ``await`` for a list.

        Args:
            branch: A branch, a tag, or the id of a commit to begin with. A name that is both
                a branch's and a tag's means the branch.
            limit: How many at most.

        Raises:
            InvalidArgument: `limit` is negative. The iteration fails with `NotFound` if there is
                no such branch, tag or commit.
        """
        if limit is not None and limit < 0:
            raise InvalidArgument(f"limit must be 0 or more, not {limit}")
        return CommitLog(self._state, branch, limit)

    def diff(self, a: str, b: str = MAIN) -> Diffing:
        """What differs in two states: arrays, with the regions that differ, groups and values.

        ``await`` gives a `Diff`, whose repr is a summary; ``async for`` each change as it is found,
        which holds little memory however much differs. What both states share of the index is not
        read. So it costs what was changed, and not the size of the repository.

        Args:
            a: A state: a branch, a tag, or the id of a commit.
            b: Another, perhaps of another branch.

        Returns:
            The changes that lead from `a` to `b`. It fails with `NotFound` if one of them does not
            exist. Pages of the index that are lost are made up for by older ones and the log. What
            is lost for good fails it with `DataLoss`: of an iteration, in the end, when all that
            can be told without it was given.
        """
        return Diffing(self._state, a, b)

    def statistics(
        self,
        source: str = MAIN,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[RepositoryStatistics]:
        """How much there is: arrays and values of a state; objects and bytes of all; requests made.

        All objects are listed, and the index of the state is read.

        Args:
            source: The state: a branch, a tag, or the id of a commit.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the numbers. It fails with `NotFound` if there is no such state.
        """
        return start(statistics_of, self._state, source, timeout=timeout, deadline=deadline)

    def verify(
        self,
        source: str | None = None,
        *,
        repair: bool = False,
        progress: ProgressFunction | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Verification]:
        """Reads all that a state reaches, or all that any does, and compares checksums.

        Some megabytes are in memory at once, and the places of the index's pages. What is damaged
        does not end it; a store that fails does.

        Args:
            source: A branch, a tag, or the id of a commit; None: all commits of all branches, with
                names, checkpoints and hints.
            repair: Remove damaged checkpoints and hints: the log says the same, and the next
                commits make them anew. Who uses the repository at that time goes on.
            progress: Told how much was looked at, from worker threads.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of what was looked at, and what is damaged and where. It fails with `NotFound`
            if there is no such state.
        """
        return start(
            verified, self._state, source, progress, repair, timeout=timeout, deadline=deadline
        )

    def refresh(
        self,
        branch: str = MAIN,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str | None]:
        """Asks the store for commits of others.

        Args:
            branch: The branch.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the id of the newest commit; None: there is none. It fails with `NotFound` if
            there is no such branch.
        """
        return start(self._edits().refresh, branch, timeout=timeout, deadline=deadline)

    def revert(
        self,
        commit: str,
        *,
        branch: str = MAIN,
        message: str | None = None,
        author: str | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str]:
        """Undoes one commit by a new one: every key gets back what it held before.

        Args:
            commit: The id of the commit, or a tag of it.
            branch: Where to; the commit is one of this branch.
            message: Why; by default, it says which commit is undone.
            author: By whom.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the new commit's id. It fails with `Aborted` if a key that the commit wrote
            was written again since, naming it; with `NotFound` or `FailedPrecondition` if the
            branch has no such commit; and with `InvalidArgument` if it is a reset, which a reset
            to the commit before it undoes.
        """
        return start(
            self._edits().revert,
            branch,
            commit,
            message,
            author,
            timeout=timeout,
            deadline=deadline,
        )

    def reset(
        self,
        branch: str,
        to: str,
        *,
        expected: str | None = None,
        message: str | None = None,
        author: str | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str]:
        """Brings a branch back to an older state of its own. Nothing is lost: it is a commit.

        Args:
            branch: The branch.
            to: The id of the commit, or the tag, that it shall be as.
            expected: The id of the branch's newest commit: fail if there is a newer one.
            message: Why.
            author: By whom.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the new commit's id. It fails with `NotFound` if there is no such branch or
            state, with `FailedPrecondition` if the state is none of this branch, and with
            `Aborted` if `expected` is not the newest commit.
        """
        return start(
            self._edits().reset,
            branch,
            to,
            expected,
            message,
            author,
            timeout=timeout,
            deadline=deadline,
        )

    def resolve(
        self,
        unknown: CommitUnknown,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[str]:
        """Finds out what became of a transaction whose commit the store did not answer.

        Args:
            unknown: The error, from this or any other process.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of ``"committed"`` or ``"aborted"``: whichever stands in the log; if neither
            does, its abort is put there first, so that it never will be committed. It is
            ``"unknown"`` where records are damaged that may have it.

        Raises:
            InvalidArgument: `unknown` is no such error, or names no transaction.
        """
        if not isinstance(unknown, CommitUnknown):
            raise InvalidArgument(f"resolve takes a CommitUnknown, not {unknown!r}")
        if not unknown.transaction_id:
            raise InvalidArgument("the error names no transaction")
        return start(resolve, self._state, unknown, timeout=timeout, deadline=deadline)

    def _edits(self) -> Edits:
        return Edits(self._state)

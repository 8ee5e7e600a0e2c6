"""`Repository`: many arrays with one history."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from asynctensor.chunked.array_driver import ProgressFunction
from asynctensor.errors import Aborted, CommitUnknown, InvalidArgument
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.edits import Edits
from asynctensor.kvstores.repo.naming import Naming
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.resolving import resolve
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState, state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.opening import open_store
from asynctensor.public_kvstore_spec import kvstore_value
from asynctensor.repository.commit_log import CommitLog
from asynctensor.repository.diffing import Diffing
from asynctensor.repository.names import BranchInfo, TagInfo
from asynctensor.repository.statistics import RepositoryStatistics, statistics_of
from asynctensor.repository.verification import Verification, verified
from asynctensor.runtime.context import Context
from asynctensor.runtime.entropy import random_bytes
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.commit_domain import Isolation
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

T = TypeVar("T")
#: Seconds before a transaction is run again: at most so many, doubled each time up to a bound.
_SHORTEST_WAIT = 0.002
_LONGEST_WAIT = 0.5


class Repository:
    """Arrays, groups and other values in one folder of a store, with their history.

    Every change is a commit: it says what changed, when, by whom and why; older states stay
    readable. Commits are all or nothing over everything that they touch. Arrays of any format are
    opened through `kvstore`, or by URL: ``file:///data/lab/|repo:main/|zarr3:image/``.

    Made by `Repository.open`. Cheap to make; all of a process that open one place with the same
    credentials share what is known of it. Its methods may be called from any thread and any loop.
    """

    def __init__(self, state: RepositoryState, spec: KvStoreSpec, context: Context) -> None:
        self._state = state
        self._spec = spec
        self._context = context

    @staticmethod
    def open(
        location: Any,
        *,
        create: bool = False,
        unsafe: bool = False,
        context: Context | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Repository]:
        """Opens a repository, or creates one.

        Before one is created, the store is tried out: with what a dozen requests show of it. One
        that does not keep its word is refused.

        Args:
            location: The folder: a URL (``"file:///data/lab/"``), a path (`pathlib.Path`), or a
                spec of a kvstore.
            create: Make an empty repository if there is none.
            unsafe: Make, or write, a repository in a store that cannot create an object only if it
                is absent, or was seen not to. Only one process may write it then, at a time:
                nothing keeps two apart, and commits of either are lost. What was made so, says so,
                and is only written by who opens it so.
            context: Resources to use, and to share with what else is opened with it.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the repository. It fails with `NotFound` if there is none, and with
            `Unimplemented` if the store cannot create an object only if it is absent, and with
            `FailedPrecondition` if it says that it can, and was seen not to. A cancelled call may
            have created an empty repository.

        Raises:
            InvalidArgument: `location` is none.
        """
        if isinstance(location, os.PathLike):
            path = os.path.abspath(os.fspath(location))  # noqa: PTH100 -- links stay as they are
            spec = KvStoreSpec.of("file", path)
        else:
            spec = kvstore_value(location)
        known = Context() if context is None else context
        bound = spec.as_directory().bound(known)

        async def opened() -> Repository:
            place = place_of(*open_store(bound, known))
            state = state_of(replace(place, single_writer=unsafe))
            if create:
                await state.create(probe=True)
            if unsafe and not (await state.description()).single_writer:
                # Made without, so that others may write it: they are kept apart as ever.
                state = state_of(place)
            await state.description()
            return Repository(state, bound, known)

        return start(opened, timeout=timeout, deadline=deadline)

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopened, (self._state.place, self._spec, self._context))

    def __repr__(self) -> str:
        place = self._state.place
        return f"Repository({place.store.spec_json(place.path)!r})"

    # -- arrays and values ------------------------------------------------------------------

    def kvstore(
        self,
        path: str = "",
        *,
        branch: str | None = None,
        tag: str | None = None,
        snapshot: str | None = None,
        as_of: str | dt.datetime | None = None,
        transaction: Transaction | None = None,
    ) -> KvStore:
        """The keys and values of one state, to be used like any other kvstore.

        Args:
            path: Prefix of the keys.
            branch: A branch, which follows the newest commit that this process knows; ``"main"``
                if nothing else is given.
            tag: What a tag names.
            snapshot: The state after the commit of this id.
            as_of: The state of ``main`` at a time: a `datetime` with a time zone, or text of
                RFC 3339 (``"2026-03-01T12:00:00Z"``; UTC where it names no offset).
            transaction: What reads and writes belong to.

        Raises:
            InvalidArgument: Several states are given, or one is spelled wrong. Whether there is
                such a state turns out at the first read or write, which fails with `NotFound`.
        """
        if isinstance(as_of, dt.datetime):
            as_of = _with_zone(as_of).isoformat()
        given = {"branch": branch, "tag": tag, "snapshot": snapshot, "as_of": as_of}
        options = {name: text for name, text in given.items() if text is not None}
        spec = KvStoreSpec({"driver": "repo", "path": path, "base": self._spec, **options})
        store = RepositoryStore(self._state, source_of(self._state, spec.options))
        return KvStore(store, path, transaction=transaction, context=self._context, opened=spec)

    def transaction(
        self,
        *,
        message: str | None = None,
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        branch: str = MAIN,
        isolation: Isolation = "serializable",
    ) -> Transaction:
        """A transaction that commits to a branch of this repository.

        Args:
            message: Why.
            author: By whom.
            metadata: What else to note with the commit: JSON.
            branch: Where to. If there is none of that name, the first read or write fails with
                `NotFound`.
            isolation: See `Transaction`.

        Raises:
            InvalidArgument: See `Transaction`.
        """
        made = Transaction(message=message, author=author, metadata=metadata, isolation=isolation)
        StagedStore(self.kvstore(branch=branch).store, made).staging()
        return made

    async def retry(
        self,
        function: Callable[[Transaction], Awaitable[T]],
        *,
        attempts: int = 100,
        message: str | None = None,
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        branch: str = MAIN,
        isolation: Isolation = "serializable",
    ) -> T:
        """Runs a transaction, again and again until nobody else is in its way.

        ::

            async def count(txn):
                cell = store.with_transaction(txn)[0]
                await cell.write(int(await cell.read()) + 1)

            await repo.retry(count, message="one more")

        Args:
            function: Called with a fresh transaction each time, in the caller's event loop; what it
                stages is committed when it returns, and forgotten if it raises. It may be run
                several times: anything but the transaction that it changes is its own affair.
            attempts: How often at most.
            message: Why; see `transaction`.
            author: By whom.
            metadata: What else to note with the commit: JSON.
            branch: Where to.
            isolation: See `Transaction`.

        Returns:
            What `function` returned the time that was committed.

        Raises:
            Aborted: Somebody else was in the way each time.
            CommitUnknown: The store did not say whether it was committed; it is not tried again.
            InvalidArgument: `attempts` is not at least 1.

        Whatever else `function` raises ends it. When a cancellation is delivered before the commit
        was begun, nothing was changed.
        """
        if attempts < 1:
            raise InvalidArgument(f"attempts is at least 1, not {attempts}")
        for attempt in range(attempts):
            txn = self.transaction(
                message=message,
                author=author,
                metadata=metadata,
                branch=branch,
                isolation=isolation,
            )
            try:
                async with txn:
                    return await function(txn)
            except Aborted:
                if attempt == attempts - 1:
                    raise
            # Those who were in each other's way come back at different times.
            longest = min(_LONGEST_WAIT, _SHORTEST_WAIT * 2**attempt)
            await asyncio.sleep(longest * int.from_bytes(random_bytes(4), "big") / 2**32)
        raise AssertionError

    # -- history ----------------------------------------------------------------------------

    def log(self, branch: str = MAIN, *, limit: int | None = None) -> CommitLog:
        """The commits of a branch, newest first: iterate over it with ``async for`` or ``for``.

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
            exist.
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
            does, its abort is put there first, so that it never will be committed.

        Raises:
            InvalidArgument: `unknown` is no such error, or names no transaction.
        """
        if not isinstance(unknown, CommitUnknown):
            raise InvalidArgument(f"resolve takes a CommitUnknown, not {unknown!r}")
        if not unknown.transaction_id:
            raise InvalidArgument("the error names no transaction")
        return start(resolve, self._state, unknown, timeout=timeout, deadline=deadline)

    # -- branches and tags ------------------------------------------------------------------

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

        Returns:
            Future; it fails with `NotFound` if there is none.
        """
        return start(self._naming().delete_branch, name, timeout=timeout, deadline=deadline)

    def branches(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[BranchInfo]]:
        """The branches, by name."""
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

        Returns:
            Future; it fails with `NotFound` if there is none.
        """
        return start(self._naming().delete_tag, name, timeout=timeout, deadline=deadline)

    def tags(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[TagInfo]]:
        """The tags, by name."""
        return start(self._tags, timeout=timeout, deadline=deadline)

    async def _tags(self) -> list[TagInfo]:
        return [TagInfo(*each) for each in await self._naming().tags()]

    def _naming(self) -> Naming:
        return Naming(self._state)

    def _edits(self) -> Edits:
        return Edits(self._state)


def _reopened(place: Place, spec: KvStoreSpec, context: Context) -> Repository:
    """The repository that a pickle is of."""
    return Repository(state_of(place), spec, context)


def _with_zone(time: dt.datetime) -> dt.datetime:
    if time.tzinfo is None:
        raise InvalidArgument(f"as_of={time!r} has no time zone: give it one, such as dt.UTC")
    return time

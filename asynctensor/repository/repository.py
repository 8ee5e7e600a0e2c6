"""`Repository`: many arrays with one history."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from asynctensor.errors import InvalidArgument
from asynctensor.kvstore import KvStore
from asynctensor.kvstore_spec import KvStoreSpec
from asynctensor.kvstores.repo.description import MAIN
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.place import Place
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState, current_state, state_of
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.opening import open_store
from asynctensor.public_kvstore_spec import kvstore_value
from asynctensor.repository.branching import Branching
from asynctensor.repository.past import Past
from asynctensor.repository.retrying import retried
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.commit_domain import Isolation
from asynctensor.transaction.staged_memory import DEFAULT_LIMIT
from asynctensor.transaction.staged_store import StagedStore
from asynctensor.transaction.transaction import Transaction

T = TypeVar("T")


class Repository(Past, Branching):
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
            state = await current_state(replace(place, single_writer=unsafe))
            if create:
                await state.create(probe=True)
            if unsafe and not (await state.description()).single_writer:
                # Made without, so that others may write it: they are kept apart as ever.
                state = await current_state(place)
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
        time = as_of if as_of is None else time_text(as_of)
        given = {"branch": branch, "tag": tag, "snapshot": snapshot, "as_of": time}
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
        staged_bytes_limit: int = DEFAULT_LIMIT,
        caller_key: str | None = None,
    ) -> Transaction:
        """A transaction that commits to a branch of this repository.

        Args:
            message: Why.
            author: By whom.
            metadata: What else to note with the commit: JSON.
            branch: Where to. If there is none of that name, the first read or write fails with
                `NotFound`.
            isolation: See `Transaction`.
            staged_bytes_limit: See `Transaction`.
            caller_key: What is done, by which it is done once; see `Transaction`.

        Raises:
            InvalidArgument: See `Transaction`.
        """
        made = Transaction(
            message=message,
            author=author,
            metadata=metadata,
            isolation=isolation,
            staged_bytes_limit=staged_bytes_limit,
            caller_key=caller_key,
        )
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
        caller_key: str | None = None,
    ) -> T:
        """Runs a transaction, again and again until nobody else is in its way.

        It is committed once: where the store did not answer the commit, the log is asked first.

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
            caller_key: What is done, by which it is done once, also by other processes and later;
                see `Transaction`. Where it was done before, `function` is run, and nothing of it
                is committed.

        Returns:
            What `function` returned the time that was committed. The transaction that it was called
            with last has the `commit_id` then.

        Raises:
            Aborted: Somebody else was in the way each time.
            CommitUnknown: The store does not say whether it was committed, asked again or not; it
                is not tried again.
            InvalidArgument: `attempts` is not at least 1, or see `Transaction`.

        Whatever else `function` raises ends it. When a cancellation is delivered before the commit
        was begun, nothing was changed.
        """

        def begin() -> Transaction:
            return self.transaction(
                message=message,
                author=author,
                metadata=metadata,
                branch=branch,
                isolation=isolation,
                caller_key=caller_key,
            )

        return await retried(function, begin, attempts)


def _reopened(place: Place, spec: KvStoreSpec, context: Context) -> Repository:
    """The repository that a pickle is of."""
    return Repository(state_of(place), spec, context)


def time_text(as_of: str | dt.datetime) -> str:
    """The member ``as_of`` of a spec.

    Raises:
        InvalidArgument: It is a `datetime` without a time zone.
    """
    if not isinstance(as_of, dt.datetime):
        return as_of
    if as_of.tzinfo is None:
        raise InvalidArgument(f"as_of={as_of!r} has no time zone: give it one, such as dt.UTC")
    return as_of.isoformat()

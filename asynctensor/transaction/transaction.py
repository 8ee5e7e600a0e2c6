"""`Transaction`: stages writes to any number of arrays, and commits them all or not at all."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asynctensor.errors import (
    Aborted,
    CommitUnknown,
    Error,
    FailedPrecondition,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.lazy import Lazy
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.storage.commit_domain import Isolation
from asynctensor.storage.shared_transaction import SharedTransaction
from asynctensor.transaction.atomic_commit import AtomicCommit, check, within
from asynctensor.transaction.shared_work import SharedWork
from asynctensor.transaction.staged_memory import DEFAULT_LIMIT
from asynctensor.transaction.states import Event, State
from asynctensor.transaction.terms import Terms

if TYPE_CHECKING:
    from asynctensor.runtime.context import Context

_PART = (
    "a part is not committed by itself: finish() it, and hand the receipt to whoever shared the "
    "transaction"
)
#: Opening what a token names takes more than is known down here.
_join = Lazy("asynctensor.joining", "join")
_resume = Lazy("asynctensor.joining", "resume")


class Transaction(SharedWork):
    """Stages reads and writes, and commits them together.

    Use it with ``async with`` or ``with``: leaving the block commits, leaving it by an exception
    aborts. ``store.with_transaction(txn)`` and ``open(..., transaction=txn)`` bind arrays to it.
    What is staged is seen by reads through the transaction, and by nobody else until the commit.

    >>> array = at.open("memory://a/|zarr3:", create=True, dtype="int8", shape=[3]).result()
    >>> with at.Transaction() as transaction:
    ...     array.with_transaction(transaction)[0] = 7
    ...     print(array.read().result(), array.with_transaction(transaction).read().result())
    [0 0 0] [7 0 0]
    >>> array.read().result(), transaction.open
    (array([7, 0, 0], dtype=int8), False)

    Args:
        atomic: All or nothing (the default here; TensorStore's is False). It needs a store that
            can commit many keys at once, and one such store for all that the transaction touches;
            anything else is refused when it is staged. False is TensorStore's isolated mode:
            nothing is written before the commit, which then writes each key by itself.
        repeatable_read: Also in isolated mode, the commit fails if something read through the
            transaction has changed since. An atomic transaction always checks that.
        message: Why; kept with the commit where the store keeps a history.
        author: By whom; kept likewise.
        metadata: What else to note with the commit: a mapping of JSON values.
        isolation: What an atomic commit validates where the store keeps a history:
            ``"serializable"``, all that was read; ``"snapshot"``, only what was read of the keys
            that it writes; ``"blind"``, nothing but the values that it changes in part.
        staged_bytes_limit: About how many bytes of staged data are held in memory; by default
            2^30. More is moved to the repository, where nobody sees it before the commit, and
            from where it is deleted if that fails or never comes; or, for other stores and in
            isolated mode, to a file without a name in the temporary folder. While that is done,
            further writes wait to be staged.
        caller_key: A name for what is done, such as a job's id, by which it is done once: of all
            transactions to a branch of a repository with the same key, whichever process commits
            them and whenever, one is committed. Where it was before, the commit changes nothing,
            and `commit_id` is that of the first.

    Raises:
        InvalidArgument: `isolation` is none of these, `metadata` is not JSON, `message`, `author`
            or `caller_key` is no text, `staged_bytes_limit` is no number of bytes, or there is a
            `caller_key` without `atomic`.
    """

    def __init__(
        self,
        atomic: bool = True,
        repeatable_read: bool = False,
        *,
        message: str | None = None,
        author: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        isolation: Isolation = "serializable",
        staged_bytes_limit: int = DEFAULT_LIMIT,
        caller_key: str | None = None,
    ) -> None:
        super().__init__(atomic=bool(atomic), limit=staged_bytes_limit)
        if caller_key is not None and not atomic:
            raise InvalidArgument("a transaction with a caller_key must be atomic")
        self._repeatable_read = bool(repeatable_read)
        self._terms = Terms.of(message, author, metadata, isolation, caller_key)
        self._commit_id: str | None = None
        self._commit: Future[None] | None = None

    # -- TensorStore's surface --------------------------------------------------------------

    @property
    def atomic(self) -> bool:
        """Whether it commits all or nothing."""
        return self._atomic

    @property
    def repeatable_read(self) -> bool:
        """Whether the commit fails if something that was read has changed."""
        return self._repeatable_read or self._atomic

    @property
    def message(self) -> str | None:
        """Why the change is made."""
        return self._terms.message

    @property
    def author(self) -> str | None:
        """By whom the change is made."""
        return self._terms.author

    @property
    def metadata(self) -> dict[str, Any]:
        """What else is noted with the commit; a copy."""
        return json.loads(json.dumps(self._terms.metadata)) if self._terms.metadata else {}

    @property
    def isolation(self) -> Isolation:
        """What the commit validates."""
        return self._terms.isolation

    @property
    def caller_key(self) -> str | None:
        """By which its caller knows it again."""
        return self._terms.caller_key

    @property
    def commit_id(self) -> str | None:
        """The id of the commit; None until it is committed, or where there is no history."""
        return self._commit_id

    @property
    def future(self) -> Future[None]:
        """Done when it has been committed or aborted; does not start the commit.

        Each is the caller's own: cancelling it touches nothing else.
        """
        promise: Promise[None]
        future: Future[None]
        promise, future = Promise.new()

        def settle(done: Future[None]) -> None:
            error = done.exception()
            if error is None:
                promise.set_result(None)
            else:
                promise.set_exception(error)

        self._future.add_done_callback(settle)
        return future

    def commit_async(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[None]:
        """Starts the commit; calling it again gives the same future.

        A commit that was started is not cancelled. A task that waits for it, and is cancelled, gets
        its `CancelledError` once the commit has ended; `future` tells how.

        Args:
            timeout: Seconds in which the changes must have begun to be handed to the stores; a
                hand-over that has begun is finished.
            deadline: The same as a Unix time.

        Raises (through the future):
            DeadlineExceeded: The time ran out before that. Nothing was written if atomic; else
                some stores may have all of their changes, and others none.
            Aborted: Something that was read has changed; nothing was written if atomic.
            CommitUnknown: The store does not say whether it was made; its `resolve` finds out.
            Error: The store failed; nothing was written if atomic.
        """
        limit = Deadline.of(timeout, deadline)
        self._check_process()
        if self._is_part:
            raise FailedPrecondition(_PART)
        with self._lock:
            if self._commit is not None:
                return self._commit
            self._move(Event.COMMIT)
            started = start(self._run_commit, limit)
            self._commit = self._future
            # The future of the transaction tells the outcome; this only keeps the work alive.
            self._work = started
        started.add_done_callback(self._commit_ended)
        return self._commit

    def commit_sync(self, timeout: float | None = None, deadline: float | None = None) -> None:
        """Commits, and waits for the outcome; see `commit_async`."""
        self.commit_async().result(timeout=timeout, deadline=deadline)

    def abort(self) -> None:
        """Forgets all that was staged. Harmless when it is aborted already.

        That a shared transaction is aborted is noted in the store: `future` is done once it is,
        and fails with `CommitUnknown` if the store does not say so. Of a part, only what was
        staged here is forgotten. In a forked child it does nothing: it is the parent's.

        Raises:
            FailedPrecondition: The commit was started.
        """
        if not self._is_here:
            return
        with self._lock:
            again = self.aborted
            self._move(Event.ABORT)
        if again:
            return
        aborted = Aborted("transaction was aborted")
        if self._sharing is None or self._sharing.part:
            self._discard(aborted)
        else:
            self._noted = start(self._sharing.abandoned, aborted)
            self._noted.add_done_callback(self._abandoned)

    def _abandoned(self, noted: Future[Error]) -> None:
        try:
            failure = noted.result()
        except (Exception, CancelledError) as error:  # noqa: BLE001 -- whoever waits gets it
            failure = CommitUnknown(
                "the runtime ended before the store said whether the transaction is noted as "
                "aborted: resume() it by its token, and abort it again"
            )
            failure.__cause__ = error
        self._discard(failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._check_finished(kind)
        if kind is None:
            if not (self.aborted or self._is_part):
                await self.commit_async()
        elif self.open and self._is_here:
            self.abort()
            with suppress(Aborted):
                await self.future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._check_finished(kind)
        if kind is None:
            if not (self.aborted or self._is_part):
                self.commit_sync()
        elif self.open and self._is_here:
            self.abort()
            with suppress(Aborted):
                self.future.result()

    def _check_finished(self, kind: type[BaseException] | None) -> None:
        if kind is None and self._is_part and self.open:
            self.abort()
            raise FailedPrecondition(
                "the part was not finished, and what was staged in it is forgotten: call finish(), "
                "and hand the receipt to whoever commits"
            )

    def __repr__(self) -> str:
        mode = "atomic" if self._atomic else "isolated"
        return f"<Transaction: {mode}, {self._state.value}, {len(self._participants)} stores>"

    def __reduce__(self) -> Any:
        raise Unimplemented(
            "a transaction lives in one process and cannot be pickled; share() gives a token that "
            "can, by which other processes join it"
        )

    # -- of several processes ---------------------------------------------------------------

    @staticmethod
    def join(
        token: SharedTransaction,
        *,
        context: Context | None = None,
        staged_bytes_limit: int = DEFAULT_LIMIT,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Transaction]:
        """Joins a transaction that another process shared, to write a part of it.

        Arrays are opened and written with ``transaction=`` as ever. What is read is the state that
        the transaction reads, with what is staged here. `finish` it in the end; it cannot be
        committed here.

        Args:
            token: What `share` gave.
            context: Resources to use, credentials among them; open the arrays with the same.
            staged_bytes_limit: About how many bytes of staged data are held in memory here; see
                `Transaction`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the part. It fails with `Aborted` if the transaction was aborted, with
            `FailedPrecondition` if it was committed, with `NotFound` if the store is another.
        """
        return start(_join, token, context, staged_bytes_limit, timeout=timeout, deadline=deadline)

    @staticmethod
    def resume(
        token: SharedTransaction,
        *,
        context: Context | None = None,
        staged_bytes_limit: int = DEFAULT_LIMIT,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Transaction]:
        """Goes on with a shared transaction whose process is gone: adds receipts, and commits.

        With the same receipts it is the same commit: if that was made already, committing again
        finds it, and gives its id. What was staged before it was shared is staged again.

        Args:
            token: What `share` gave.
            context: Resources to use, credentials among them.
            staged_bytes_limit: See `Transaction`.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the transaction. It fails with `Aborted` if the transaction was aborted,
            with `NotFound` if the store is another. Committing it fails with `AlreadyExists` if
            it was committed with other parts.
        """
        return start(
            _resume, token, context, staged_bytes_limit, timeout=timeout, deadline=deadline
        )

    # -- the commit -------------------------------------------------------------------------

    async def _run_commit(self, limit: Deadline) -> None:
        try:
            await within(limit, self._finish_staging())
            if self._atomic:
                commit = AtomicCommit(self._all(), self._terms, self._mark, self._sharing, limit)
                done = await commit.run()
                self._commit_id = None if done is None else done.commit_id
            else:
                for participant in self._all():
                    check(limit)
                    await participant.commit_isolated()
        except BaseException as error:  # noqa: BLE001
            with self._lock:
                self._move(Event.FAIL)
            failure = error if isinstance(error, Error) else Aborted(f"commit failed: {error!r}")
            failure.__cause__ = None if failure is error else error
            try:
                if self._sharing is not None:
                    await self._sharing.settle(failure)
            finally:
                # Also where the loop ends meanwhile: somebody may wait for it on another.
                self._discard(failure)
            return
        try:
            for participant in self._all():
                participant.committed()
                await participant.erase(stored=True)
        finally:
            self._end()

    def _commit_ended(self, _: object) -> None:
        """Fails the transaction if its commit was cancelled before its first step, or got stuck."""
        with self._lock:
            begun = self._state is State.COMMITTING
            if not begun and self._state is not State.FINISHING:
                return
            self._move(Event.FAIL)
        if begun:
            failure: Error = CommitUnknown(
                "the runtime ended during the commit, and whether it was made is not known: look "
                "at what is stored"
            )
        else:
            failure = Aborted("the event loop ended before the commit began")
        self._discard(failure)

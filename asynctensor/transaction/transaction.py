"""`Transaction`: stages writes to any number of arrays, and commits them all or not at all."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

from asynctensor.errors import (
    Aborted,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.storage.commit_domain import Commit, CommitDomain, Isolation
from asynctensor.storage.stash import StoredValue
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.staging_queue import StagingQueue
from asynctensor.transaction.states import Event, State, next_state

P = TypeVar("P", bound=Participant)
T = TypeVar("T")

#: The transactions of which the running code is a step: see `Transaction.run`.
_STEPS: ContextVar[tuple[Transaction, ...]] = ContextVar("transaction steps", default=())


class Transaction:
    """Stages reads and writes, and commits them together.

    Use it with ``async with`` or ``with``: leaving the block commits, leaving it by an exception
    aborts. ``store.with_transaction(txn)`` and ``open(..., transaction=txn)`` bind arrays to it.
    What is staged is seen by reads through the transaction, and by nobody else until the commit.

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

    Raises:
        InvalidArgument: `isolation` is none of these, `metadata` is not JSON, or `message` or
            `author` is no text.
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
    ) -> None:
        self._atomic = bool(atomic)
        self._repeatable_read = bool(repeatable_read)
        self._message = _text("message", message)
        self._author = _text("author", author)
        self._metadata = _json_object(metadata)
        if isolation not in get_args(Isolation):
            raise InvalidArgument(
                f"isolation is one of {', '.join(map(repr, get_args(Isolation)))}, "
                f"not {isolation!r}"
            )
        self._isolation: Isolation = isolation
        self._mark: object = None
        self._commit_id: str | None = None
        self._state = State.OPEN
        self._lock = threading.Lock()
        self._participants: dict[Hashable, Participant] = {}
        self._staging: set[Future[Any]] = set()
        self._commit: Future[None] | None = None
        self._promise: Promise[None]
        self._future: Future[None]
        # A commit that was started is seen through: cancelling a waiter does not touch it.
        self._promise, self._future = Promise.new(on_cancel=lambda: None)
        self._slots: dict[str, Any] = {}
        #: Keeps writes in the order in which they are made.
        self.queue = StagingQueue()

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
        return self._message

    @property
    def author(self) -> str | None:
        """By whom the change is made."""
        return self._author

    @property
    def metadata(self) -> dict[str, Any]:
        """What else is noted with the commit; a copy."""
        return json.loads(json.dumps(self._metadata)) if self._metadata else {}

    @property
    def isolation(self) -> Isolation:
        """What the commit validates."""
        return self._isolation

    @property
    def commit_id(self) -> str | None:
        """The id of the commit; None until it is committed, or where there is no history."""
        return self._commit_id

    @property
    def open(self) -> bool:
        """Whether something can still be staged."""
        return self._state is State.OPEN

    @property
    def commit_started(self) -> bool:
        """Whether the commit was asked for."""
        return self._state in (State.FINISHING, State.COMMITTING, State.COMMITTED)

    @property
    def aborted(self) -> bool:
        """Whether it was aborted, by the caller or by a failed commit."""
        return self._state is State.ABORTED

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

        A commit that was started is not cancelled: the future tells how it ended.

        Args:
            timeout: Seconds in which the changes must have begun to be handed to the stores; a
                hand-over that has begun is finished.
            deadline: The same as a Unix time.

        Raises (through the future):
            DeadlineExceeded: The time ran out before that. Nothing was written if atomic; else
                some stores may have all of their changes, and others none.
            Aborted: Something that was read has changed; nothing was written if atomic.
            Error: The store failed.
        """
        limit = Deadline.of(timeout, deadline)
        with self._lock:
            if self._commit is None:
                self._move(Event.COMMIT)
                started = start(self._run_commit, limit)
                self._commit = self._future
                # The future of the transaction tells the outcome; this only keeps the work alive.
                self._work = started
            return self._commit

    def commit_sync(self, timeout: float | None = None, deadline: float | None = None) -> None:
        """Commits, and waits for the outcome; see `commit_async`."""
        self.commit_async().result(timeout=timeout, deadline=deadline)

    def abort(self) -> None:
        """Forgets all that was staged. Harmless when it is aborted already.

        Raises:
            FailedPrecondition: The commit was started.
        """
        with self._lock:
            self._move(Event.ABORT)
        self._discard(Aborted("transaction was aborted"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            if not self.aborted:
                await self.commit_async()
        elif self.open:
            self.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            if not self.aborted:
                self.commit_sync()
        elif self.open:
            self.abort()

    def __repr__(self) -> str:
        mode = "atomic" if self._atomic else "isolated"
        return f"<Transaction: {mode}, {self._state.value}, {len(self._participants)} stores>"

    def __reduce__(self) -> Any:
        raise Unimplemented("a transaction lives in one process and cannot be pickled")

    # -- for those who stage ----------------------------------------------------------------

    def participant(self, key: Hashable, make: Callable[[], P]) -> P:
        """The participant known by `key`, made on first use.

        Raises:
            FailedPrecondition: The transaction is not open, or spans two commit domains.
            Unimplemented: It is atomic, and the store cannot commit many keys at once.
        """
        with self._lock:
            self._move(self._staging_event())
            known = self._participants.get(key)
            if known is None:
                known = make()
                self._check_domain(known)
                known.begin(self._mark_in(known.commit_domain))
                self._participants[key] = known
            return known  # type: ignore[return-value]

    def slot(self, name: str, make: Callable[[], T]) -> T:
        """What somebody keeps for the life of the transaction, by name; made on first use."""
        with self._lock:
            if name not in self._slots:
                self._slots[name] = make()
            kept: T = self._slots[name]
            return kept

    def check_open(self) -> None:
        """Refuses to go on once it was committed or aborted.

        Raises:
            FailedPrecondition: It is not open.
        """
        with self._lock:
            self._move(self._staging_event())

    def run(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[T]:
        """Runs an operation that stages in several steps; see `event_loop.start`.

        A commit that is asked for meanwhile waits until it has ended, and its steps are still
        staged. Its error fails the commit.

        Raises:
            FailedPrecondition: The transaction is not open.
        """
        self.check_open()
        token = _STEPS.set((*_STEPS.get(), self))
        try:
            # What is started keeps the variables of its caller.
            future = start(function, *args, timeout=timeout, deadline=deadline)
        finally:
            _STEPS.reset(token)
        self.awaits(future)
        return future

    def _staging_event(self) -> Event:
        return Event.STEP if self in _STEPS.get() else Event.STAGE

    def awaits(self, staging: Future[Any]) -> None:
        """Has the commit wait until `staging` is done; its error fails the commit.

        Raises:
            FailedPrecondition: The transaction is not open.
        """
        with self._lock:
            self._move(self._staging_event())
            self._staging.add(staging)

    def _move(self, event: Event) -> None:
        following = next_state(self._state, event)
        if following is None:
            raise FailedPrecondition(f"Transaction not open ({self._state.value})")
        self._state = following

    def _mark_in(self, domain: CommitDomain | None) -> object:
        """Names the state that this transaction reads; the same for all that it touches."""
        if not self._atomic or domain is None:
            return None
        if self._mark is None:
            self._mark = domain.mark()
        return self._mark

    def _check_domain(self, new: Participant) -> None:
        if not self._atomic:
            return
        domain = new.commit_domain
        if domain is None:
            raise Unimplemented(
                f"{new.description} cannot commit several keys at once: keep what belongs "
                "together in a Repository, or use Transaction(atomic=False)"
            )
        for other in self._participants.values():
            theirs = other.commit_domain
            assert theirs is not None
            if theirs.identity != domain.identity:
                raise FailedPrecondition(
                    f"an atomic transaction cannot span {other.description} and "
                    f"{new.description}: nothing commits to both at once; use one store, or "
                    "Transaction(atomic=False)"
                )

    # -- the commit -------------------------------------------------------------------------

    async def _run_commit(self, limit: Deadline) -> None:
        try:
            await _within(limit, self._finish_staging())
            if self._atomic:
                await self._commit_atomic(limit)
            else:
                for participant in list(self._participants.values()):
                    _check(limit)
                    await participant.commit_isolated()
        except BaseException as error:  # noqa: BLE001
            with self._lock:
                self._move(Event.FAIL)
            failure = error if isinstance(error, Error) else Aborted(f"commit failed: {error!r}")
            failure.__cause__ = None if failure is error else error
            self._discard(failure)
            return
        for participant in list(self._participants.values()):
            participant.committed()
        with self._lock:
            self._move(Event.SUCCEED)
            self._participants.clear()
            self._staging.clear()
        self._promise.set_result(None)

    async def _finish_staging(self) -> None:
        """Waits for what was begun, and for what that begins in its turn."""
        while True:
            with self._lock:
                waiting = list(self._staging)
                self._staging.clear()
                if not waiting:
                    self._move(Event.FINISH)
                    return
            for staging in waiting:
                await staging

    async def _commit_atomic(self, limit: Deadline) -> None:
        participants = list(self._participants.values())
        if not participants:
            return
        domain = participants[0].commit_domain
        assert domain is not None
        while not await self._attempt(domain, participants, limit):
            pass

    async def _attempt(
        self, domain: CommitDomain, participants: list[Participant], limit: Deadline
    ) -> bool:
        """One try; False if values that were only written, not read, changed meanwhile."""
        parts = [await _within(limit, each.prepare()) for each in participants]
        _check(limit)
        try:
            done = await domain.commit(self._joined(parts))
            self._commit_id = done.commit_id
        except Aborted as error:
            if error.final or error.key is None or any(p.is_final(error.key) for p in participants):
                raise
            return False
        return True

    def _joined(self, parts: list[Commit]) -> Commit:
        expected: dict[str, bytes] = {}
        values: dict[str, bytes | StoredValue | None] = {}
        for part in parts:
            expected.update(part.expected)
            values.update(part.values)
        return Commit(
            expected,
            values,
            [each for part in parts for each in part.cleared],
            frozenset().union(*(part.read for part in parts)),
            frozenset().union(*(part.looked_up for part in parts)),
            [each for part in parts for each in part.listed],
            self._isolation,
            self._mark,
            self._message,
            self._author,
            self._metadata,
            next((part.stash for part in parts if part.stash is not None), None),
        )

    def _discard(self, error: Error) -> None:
        with self._lock:
            participants = list(self._participants.values())
            self._participants.clear()
            self._staging.clear()
        for participant in participants:
            participant.discard()
        self._promise.set_exception(error)


def _text(name: str, value: str | None) -> str | None:
    """A message or an author, checked."""
    if value is not None:
        try:
            value.encode()
        except (AttributeError, UnicodeEncodeError) as error:
            raise InvalidArgument(f"{name} must be text, not {value!r}") from error
    return value


def _json_object(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of `metadata`, checked."""
    if metadata is None:
        return {}
    try:
        found = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"metadata must be a mapping of JSON values: {error}") from error
    return dict(found)


def _check(limit: Deadline) -> None:
    if limit.expired():
        raise _too_late()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the time given by timeout= or deadline= ran out during the commit")


async def _within(limit: Deadline, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, unless that takes until `limit`: then it is cancelled."""
    if limit.never:
        return await work
    within = asyncio.timeout(limit.remaining())
    try:
        async with within:
            return await work
    except TimeoutError as error:
        if not within.expired():
            raise
        raise _too_late() from error

"""`Transaction`: stages writes to any number of arrays, and commits them all or not at all."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from asynctensor.errors import (
    Aborted,
    CommitUnknown,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.lazy import Lazy
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.entropy import random_hex
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.storage.commit_domain import Commit, CommitDomain, Isolation
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.storage.stash import StoredValue
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.sharing import Sharing, check_given
from asynctensor.transaction.staging_queue import StagingQueue
from asynctensor.transaction.states import Event, State, next_state

if TYPE_CHECKING:
    from asynctensor.runtime.context import Context

P = TypeVar("P", bound=Participant)
T = TypeVar("T")

#: The transactions of which the running code is a step: see `Transaction.run`.
_STEPS: ContextVar[tuple[Transaction, ...]] = ContextVar("transaction steps", default=())

_PART = (
    "a part is not committed by itself: finish() it, and hand the receipt to whoever shared the "
    "transaction"
)
#: Opening what a token names takes more than is known down here.
_join = Lazy("asynctensor.joining", "join")
_resume = Lazy("asynctensor.joining", "resume")


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
        self._sharing: Sharing | None = None
        self._finished: Future[Receipt] | None = None
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
        if self._is_part:
            raise FailedPrecondition(_PART)
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

        That a shared transaction is aborted is noted in the store: `future` is done once it is,
        and fails with `CommitUnknown` if the store does not say so. Of a part, only what was
        staged here is forgotten.

        Raises:
            FailedPrecondition: The commit was started.
        """
        with self._lock:
            again = self.aborted
            self._move(Event.ABORT)
        if again:
            return
        aborted = Aborted("transaction was aborted")
        if self._sharing is None or self._sharing.part:
            self._discard(aborted)
        else:
            self._work = start(self._abandon, self._sharing, aborted)

    async def _abandon(self, sharing: Sharing, aborted: Error) -> None:
        try:
            if not await sharing.domain.abandon(sharing.token):
                aborted = FailedPrecondition(
                    "the transaction was committed before it was aborted: by somebody else with "
                    "the same token"
                )
        except Error as error:
            aborted = error
        self._discard(aborted)

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
        elif self.open:
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
        elif self.open:
            self.abort()
            with suppress(Aborted):
                self.future.result()

    def __repr__(self) -> str:
        mode = "atomic" if self._atomic else "isolated"
        return f"<Transaction: {mode}, {self._state.value}, {len(self._participants)} stores>"

    def __reduce__(self) -> Any:
        raise Unimplemented(
            "a transaction lives in one process and cannot be pickled; share() gives a token that "
            "can, by which other processes join it"
        )

    # -- of several processes ---------------------------------------------------------------

    def share(self) -> SharedTransaction:
        """Lets other processes, and threads, write into this transaction.

        They `join` it by the token that this gives, and hand back the receipts that `finish` gives
        them; `add` takes those, and the commit is of all of it or nothing. What they read is the
        state that this transaction reads. Of what was staged here before, they see whole values
        and deletes (so: the arrays and attributes that were created, not array elements).

        Calling it again gives the same token. The first call waits for the store. From then on
        only the store can say that the transaction is aborted: see `abort`.

        Returns:
            The token: small, and can be pickled. It has no credentials in it.

        Raises:
            FailedPrecondition: Nothing was opened in it yet, so that nobody knows where it
                commits (`Repository.transaction` always does); or it is not open; or too much was
                staged before.
            Unimplemented: It is not atomic, or the store keeps no history.
            Error: The store failed; nothing is shared.
        """
        self.check_open()
        if self._sharing is None:
            if not self._atomic:
                raise Unimplemented("a transaction that is not atomic cannot be shared")
            start(self._share).result()
        assert self._sharing is not None
        return self._sharing.token

    async def _share(self) -> None:
        with self._lock:
            participants = list(self._participants.values())
        if not participants:
            raise FailedPrecondition(
                "nothing was opened in this transaction yet: open an array in it first, or use "
                "Repository.transaction()"
            )
        domain = participants[0].commit_domain
        assert domain is not None
        terms = self._joined([each.given() for each in participants])
        check_given(terms)
        shared = Sharing(await domain.share(terms), domain)
        with self._lock:
            if self._sharing is None:
                self._sharing = shared

    @staticmethod
    def join(
        token: SharedTransaction,
        *,
        context: Context | None = None,
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
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the part. It fails with `Aborted` if the transaction was aborted, with
            `FailedPrecondition` if it was committed, with `NotFound` if the store is another.
        """
        return start(_join, token, context, timeout=timeout, deadline=deadline)

    @staticmethod
    def resume(
        token: SharedTransaction,
        *,
        context: Context | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Transaction]:
        """Goes on with a shared transaction whose process is gone: adds receipts, and commits.

        With the same receipts it is the same commit: if that was made already, committing again
        finds it, and gives its id. What was staged before it was shared is staged again.

        Args:
            token: What `share` gave.
            context: Resources to use, credentials among them.
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of the transaction. It fails with `Aborted` if the transaction was aborted,
            with `NotFound` if the store is another. Committing it fails with `AlreadyExists` if
            it was committed with other parts.
        """
        return start(_resume, token, context, timeout=timeout, deadline=deadline)

    def finish(
        self,
        *,
        worker: str | None = None,
        attempt: int = 0,
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> Future[Receipt]:
        """Stores what was staged in a part; calling it again gives the same receipt.

        Nobody sees it before the transaction is committed with the receipt, or ever, if it is not.

        Args:
            worker: The name of the task, so that it counts once when it is done twice; by default
                a name of its own.
            attempt: At which try of the task.
            timeout: Seconds after which to give the part up.
            deadline: The same as a Unix time.

        Returns:
            Future of the receipt: small, and can be pickled. It fails with `Aborted` if something
            that the part rests on is not as it was; nothing is staged any more then. A cancelled
            call stores nothing that anybody will see.

        Raises:
            FailedPrecondition: This is no part, or it is aborted.
        """
        if not self._is_part:
            raise FailedPrecondition("only a part can be finished: see Transaction.join")
        with self._lock:
            if self._finished is None:
                self._move(Event.COMMIT)
                self._finished = start(
                    self._run_finish, worker, attempt, timeout=timeout, deadline=deadline
                )
            return self._finished

    def add(self, receipt: Receipt) -> bool:
        """Adds a worker's part to this transaction.

        Of several receipts of one worker the first that is added counts, whatever the attempt.

        Returns:
            Whether it is the first of its worker.

        Raises:
            FailedPrecondition: The transaction was not shared, or is not open.
            InvalidArgument: The receipt is of another transaction.
        """
        return self.add_many([receipt]) == 1

    def add_many(self, receipts: Iterable[Receipt]) -> int:
        """`add` of several receipts; gives how many of them count, and did not before."""
        self.check_open()
        sharing = self._shared()
        with self._lock:
            return sum([sharing.add(each) for each in receipts])

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts that count, in the order in which they were added."""
        return () if self._sharing is None else tuple(self._sharing.receipts.values())

    def find_receipts(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[list[Receipt]]:
        """Looks for parts in the store, for whoever lost their receipts; adds none.

        Returns:
            Future of the receipts of all parts that were finished, retries among them.

        Raises:
            FailedPrecondition: The transaction was not shared.
        """
        sharing = self._shared()
        return start(sharing.domain.parts_of, sharing.token, timeout=timeout, deadline=deadline)

    def _shared(self) -> Sharing:
        if self._sharing is None or self._sharing.part:
            raise FailedPrecondition(
                "this transaction does not gather parts: share() it, or resume() it"
            )
        return self._sharing

    @property
    def _is_part(self) -> bool:
        return self._sharing is not None and self._sharing.part

    def _check_finished(self, kind: type[BaseException] | None) -> None:
        if kind is None and self._is_part and self.open:
            self.abort()
            raise FailedPrecondition(
                "the part was not finished, and what was staged in it is forgotten: call finish(), "
                "and hand the receipt to whoever commits"
            )

    def take_part(self, sharing: Sharing, mark: object) -> None:
        """Makes this new transaction one that several processes work on."""
        self._sharing, self._mark = sharing, mark

    async def _run_finish(self, worker: str | None, attempt: int) -> Receipt:
        sharing = self._sharing
        assert sharing is not None
        try:
            await self._finish_staging()
            participants = list(self._participants.values())
            prepared = [await each.prepare(sharing.token) for each in participants]
            name = random_hex(8) if worker is None else worker
            receipt = await sharing.domain.write_part(self._joined(prepared), name, attempt)
        except BaseException as error:
            with self._lock:
                self._move(Event.FAIL)
            failure = Aborted(f"the part was not finished: {error!r}")
            failure.__cause__ = error
            self._discard(failure)
            raise
        self._end()
        return receipt

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
                known.begin(self._mark_in(known.commit_domain), part=self._is_part)
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
            await self._settle_shared(failure)
            self._discard(failure)
            return
        for participant in list(self._participants.values()):
            participant.committed()
        self._end()

    def _end(self) -> None:
        with self._lock:
            self._move(Event.SUCCEED)
            self._participants.clear()
            self._staging.clear()
        self._promise.set_result(None)

    async def _settle_shared(self, failure: Error) -> None:
        """Notes that a shared transaction is over if what it rests on has changed (R4).

        After any other failure it may be resumed.
        """
        sharing = self._sharing
        if sharing is not None and isinstance(failure, Aborted):
            with suppress(Error):
                await sharing.domain.abandon(sharing.token)

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
        token = None if self._sharing is None else self._sharing.token
        parts: list[Commit] = []
        proposed = False
        try:
            for each in participants:
                part = await _within(limit, each.prepare(token))
                parts.append(part)
            _check(limit)
            proposed = True
            done = await domain.commit(self._joined(parts))
        except CommitUnknown:
            # What was stored for it may be in the log.
            raise
        except Error as error:
            if token is None:
                await _discard_stored(parts)
            key = error.key
            again = proposed and isinstance(error, Aborted) and not error.final and key is not None
            if not again or any(p.is_final(key) for p in participants if key is not None):
                raise
            return False
        self._commit_id = done.commit_id
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
            None if self._sharing is None else self._sharing.commit(),
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


async def _discard_stored(parts: list[Commit]) -> None:
    """Deletes what was stored ahead of a commit that was not made, and never will be."""
    for part in parts:
        if part.stash is not None:
            await part.stash.discard()


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

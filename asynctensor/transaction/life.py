"""What a transaction is to those who stage in it: open, and in the end committed or aborted."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from asynctensor.errors import CommitUnknown, Error, FailedPrecondition, Unimplemented
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.workers import data_copy_pool
from asynctensor.storage.commit_domain import CommitDomain
from asynctensor.transaction.participant import Participant
from asynctensor.transaction.sharing import Sharing
from asynctensor.transaction.staged_memory import DEFAULT_LIMIT, StagedMemory
from asynctensor.transaction.staging_queue import StagingQueue
from asynctensor.transaction.states import Event, State, next_state

P = TypeVar("P", bound=Participant)
T = TypeVar("T")

#: The transactions of which the running code is a step: see `Life.run`.
_STEPS: ContextVar[tuple[Life, ...]] = ContextVar("transaction steps", default=())


class Life:
    """What was staged, in which stores, and what is still being staged. Thread-safe.

    Args:
        atomic: Whether all of it is committed at once, and so must be of one commit domain.
        limit: Bytes of staged data in memory.
    """

    def __init__(self, *, atomic: bool, limit: int = DEFAULT_LIMIT) -> None:
        self._atomic = atomic
        self._epoch = PROCESS.epoch
        self._memory = StagedMemory(limit)
        self._mark: object = None
        self._sharing: Sharing | None = None
        self._state = State.OPEN
        self._lock = threading.Lock()
        self._participants: dict[Hashable, Participant] = {}
        self._staging: set[Future[Any]] = set()
        self._slots: dict[str, Any] = {}
        self._moving: Future[None] | None = None
        self._promise: Promise[None]
        self._future: Future[None]
        # A commit that was started is seen through: cancelling a waiter does not touch it.
        self._promise, self._future = Promise.new(on_cancel=lambda: None)
        #: Keeps writes in the order in which they are made.
        self.queue = StagingQueue()

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

    def participant(self, key: Hashable, make: Callable[[], P]) -> P:
        """The participant known by `key`, made on first use.

        Raises:
            FailedPrecondition: The transaction is not open, or is of the process that this one was
                forked from, or spans two commit domains.
            Unimplemented: It is atomic, and the store cannot commit many keys at once.
        """
        self._check_process()
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
        """What somebody keeps for the life of the transaction, by name; made on first use.

        Raises:
            FailedPrecondition: It is of the process that this one was forked from.
        """
        self._check_process()
        with self._lock:
            if name not in self._slots:
                self._slots[name] = make()
            kept: T = self._slots[name]
            return kept

    def check_open(self) -> None:
        """Refuses to go on once it was committed or aborted.

        Raises:
            FailedPrecondition: It is not open, or is of the process that this one was forked from.
        """
        self._check_process()
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
            FailedPrecondition: The transaction is not open, or is of the process that this one was
                forked from.
        """
        self._check_process()
        with self._lock:
            self._move(self._staging_event())
            self._staging.add(staging)

    def holds(self, nbytes: int) -> None:
        """Counts what was staged; beyond the limit, has it moved out of memory.

        Writes of arrays wait meanwhile, and so does a commit that is asked for.
        """
        if not self._memory.add(nbytes):
            return
        with self._lock:
            if self._state not in (State.OPEN, State.FINISHING):
                # The commit works on it already.
                return
            self.queue.pause()
            moving = self._moving = start(self._move_out)
            self._staging.add(moving)
        moving.add_done_callback(lambda _: self.queue.resume(data_copy_pool()))

    async def _move_out(self) -> None:
        shared = None if self._sharing is None else self._sharing.token
        try:
            for each in self._all():
                await each.move_out(shared)
        finally:
            self._memory.moved(sum(each.held() for each in self._all()))

    @property
    def _is_here(self) -> bool:
        """Whether it began in this process, and not in one that this was forked from."""
        return self._epoch == PROCESS.epoch

    def _check_process(self) -> None:
        # Asked before the lock is taken: another thread may have held it when the process forked.
        if not self._is_here:
            raise FailedPrecondition(
                "this transaction is of the process that this one was forked from: what is staged "
                "here would never be committed; give it the token of the transaction's share(), "
                "and join() by it"
            )

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

    @property
    def _is_part(self) -> bool:
        return self._sharing is not None and self._sharing.part

    def _check_domain(self, new: Participant) -> None:
        if self._atomic:
            check_domain(new, self._participants.values())

    def _all(self) -> list[Participant]:
        with self._lock:
            return list(self._participants.values())

    # -- how it ends ------------------------------------------------------------------------

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

    def _end(self) -> None:
        """It is committed, or as a part finished."""
        with self._lock:
            self._move(Event.SUCCEED)
            self._participants.clear()
            self._staging.clear()
        self._promise.set_result(None)

    def _discard(self, error: Error) -> None:
        """Nothing of it is: forgets what was staged."""
        with self._lock:
            participants = list(self._participants.values())
            self._participants.clear()
            self._staging.clear()
        for participant in participants:
            participant.discard()
        erased = self._sharing is None and not isinstance(error, CommitUnknown)
        if erased and (self._moving or any(each.moved for each in participants)):
            # What was moved out of memory is gone before anybody is told.
            self._erasing = start(self._erase, participants)
            self._erasing.add_done_callback(lambda _: self._promise.set_exception(error))
        else:
            self._promise.set_exception(error)

    async def _erase(self, participants: list[Participant]) -> None:
        if self._moving is not None:
            with suppress(Error):
                await self._moving
        for each in participants:
            await each.erase()


def check_domain(new: Participant, others: Iterable[Participant]) -> None:
    """Refuses what cannot be committed at once with the others.

    Raises:
        Unimplemented: The store cannot commit many keys at once.
        FailedPrecondition: It is another commit domain.
    """
    domain = new.commit_domain
    if domain is None:
        raise Unimplemented(
            f"{new.description} cannot commit several keys at once: keep what belongs "
            "together in a Repository, or use Transaction(atomic=False)"
        )
    for other in others:
        theirs = other.commit_domain
        assert theirs is not None
        if theirs.identity != domain.identity:
            alike = new.description == other.description
            how = ", opened with other credentials or in another Context" if alike else ""
            raise FailedPrecondition(
                f"an atomic transaction cannot span {other.description} and "
                f"{new.description}{how}: nothing commits to both at once; use one store, or "
                "Transaction(atomic=False)"
            )

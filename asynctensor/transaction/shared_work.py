"""What a transaction is to the processes that work on it together: shared, finished, gathered."""

from __future__ import annotations

from collections.abc import Iterable

from asynctensor.errors import Aborted, FailedPrecondition, Unimplemented
from asynctensor.runtime.entropy import random_hex
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.transaction.life import Life
from asynctensor.transaction.sharing import Sharing, share
from asynctensor.transaction.states import Event
from asynctensor.transaction.terms import Terms


class SharedWork(Life):
    """The part of a `Transaction` that is about other processes."""

    #: What its commit says of itself.
    _terms: Terms
    #: The receipt of a part, once it was asked for.
    _finished: Future[Receipt] | None = None

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
        shared = await share(self._all(), self._terms, self._mark)
        with self._lock:
            if self._sharing is None:
                self._sharing = shared

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
            FailedPrecondition: This is no part, or it is aborted, or was joined in the process that
                this one was forked from.
        """
        self._check_process()
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

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

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

    def take_part(self, sharing: Sharing, mark: object) -> None:
        """Makes this new transaction one that several processes work on."""
        self._sharing, self._mark = sharing, mark

    async def _run_finish(self, worker: str | None, attempt: int) -> Receipt:
        sharing = self._sharing
        assert sharing is not None
        try:
            await self._finish_staging()
            name = random_hex(8) if worker is None else worker
            receipt = await sharing.finish(self._all(), self._terms, self._mark, name, attempt)
        except BaseException as error:
            with self._lock:
                self._move(Event.FAIL)
            failure = Aborted(f"the part was not finished: {error!r}")
            failure.__cause__ = error
            self._discard(failure)
            raise
        for participant in self._all():
            await participant.erase(stored=True)
        self._end()
        return receipt

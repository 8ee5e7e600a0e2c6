"""Reading one object: the request, and what its answer means, whichever service it is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.begun_read import BegunRead, CountsReads
from asynctensor.kvstores._http.checksums import Checksum
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.query import Pairs
from asynctensor.kvstores._http.ranges import ranged_body, unsatisfied_size
from asynctensor.kvstores._http.stored import (
    Head,
    failing,
    looked,
    missing,
    unspecified,
    weight_of,
)
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Arrival, ListEntry, ReadOptions, ReadResult, Told

A = TypeVar("A", bound=Asker)
#: Bytes of the largest object that can be read at once: those that services let be put at once.
MOST_VALUE: Final = 5 << 30


class Question(NamedTuple):
    """What a request about an object says beside what all do.

    Attributes:
        query: In its URL.
        fields: In its head.
    """

    query: Pairs = ()
    fields: Pairs = ()


class ObjectReader(ABC, Generic[A]):
    """Reads the objects of one store.

    Args:
        asker: Who asks.
    """

    def __init__(self, asker: A) -> None:
        self._asker = asker

    async def read(self, key: str, options: ReadOptions) -> ReadResult:
        """See `KeyValueStore.read`."""
        question = self._question(options)
        if question is None:
            return await self._looked(key, options)
        answer = await self._asker.ask(
            "GET",
            key,
            query=question.query,
            fields=question.fields,
            weight=weight_of(options.byte_range),
            max_body=MOST_VALUE,
        )
        if answer.status == 416:
            return await self._past_the_end(key, options, answer)
        if answer.status in (200, 206) and not self._is_plain(answer):
            return await self._unusual(key, options, answer)
        checksum = self._expected(answer)
        if checksum is not None:
            await checksum.check(answer.body)
        arrival = self._arrived(answer, options)
        if arrival is None:
            raise self._asker.refused("GET", key, answer)
        return ReadResult(arrival.state, bytes(arrival.value), arrival.stamp)

    def begin(
        self, store: CountsReads, key: str, options: ReadOptions, told: Told
    ) -> Callable[[], object] | None:
        """See `KeyValueStore.begin_read`; `store` counts it."""
        question = self._question(options)
        if question is None:
            return None
        read = _ObjectRead(self, store, key, options, told)
        is_begun = self._asker.begin(
            read,
            key,
            query=question.query,
            fields=question.fields,
            weight=weight_of(options.byte_range),
            max_body=MOST_VALUE,
        )
        return read.give_up if is_begun else None

    async def stat(self, key: str) -> ListEntry | None:
        """Size and time of an object; None if there is none."""
        found = await self.look(key)
        return None if found.generation == NO_VALUE else ListEntry(key, found.size, found.written)

    # -- What a service says for itself -------------------------------------------------------

    @abstractmethod
    async def look(self, key: str) -> Head:
        """What is stored now."""

    @abstractmethod
    def is_missing(self, answer: Response) -> bool:
        """Whether there is no such object; that there is no place for it is an error."""

    @abstractmethod
    def generation_of(self, answer: Response) -> bytes:
        """The generation of the object that an answer brought.

        Raises:
            FailedPrecondition: The server does not say.
        """

    @abstractmethod
    def _question(self, options: ReadOptions) -> Question | None:
        """What a read says; None: a look is enough."""

    @abstractmethod
    def _checksum(self, answer: Response) -> Checksum | None:
        """That of a whole object, where the server says it."""

    def _is_plain(self, answer: Response) -> bool:
        """Whether the bytes that came are those of the object; otherwise see `_unusual`."""
        return True

    async def _unusual(self, key: str, options: ReadOptions, answer: Response) -> ReadResult:
        """What an answer means that is not plain."""
        raise self._asker.refused("GET", key, answer)

    # -- What all have in common --------------------------------------------------------------

    def _expected(self, answer: Response) -> Checksum | None:
        """What the body of an answer should have, as far as that is known."""
        return self._checksum(answer) if answer.status == 200 else None

    def _arrived(self, answer: Response, options: ReadOptions) -> Arrival | None:
        """What a plain answer says; None: it is a refusal.

        Raises:
            OutOfRange: The object is too short.
            FailedPrecondition: The answer is not to what was asked.
        """
        status, time = answer.status, answer.time
        if status in (200, 206):
            generation = self.generation_of(answer)
            failed = failing(generation, options, time)
            if failed is not None:
                return failed
            body, _ = ranged_body(answer, options.byte_range)
            return Arrival("value", body, TimestampedStorageGeneration(generation, time))
        if status == 304:
            return unspecified(options.if_not_equal, time)
        if status == 412:
            return unspecified(UNKNOWN, time)
        return missing(options, time) if status == 404 and self.is_missing(answer) else None

    async def _looked(self, key: str, options: ReadOptions) -> ReadResult:
        """What a look says, where that is enough."""
        return self._by_look(await self.look(key), options)

    @staticmethod
    def _by_look(head: Head, options: ReadOptions) -> ReadResult:
        found = looked(head, options)
        return ReadResult(found.state, b"", found.stamp)

    async def _past_the_end(self, key: str, options: ReadOptions, answer: Response) -> ReadResult:
        """A range that the object has not: nothing at its very end, or too much."""
        size = unsatisfied_size(answer)
        if size is not None:
            options.byte_range.resolve(size)
        return await self._looked(key, options)


class _ObjectRead(BegunRead, Generic[A]):
    """One read that was begun without a task."""

    __slots__ = ("_digesting", "_reader", "_used")

    def __init__(
        self,
        reader: ObjectReader[A],
        store: CountsReads,
        key: str,
        options: ReadOptions,
        told: Told,
    ) -> None:
        super().__init__(store, key, options, told)
        self._reader = reader
        self._used = reader._asker._in_use()
        self._digesting: asyncio.Future[bool] | None = None

    def give_up(self) -> None:
        if self._digesting is not None:
            self._digesting.cancel()
        super().give_up()

    def read(self, answer: Response) -> None:
        reader = self._reader
        if not reader._is_plain(answer):
            self.tell(None)
            return
        arrival = reader._arrived(answer, self.options)
        if arrival is None and self._is_refused(answer):
            self.tell(reader._asker.refused("GET", self.key, answer))
            return
        if arrival is None or arrival.state != "value":
            self.tell(arrival)
            return
        checksum = reader._expected(answer)
        if checksum is None or not checksum.takes_long(answer.body):
            intact = checksum is None or checksum.fits(answer.body)
            self.tell(arrival if intact else None)
            return
        loop = asyncio.get_running_loop()
        found = arrival
        self._digesting = loop.run_in_executor(None, checksum.fits, answer.body)
        self._digesting.add_done_callback(lambda done: self._digested(done, found))

    def _is_refused(self, answer: Response) -> bool:
        # 416 takes a further look.
        is_useless = answer.status >= 300 and answer.status != 416
        return is_useless and self._reader._asker.is_final(answer, self._used)

    def _digested(self, done: asyncio.Future[bool], arrival: Arrival) -> None:
        if not done.cancelled():
            self.tell(arrival if done.exception() is None and done.result() else None)

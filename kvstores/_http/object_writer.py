"""Writing and deleting one object, with or without a condition, whichever service it is.

A conditional write whose answer was lost is looked for (`lost_answers`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from asynctensor.errors import FailedPrecondition
from asynctensor.kvstores._http.asker import Asker
from asynctensor.kvstores._http.lost_answers import ConditionalWrite, Send, until_known
from asynctensor.kvstores._http.message import Response
from asynctensor.kvstores._http.object_reader import ObjectReader, Question
from asynctensor.storage.generation import NO_VALUE, UNKNOWN, TimestampedStorageGeneration
from asynctensor.storage.kvstore import Buffer

A = TypeVar("A", bound=Asker)


class ObjectWriter(ABC, Generic[A]):
    """Writes and deletes the objects of one store.

    Args:
        asker: Who asks.
        reader: Looks at what is stored.
    """

    #: The method by which objects are put.
    puts: ClassVar[str] = "PUT"

    def __init__(self, asker: A, reader: ObjectReader[A]) -> None:
        self._asker, self._reader = asker, reader

    @abstractmethod
    async def write(self, key: str, value: Buffer, if_equal: bytes) -> TimestampedStorageGeneration:
        """Puts an object; see `KeyValueStore.write`."""

    async def delete(self, key: str, if_equal: bytes) -> TimestampedStorageGeneration:
        """Deletes an object; see `KeyValueStore.write`."""
        if if_equal == UNKNOWN:
            return TimestampedStorageGeneration(NO_VALUE, await self.delete_anyhow(key))
        if if_equal == NO_VALUE:
            found = await self._reader.look(key)
            known = NO_VALUE if found.generation == NO_VALUE else UNKNOWN
            return TimestampedStorageGeneration(known, found.time)
        condition = self._delete_condition(if_equal)
        if condition is None:
            return TimestampedStorageGeneration()

        async def send() -> Response:
            return await self._asker.ask(
                "DELETE",
                key,
                query=condition.query,
                fields=condition.fields,
                idempotent=False,
            )

        return await self._until_known(key, send, ConditionalWrite(if_equal, None))

    async def delete_anyhow(self, key: str) -> float:
        """Deletes an object, if there is one; gives the time."""
        answer = await self._asker.ask("DELETE", key)
        _check_no_page(answer)
        if answer.status >= 300 and not self._reader.is_missing(answer):
            raise self._asker.refused("DELETE", key, answer)
        return answer.time

    # -- What a service says for itself -------------------------------------------------------

    @abstractmethod
    def _delete_condition(self, if_equal: bytes) -> Question | None:
        """The condition of a delete; None if no object can fulfil it.

        Raises:
            Unimplemented: The service checks none.
        """

    @abstractmethod
    def _says_no(self, answer: Response) -> bool:
        """Whether an answer says that a condition does not hold."""

    @abstractmethod
    def _made(self, answer: Response) -> bytes:
        """The generation of an object that was made.

        Raises:
            FailedPrecondition: The server does not say.
        """

    def _is_over(self, write: ConditionalWrite, answer: Response) -> bool:
        """Whether it was perhaps done before, and cannot be done again; see `until_known`."""
        return False

    # -- What all have in common --------------------------------------------------------------

    async def _until_known(
        self, key: str, send: Send, write: ConditionalWrite
    ) -> TimestampedStorageGeneration:
        return await until_known(
            write,
            send,
            lambda: self._reader.look(key),
            lambda answer: self._outcome(key, answer, write),
            self._asker.retries,
            lambda answer: self._is_over(write, answer),
        )

    def _outcome(
        self, key: str, answer: Response, write: ConditionalWrite
    ) -> TimestampedStorageGeneration:
        """What an answer says that leaves no doubt."""
        if answer.status < 300:
            if write.mark is None:
                _check_no_page(answer)
            made = NO_VALUE if write.mark is None else self._made(answer)
            return TimestampedStorageGeneration(made, answer.time)
        if write.if_equal != UNKNOWN and self._says_no(answer):
            return TimestampedStorageGeneration(UNKNOWN, answer.time)
        raise self._asker.refused("DELETE" if write.mark is None else self.puts, key, answer)


def _check_no_page(answer: Response) -> None:
    """Checks that it is the service that says that something was deleted.

    Raises:
        FailedPrecondition: Something on the way answers in its place, with a page for people.
    """
    kind = answer.headers.get("content-type", "")
    if answer.status == 200 and answer.body and kind.startswith("text/html"):
        raise FailedPrecondition(
            "a page (text/html) came in place of the service's answer; does something on the way "
            "want a login, and is the endpoint right?"
        )

"""`BegunRead`: one read that was begun without a task, whichever store it is of.

It is the request as well, of which it is told what came: a read has one object for all on its way.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from asynctensor.errors import Error
from asynctensor.kvstores._http.exchange import BegunRequest
from asynctensor.kvstores._http.message import Response
from asynctensor.storage.kvstore import Arrival, ReadOptions, Told


class CountsReads(Protocol):
    """A store."""

    def count_read(self, key: str, found: Arrival | Error) -> None:
        """Counts a read that was begun, and completes its error."""
        ...


class BegunRead(BegunRequest):
    """A read; see `KeyValueStore.begin_read`.

    Args:
        store: Whose.
        key: What is read.
        options: How.
        told: Told what was found.

    Attributes:
        key: See above.
        options: See above.
    """

    __slots__ = ("_read_told", "_store", "key", "options")

    def __init__(self, store: CountsReads, key: str, options: ReadOptions, told: Told) -> None:
        super().__init__()
        self._store, self.key, self.options = store, key, options
        #: None once it was called: who keeps what gives this up does not keep what was read.
        self._read_told: Told | None = told

    def answered(self, answer: Response | Error | None) -> None:
        """Tells what an answer says."""
        if isinstance(answer, Response):
            try:
                self.read(answer)
            except Error:
                # To be found again, and told whoever asks.
                self.tell(None)
        else:
            self.tell(answer)

    @abstractmethod
    def read(self, answer: Response) -> None:
        """Tells what an answer says; what takes a further request is for `KeyValueStore.read`.

        Raises:
            Error: Asking again finds that out.
        """

    def tell(self, found: Arrival | Error | None) -> None:
        """Tells what was found."""
        told, self._read_told = self._read_told, None
        if told is None or self.is_given_up:
            return
        if found is not None:
            self._store.count_read(self.key, found)
        told(found)

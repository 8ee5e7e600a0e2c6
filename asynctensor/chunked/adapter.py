"""`AdapterDriver`: what stands on one other array, and leaves all that it does not change to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final

from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction, ResizeRequest
from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into
from asynctensor.chunked.view import View
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.storage.value_history import ValueChange
from asynctensor.transaction.transaction import Transaction

if TYPE_CHECKING:
    from asynctensor.chunked.explanation import Explanation

#: Arrays stand upon each other in at most so many levels: some things are asked from level to
#: level, and Python's stack is finite.
MAX_LEVELS: Final = 256


def levels_over(below: Iterable[ArrayDriver]) -> int:
    """The `ArrayDriver.levels` of what stands on `below`.

    Raises:
        InvalidArgument: They are too many.
    """
    found = 1 + max((driver.levels for driver in below), default=0)
    if found > MAX_LEVELS:
        raise InvalidArgument(
            f"more than {MAX_LEVELS} arrays would stand upon each other; give all layers to one "
            "overlay, stack or concat, or write what is below to an array of its own"
        )
    return found


class AdapterDriver(ArrayDriver):
    """An adapter of one array, by default in its indices and of its data type.

    Args:
        below: The array that it stands on.

    Raises:
        InvalidArgument: That stands on too many others.
    """

    def __init__(self, below: ArrayDriver) -> None:
        self.below = below
        self.levels = levels_over([below])
        self.data_type, self.transaction = below.data_type, below.transaction
        self.access = below.access

    def inner(self, transform: IndexTransform) -> IndexTransform:
        """What a view of this shows of the array below."""
        return transform

    @abstractmethod
    def over(self, below: ArrayDriver) -> ArrayDriver:
        """The same adapter of another array, of the same form."""

    # -- the contract -----------------------------------------------------------------------

    def transform(self) -> IndexTransform:
        return self.below.transform()

    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        return self.below.read(self.inner(transform), into, limit, progress, batch)

    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        return self.below.write(self.inner(transform), source, limit, progress)

    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        await self.below.resize(request, progress)

    async def refresh(self) -> None:
        await self.below.refresh()

    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        return await self.below.stored_chunks(self.inner(transform), enough)

    async def explain(self, transform: IndexTransform) -> Explanation:
        return await self.below.explain(self.inner(transform))

    def stored_entries(self, transform: IndexTransform) -> AsyncIterator[ListEntry]:
        return self.below.stored_entries(self.inner(transform))

    async def last_change(self, transform: IndexTransform) -> tuple[int, ValueChange | None] | None:
        return await self.below.last_change(self.inner(transform))

    def schema(self) -> Schema:
        return self.below.schema()

    def base(self, transform: IndexTransform) -> View | None:
        return View(self.below, self.inner(transform), self.below.access)

    def version(self) -> bytes | None:
        return self.below.version()

    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        return self.below.kvstore()

    def bound(self, transaction: Transaction | None) -> ArrayDriver:
        if transaction is self.transaction:
            return self
        return self.over(self.below.bound(transaction))

    def statistics(self) -> Any:
        return self.below.statistics()

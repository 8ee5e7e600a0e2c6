"""The contract between the handle that users hold and what serves it: one opened array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from asynctensor.chunked.codec import Array
from asynctensor.chunked.destination import Into
from asynctensor.errors import Unimplemented
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.clock import Deadline
from asynctensor.runtime.future import Future
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.data_type import dtype
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Json, KeyValueStore, ListEntry
from asynctensor.storage.value_history import ValueChange
from asynctensor.transaction.transaction import Transaction

if TYPE_CHECKING:
    from asynctensor.chunked.explanation import Explanation
    from asynctensor.chunked.view import View


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation has come.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"resize"``, ``"copy"`` or ``"verify"``.
        done: Chunks (keys, when resizing; whatever is looked at, when verifying) done.
        total: Chunks to do; None while that is not known.
    """

    operation: str
    done: int
    total: int | None


#: Called from a worker thread, one call at a time, never after the operation's future is done.
ProgressFunction: TypeAlias = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class ResizeRequest:
    """New bounds of the array's own dimensions (None: unchanged), and TensorStore's modes."""

    exclusive_max: tuple[int | None, ...]
    metadata_only: bool = False
    expand_only: bool = False
    shrink_only: bool = False


class ArrayDriver(ABC):
    """One opened array, in its own index space; all views of it share the driver.

    Attributes:
        driver: The format's name in specs.
        data_type: Of the elements.
        transaction: What it is bound to, if anything.
        access: What can be done with it at all: ``"r"``, ``"w"`` or ``"rw"``.
        levels: How many arrays stand upon each other below it; 0 for one that is no adapter.
    """

    driver: str
    data_type: dtype
    transaction: Transaction | None
    access: str = "rw"
    levels: int = 0

    @abstractmethod
    def transform(self) -> IndexTransform:
        """The identity over the array's domain as it is known now."""

    @abstractmethod
    def read(
        self,
        transform: IndexTransform,
        into: Into,
        limit: Deadline,
        progress: ProgressFunction | None,
        batch: Batch | None,
    ) -> Future[Array]:
        """Reads a view into an array of its shape: the one that is given, or a fresh one.

        A cancelled read leaves nothing behind, but in an array that was given some elements may
        have been replaced; when the cancellation is delivered, nobody writes to it any more.
        """

    @abstractmethod
    def write(
        self,
        transform: IndexTransform,
        source: Array,
        limit: Deadline,
        progress: ProgressFunction | None,
    ) -> WriteFutures:
        """Writes `source`, of the view's shape or broadcast to it.

        A write that fails or is cancelled may have written some chunks, each as a whole; when
        that is delivered, none is being written any more.
        """

    @abstractmethod
    async def resize(self, request: ResizeRequest, progress: ProgressFunction | None) -> None:
        """Changes the bounds; elements that fall outside are lost.

        Raises:
            FailedPrecondition: The format or the array cannot do it.
        """

    async def grow(self, dimension: int, count: int) -> int:
        """Makes a dimension longer at its end; returns where what is added begins.

        Whoever else does so at the same time gets another place.

        Raises:
            Unimplemented: The driver cannot do it.
            FailedPrecondition: The array cannot.
        """
        raise Unimplemented(f'arrays of driver "{self.driver}" cannot be appended to')

    @abstractmethod
    async def refresh(self) -> None:
        """Looks at the stored metadata again, as far as the spec's options allow."""

    @abstractmethod
    async def stored_chunks(self, transform: IndexTransform, enough: bool) -> tuple[int, int]:
        """How many chunks of a view are stored, out of how many; at most one if `enough`."""

    async def explain(self, transform: IndexTransform) -> Explanation:
        """What a read of a view would do; an adapter tells of what is below it.

        Raises:
            Unimplemented: The driver cannot tell.
        """
        raise Unimplemented(f'what reading an array of driver "{self.driver}" costs is not known')

    def stored_entries(self, transform: IndexTransform) -> AsyncIterator[ListEntry]:
        """Keys, sizes and times of the stored chunks of a view.

        Raises:
            Unimplemented: The driver stores no chunks.
        """
        raise Unimplemented(f'arrays of driver "{self.driver}" are not stored in chunks')

    async def last_change(self, transform: IndexTransform) -> tuple[int, ValueChange | None] | None:
        """How many chunks of a view are stored, and the newest, as the store's history has it.

        None where the store keeps no history, or the driver stores no chunks.
        """
        return None

    @abstractmethod
    def schema(self) -> Schema:
        """All that is known of the array, in its own index space."""

    @abstractmethod
    def spec_json(self) -> dict[str, Json]:
        """The spec that opens it: driver, kvstore, metadata and options, without a transform."""

    def view_json(self, transform: IndexTransform) -> tuple[dict[str, Any], IndexTransform]:
        """The spec that opens a view: `spec_json`, and the transform to apply to that.

        An adapter moves the transform below itself where it can, and an array in memory leaves
        out what the view does not show.
        """
        return dict(self.spec_json()), transform

    def base(self, transform: IndexTransform) -> View | None:
        """What a view shows of the array below, if this is an adapter of one."""
        return None

    def version(self) -> bytes | None:
        """What changes when the array is made anew; None where nothing tells."""
        return None

    @abstractmethod
    def kvstore(self) -> tuple[KeyValueStore, str] | None:
        """Where it is stored, and under which path; None if nowhere."""

    @abstractmethod
    def bound(self, transaction: Transaction | None) -> ArrayDriver:
        """The same array as `transaction` sees it."""

    @abstractmethod
    def statistics(self) -> Any:
        """What was done so far: a frozen record or a copy."""

"""`Target`: an array in a shared transaction, as the tasks of a distributed job write to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.errors import FailedPrecondition, IncompatibleType, InvalidArgument, OutOfRange
from asynctensor.integrations.distributing.block import unmasked
from asynctensor.opening import open as open_array
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

Array: TypeAlias = npt.NDArray[Any]
#: Part of an array: a slice for each dimension, without steps.
Region: TypeAlias = "tuple[slice, ...]"


@dataclass(frozen=True)
class Target:
    """An array that many processes write, all of it in one commit.

    It can be sent to other processes: it holds the array's spec and the transaction's token, and
    neither data, connections nor secrets. Each write of a region is a part of the transaction of
    its own, named by array and region, so that a task that is run again, or twice at once, counts
    once. Regions of different tasks may share chunks and shards, if they do not overlap: the commit
    joins their parts.

    Attributes:
        token: Of the transaction.
        spec: The array's, as JSON.
        context: Resources to use.
        shape: Of the array.
        dtype: Of its elements.
    """

    token: SharedTransaction
    spec: Mapping[str, Any] = field(repr=False)
    context: Context | None = field(repr=False)
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: TensorStore) -> Target:
        """The target that an array in a transaction is.

        Shares the transaction, which takes the store's time; the array may have been created in it.

        Raises:
            IncompatibleType: This is no opened array.
            FailedPrecondition: It is in no transaction, or in one that is over.
            Unimplemented: The store keeps no history, so that one commit cannot hold it.
        """
        if not isinstance(array, TensorStore):
            raise IncompatibleType(f"expected an opened array, got {type(array).__name__}")
        transaction = array.transaction
        if transaction is None:
            raise FailedPrecondition(
                "the array is in no transaction: with repository.transaction() as txn: "
                "... array.with_transaction(txn) ..."
            )
        spec = array.spec().to_json()
        token = transaction.share()
        return cls(token, spec, array.context, tuple(array.shape), array.dtype.numpy_dtype)

    @property
    def ndim(self) -> int:
        """Its rank."""
        return len(self.shape)

    def write(self, region: Region, values: Any, *, attempt: int = 0) -> Receipt:
        """Writes a region, from whatever process; nobody sees it before the commit.

        Args:
            region: Where, counted from the array's origin.
            values: What can be broadcast to it.
            attempt: At which try of the task.

        Returns:
            The receipt, which `Transaction.add` takes where the transaction is committed.

        Raises:
            InvalidArgument: The region has steps, or too many dimensions.
            IncompatibleType: The values are of a type that would lose something, or are masked.
            Aborted: The transaction was aborted.
            Error: The store failed; nothing of this write is visible, ever.
        """
        bounds = self._bounds(region)
        name = ",".join(f"{low}:{high}" for low, high in bounds)

        def chosen(array: TensorStore) -> TensorStore:
            return array[tuple(slice(low, high) for low, high in bounds)]

        return self._written(chosen, values, name, attempt)

    def write_rows(
        self, numbers: npt.ArrayLike, values: Any, *, task: str, attempt: int = 0
    ) -> Receipt:
        """Writes rows: what lies at indices of the first dimension.

        Args:
            numbers: The indices, counted from the array's origin, in any order.
            values: A row for each.
            task: Name of the task: of several that write under one name, one counts.
            attempt: At which try of it.

        Returns:
            The receipt; see `write`.

        Raises:
            OutOfRange: There is no such row.
            IncompatibleType, Error: As for `write`.
        """
        rows = np.asarray(numbers, np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < self.shape[0]):
            raise OutOfRange(
                f"rows are from 0 to {self.shape[0]}, got {rows.min()} to {rows.max()}"
            )
        return self._written(lambda array: array.oindex[rows], values, f"rows of {task}", attempt)

    def _written(
        self,
        chosen: Callable[[TensorStore], TensorStore],
        values: Any,
        name: str,
        attempt: int,
    ) -> Receipt:
        given = unmasked(values, f"{name} of what is written")
        part = Transaction.join(self.token, context=self.context).result()
        array = open_array(
            dict(self.spec), context=self.context, transaction=part, open=True
        ).result()
        chosen(array.translate_to[0] if array.rank else array).write(given).result()
        return part.finish(worker=f"{array.url}[{name}]", attempt=attempt).result()

    def __setitem__(self, key: Any, values: Any) -> None:
        """Writes a region; the receipt is found again by `gather`."""
        self.write(key if isinstance(key, tuple) else (key,), values)

    def _bounds(self, region: tuple[Any, ...]) -> list[tuple[int, int]]:
        if len(region) > self.ndim:
            raise InvalidArgument(f"region {region} has more dimensions than {self.shape}")
        bounds = []
        whole = (slice(None),) * (self.ndim - len(region))
        for part, size in zip((*region, *whole), self.shape, strict=True):
            if not isinstance(part, slice) or part.step not in (None, 1):
                raise InvalidArgument(f"a region is slices without steps, got {part!r}")
            low, high, _ = part.indices(size)
            bounds.append((low, max(low, high)))
        return bounds


def gather(transaction: Transaction) -> Future[int]:
    """Adds all parts of a transaction that tasks have finished, for whoever has no receipts.

    Call it when all tasks are done, where the transaction is committed. A task that failed left no
    part; of one that was done twice, one counts.

    Returns:
        Future of how many parts there are.

    Raises:
        FailedPrecondition: The transaction was not shared.
    """
    return start(_gathered, transaction)


async def _gathered(transaction: Transaction) -> int:
    transaction.add_many(await transaction.find_receipts())
    return len(transaction.receipts)

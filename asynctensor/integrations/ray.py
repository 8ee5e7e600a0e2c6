"""Ray Data: datasets of the rows of arrays, and jobs that write them in one commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import Datasink, Datasource, ReadTask
from ray.data.block import BlockAccessor, BlockMetadata

from asynctensor.errors import FailedPrecondition, IncompatibleType, InvalidArgument
from asynctensor.integrations.distributing.target import Target
from asynctensor.integrations.loading.arrays import Arrays
from asynctensor.integrations.loading.pinned_samples import pinned_samples
from asynctensor.integrations.loading.samples import Samples
from asynctensor.storage.shared_transaction import Receipt
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

__all__ = ["ArrayDatasink", "ArrayDatasource", "Samples", "read_array", "write_array"]

#: The column of an array that has no name.
DATA = "data"
#: A block is about so large.
_BLOCK_BYTES = 64 * 2**20


class ArrayDatasource(Datasource):
    """The samples of arrays as rows: a column for each array, and ``index``, the sample's number.

    Each read task takes whole blocks of samples that share chunks. Arrays of repositories are read
    as they are when the datasource is made.
    """

    def __init__(self, samples: Samples | Arrays) -> None:
        """Looks up the state of arrays in repositories; reads nothing else.

        Args:
            samples: See `Samples`; of an array, or of several by name, the rows along the first
                dimension.

        Raises:
            IncompatibleType: These are no arrays.
            InvalidArgument: An array is called ``index``.
        """
        super().__init__()
        given = samples if isinstance(samples, Samples) else Samples.rows(samples)
        self._samples = pinned_samples(given).result().samples
        if "index" in self._samples.shapes:
            raise InvalidArgument('no array can be called "index": the samples\' numbers are')

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all rows."""
        return len(self._samples) * self._samples.nbytes

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """About `parallelism` tasks, none of which shares a block of chunks with another."""
        samples, count = self._samples, len(self._samples)
        block = samples.order(shuffle=False).block[0] if count else 1
        each = max(1, -(-count // max(1, parallelism) // block)) * block
        tasks = []
        for begin in range(0, count, each):
            end = min(begin + each, count)
            metadata = BlockMetadata(end - begin, (end - begin) * samples.nbytes, None, None)
            tasks.append(
                ReadTask(
                    _Reading(samples, begin, end),
                    metadata,
                    per_task_row_limit=per_task_row_limit,
                )
            )
        return tasks


class _Reading:
    """What a read task does."""

    def __init__(self, samples: Samples, begin: int, end: int) -> None:
        self._samples, self._begin, self._end = samples, begin, end

    def __call__(self) -> Iterator[pa.Table]:
        step = max(1, _BLOCK_BYTES // max(1, self._samples.nbytes))
        for begin in range(self._begin, self._end, step):
            numbers = np.arange(begin, min(begin + step, self._end))
            found = self._samples.read(numbers, warn=False).result()
            columns = found if isinstance(found, dict) else {DATA: found}
            batch = {"index": numbers, **columns}
            yield BlockAccessor.batch_to_block(batch)


def read_array(samples: Samples | Arrays, **options: Any) -> ray.data.Dataset:
    """A dataset of the samples of arrays.

    Args:
        samples: As for `ArrayDatasource`.
        options: For `ray.data.read_datasource`: ``override_num_blocks=`` and the like.

    Raises:
        IncompatibleType: These are no arrays.
        InvalidArgument: An array is called ``index``.
    """
    return ray.data.read_datasource(ArrayDatasource(samples), **options)


class ArrayDatasink(Datasink[list[Receipt]]):
    """Writes the rows of a dataset to arrays in a transaction: a column to each.

    Each task stores a part of the transaction; when all are done, they are added to it. Whoever
    made the transaction commits it, with what else belongs to it, or nothing is ever visible. A
    task that is run again counts once. Rows of different tasks may share chunks.
    """

    def __init__(
        self, arrays: TensorStore | Mapping[str, TensorStore], *, index: str = "index"
    ) -> None:
        """Shares the transaction.

        Args:
            arrays: Arrays in one transaction, by their columns; one alone is of column ``data``.
            index: The column that says at which index of their first dimension a row belongs.

        Raises:
            FailedPrecondition: They are in no transaction, in different ones, or in one that is
                over.
            IncompatibleType: These are no arrays.
        """
        given = {DATA: arrays} if isinstance(arrays, TensorStore) else dict(arrays)
        self._targets = {name: Target.of(array) for name, array in given.items()}
        transactions = {id(array.transaction): array.transaction for array in given.values()}
        if len(transactions) != 1:
            raise FailedPrecondition("the arrays are in different transactions")
        self._transaction: Transaction | None = next(iter(transactions.values()))
        self._index = index

    def __getstate__(self) -> dict[str, Any]:
        # Tasks need the targets only.
        return {**self.__dict__, "_transaction": None}

    def write(self, blocks: Iterable[Any], ctx: Any) -> list[Receipt]:
        """Stores the rows of a task."""
        columns: dict[str, list[Any]] = {name: [] for name in (self._index, *self._targets)}
        for block in blocks:
            found = BlockAccessor.for_block(block).to_numpy()
            if not isinstance(found, Mapping) or not columns.keys() <= found.keys():
                raise InvalidArgument(
                    f"rows need the columns {sorted(columns)}, got {sorted(found or [])}"
                )
            for name, parts in columns.items():
                parts.append(found[name])
        joined = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
        if not joined:
            return []
        numbers = joined[self._index]
        if numbers.dtype.kind not in "iu":
            raise IncompatibleType(
                f"column {self._index!r} holds whole numbers, got {numbers.dtype}"
            )
        return [
            target.write_rows(numbers, joined[name], task=f"task {ctx.task_idx}")
            for name, target in self._targets.items()
        ]

    def on_write_complete(self, write_result: Any) -> None:
        """Adds the parts to the transaction."""
        assert self._transaction is not None
        for receipts in write_result.write_returns:
            self._transaction.add_many(receipts)


def write_array(
    dataset: ray.data.Dataset,
    arrays: TensorStore | Mapping[str, TensorStore],
    *,
    index: str = "index",
    **options: Any,
) -> None:
    """Computes a dataset and writes its rows to arrays in a transaction; commit that then.

    Args:
        dataset: Rows with the columns of `arrays`, and one of indices.
        arrays: As for `ArrayDatasink`.
        index: The column of indices.
        options: For `Dataset.write_datasink`.

    Raises:
        FailedPrecondition, IncompatibleType: As for `ArrayDatasink`.
        Exception: What a task raised; nothing of it is added to the transaction.
    """
    dataset.write_datasink(ArrayDatasink(arrays, index=index), **options)

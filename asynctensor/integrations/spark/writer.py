"""Writing: the rows of a table become elements of arrays, all of them in one commit."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, datasource, types

from asynctensor.errors import Aborted, FailedPrecondition, IncompatibleType, InvalidArgument
from asynctensor.integrations.distributing.part import TaskPart
from asynctensor.integrations.spark.block import boxes_of, decoded
from asynctensor.integrations.spark.columns import ElementColumn, whole_numbers
from asynctensor.integrations.spark.options import VALUE, Request
from asynctensor.integrations.spark.reader import check_names, dimension_names
from asynctensor.runtime.context import Context
from asynctensor.runtime.entropy import random_hex
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

_RECEIPT: Final = types.StructType([types.StructField("receipt", types.BinaryType())])


@dataclass(frozen=True, slots=True)
class Job:
    """What the tasks of a job need to know to write their rows.

    Attributes:
        name: Of the job; no other has it.
        token: Of its transaction.
        specs: Of the arrays, as JSON, by their names.
        context: Resources to use.
        dims: The names of the dimensions.
        blocks: Whether a row is a block; else it is a pixel.
    """

    name: str
    token: SharedTransaction
    specs: Mapping[str, Mapping[str, Any]]
    context: Context
    dims: tuple[str, ...]
    blocks: bool

    @classmethod
    def of(cls, arrays: Mapping[str, TensorStore], schema: types.StructType) -> Job:
        """The job that writes a table to arrays in one transaction, which is shared.

        Raises:
            InvalidArgument, IncompatibleType: The table's columns do not fit the arrays.
            FailedPrecondition: They are in no transaction, or in one that is over.
            Unimplemented: The store keeps no history, so that one commit cannot hold it.
        """
        given = dict(arrays)
        blocks = {"start", "stop", "data"} <= set(schema.fieldNames())
        dims = dimension_names(given)
        (_check_blocks if blocks else _check_pixels)(dims, given, schema)
        transactions = {id(array.transaction): array.transaction for array in given.values()}
        transaction = next(iter(transactions.values()))
        if transaction is None or len(transactions) != 1:
            raise FailedPrecondition(
                "the arrays are in no transaction, or in different ones: "
                "with repository.transaction() as txn: ... array.with_transaction(txn) ..."
            )
        specs = {name: array.spec().to_json() for name, array in given.items()}
        context = next(iter(given.values())).context
        return cls(random_hex(8), transaction.share(), specs, context, dims, blocks)

    def written(self, batches: Iterable[Any]) -> Receipt | None:
        """Writes the rows of the task that runs.

        Returns:
            The receipt of its part of the transaction; None if there are no rows.

        Raises:
            Error: A row does not fit, or the store failed; nothing of it is visible, ever.
        """
        task = TaskContext.get()
        number, attempt = (0, 0) if task is None else (task.partitionId(), task.attemptNumber())
        with TaskPart(self.token, self.specs, self.context) as part:
            for batch in batches:
                if batch.num_rows:
                    (self._write_blocks if self.blocks else self._write_pixels)(part, batch)
            return part.finish(f"job {self.name}, task {number}", attempt)

    def _write_pixels(self, part: TaskPart, batch: Any) -> None:
        places = tuple(whole_numbers(batch.column(dim), dim) for dim in self.dims)
        writes: list[WriteFutures] = []
        for name in self.specs:
            array = part.array(name)
            values = ElementColumn.of(name, array.dtype).from_arrow(batch.column(name))
            writes.append(array.vindex[places].write(values))
        for write in writes:
            write.result()

    def _write_blocks(self, part: TaskPart, batch: Any) -> None:
        names = (
            batch.column("array").to_pylist()
            if "array" in batch.schema.names
            else [next(iter(self.specs))] * batch.num_rows
        )
        data = batch.column("data")
        if data.null_count:
            raise InvalidArgument('the column "data" of blocks has nulls')
        writes: list[WriteFutures] = []
        for row, (name, box) in enumerate(zip(names, boxes_of(batch), strict=True)):
            if name not in self.specs:
                raise InvalidArgument(
                    f"a block is of array {name!r}, and there are {sorted(self.specs)}"
                )
            array = part.array(name)
            writes.append(array[box].write(decoded(data[row].as_buffer(), array.dtype, box)))
        for write in writes:
            write.result()


def _check_pixels(
    dims: tuple[str, ...], arrays: dict[str, TensorStore], schema: types.StructType
) -> None:
    check_names([*dims, *arrays])
    wanted, found = [*dims, *arrays], schema.fieldNames()
    if sorted(wanted) != sorted(found):
        raise InvalidArgument(
            f"rows that are pixels have the columns {wanted}, and blocks have start, stop and "
            f"data; here are {found}"
        )
    for name, array in arrays.items():
        ElementColumn.of(name, array.dtype).check(schema[name].dataType)
    for dim in dims:
        if not isinstance(schema[dim].dataType, types.IntegralType):
            raise IncompatibleType(
                f"column {dim!r} holds indices, whole numbers; here it is of "
                f"{schema[dim].dataType.simpleString()}"
            )


def _check_blocks(
    dims: tuple[str, ...], arrays: dict[str, TensorStore], schema: types.StructType
) -> None:
    known = {"array", "start", "stop", "dtype", "data"}
    if not set(schema.fieldNames()) <= known or (
        len(arrays) > 1 and "array" not in schema.fieldNames()
    ):
        raise InvalidArgument(
            f"rows that are blocks have the columns {sorted(known)} (of one array, only start, "
            f"stop and data are needed); here are {schema.fieldNames()}"
        )
    for name in ("start", "stop"):
        place = schema[name].dataType
        if not isinstance(place, types.StructType) or place.fieldNames() != list(dims):
            raise InvalidArgument(
                f"column {name!r} of blocks is a structure of {list(dims)}; here it is "
                f"{place.simpleString()}"
            )
    for name, array in arrays.items():
        if array.dtype.numpy_dtype.hasobject:
            raise IncompatibleType(
                f"array {name!r}: elements of {array.dtype.name} have no bytes; write pixels"
            )


@dataclass(frozen=True, slots=True)
class Written(datasource.WriterCommitMessage):
    """What a task says when it is done.

    Attributes:
        receipt: Of its part of the transaction; None if it had no rows.
    """

    receipt: Receipt | None


class ArrayWriter(datasource.DataSourceArrowWriter):
    """A job of Spark that is one transaction, which `commit` and `abort` end.

    They run in processes of their own: all they know is what is in here, and in the store.
    """

    def __init__(self, request: Request, schema: types.StructType, overwrite: bool) -> None:
        """Begins the transaction, and shares it.

        Args:
            request: The options.
            schema: Of the rows.
            overwrite: Whether the arrays are to be emptied before.

        Raises:
            InvalidArgument, IncompatibleType: The table's columns do not fit the arrays.
            Unimplemented: The store keeps no history, so that one commit cannot hold it.
            Error: The arrays cannot be opened.
        """
        transaction = Transaction(**request.terms)
        try:
            arrays = request.open(transaction=transaction, overwrite=overwrite)
            self._job = Job.of(arrays, schema)
        except BaseException:
            transaction.abort()
            raise

    def write(self, iterator: Iterator[Any]) -> Written:
        """Writes the rows of a task."""
        return Written(self._job.written(iterator))

    def commit(self, messages: list[Any]) -> None:
        """Commits what all tasks have written."""
        transaction = Transaction.resume(self._job.token, context=self._job.context).result()
        found = [each.receipt for each in messages if each is not None]
        transaction.add_many(receipt for receipt in found if receipt is not None)
        transaction.commit_sync()

    def abort(self, messages: list[Any]) -> None:
        """Gives up all that the tasks have written, also those that say nothing any more."""
        with suppress(Aborted):
            transaction = Transaction.resume(self._job.token, context=self._job.context).result()
            transaction.abort()
            transaction.future.result()


def write_array(frame: DataFrame, arrays: TensorStore | Mapping[str, TensorStore]) -> None:
    """Computes a table and writes its rows to arrays in a transaction; commit that then.

    So that several tables, and what else belongs to it, are one commit. A task that is run again
    counts once.

    Args:
        frame: Rows that are pixels or blocks.
        arrays: Arrays in one transaction, by their names; one alone is called ``value``.

    Raises:
        FailedPrecondition: They are in no transaction, in different ones, or in one that is over.
        InvalidArgument, IncompatibleType: The table's columns do not fit the arrays.
        Exception: What a task raised; nothing of it is added to the transaction.
    """
    given = {VALUE: arrays} if isinstance(arrays, TensorStore) else dict(arrays)
    job = Job.of(given, frame.schema)
    transaction = next(iter(given.values())).transaction
    assert transaction is not None
    rows = frame.mapInArrow(partial(_task, job), _RECEIPT).collect()
    transaction.add_many(_receipt(row.receipt) for row in rows)


def _receipt(pickled: Any) -> Receipt:
    found: Receipt = pickle.loads(pickled)  # noqa: S301 -- Spark's tasks are this program's
    return found


def _task(job: Job, batches: Iterator[Any]) -> Iterator[Any]:
    receipt = job.written(batches)
    if receipt is not None:
        yield pa.record_batch({"receipt": pa.array([pickle.dumps(receipt)], pa.binary())})

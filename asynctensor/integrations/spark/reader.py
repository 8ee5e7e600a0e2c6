"""Reading: rows of what is in arrays, or of where it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import datasource, types

from asynctensor.errors import InvalidArgument
from asynctensor.integrations.spark.block import encoded, reference_to, rows_of
from asynctensor.integrations.spark.blocks import Blocks, Condition
from asynctensor.integrations.spark.columns import ElementColumn
from asynctensor.integrations.spark.options import Rows
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

Array: TypeAlias = npt.NDArray[Any]

#: What is read ahead of the row that Spark takes.
_AHEAD_BYTES, _MOST_AHEAD = 32 * 2**20, 16
#: What Java can hold in a row.
_MOST_BYTES: Final = 2**31 - 2**20
#: Small rows go together: so many, or so many bytes.
_BATCH_ROWS, _BATCH_BYTES = 1 << 17, 4 * 2**20
_OPERATORS: Final[dict[type, Any]] = {
    datasource.EqualTo: "=",
    datasource.EqualNullSafe: "=",
    datasource.LessThan: "<",
    datasource.LessThanOrEqual: "<=",
    datasource.GreaterThan: ">",
    datasource.GreaterThanOrEqual: ">=",
    datasource.In: "in",
}


class Run(datasource.InputPartition):
    """A run of blocks, by their numbers."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__((first, end))
        self.first, self.end = first, end


class ArrayReader(datasource.DataSourceReader):
    """Rows of arrays that have the same domain."""

    def __init__(
        self,
        arrays: dict[str, TensorStore],
        dims: tuple[str, ...],
        rows: Rows,
        partition_bytes: int,
    ) -> None:
        """Reads nothing.

        Args:
            arrays: By their names.
            dims: The names of their dimensions.
            rows: What a row is.
            partition_bytes: About how much a task reads, decoded.
        """
        self._arrays, self._dims, self._rows = arrays, dims, rows
        self._partition_bytes = partition_bytes
        self._conditions: list[Condition] = []

    # -- planning ---------------------------------------------------------------------------

    def pushFilters(self, filters: list[Any]) -> Iterable[Any]:  # noqa: N802 -- Spark's name
        """Takes the conditions on indices, and gives back the others."""
        for each in filters:
            if isinstance(each, datasource.IsNotNull) and self._place(each.attribute):
                continue
            found = self._condition(each)
            if found is None:
                yield each
            else:
                self._conditions.append(found)

    def _place(self, path: Sequence[str]) -> tuple[int, Any] | None:
        """The dimension that a column is of, and what of it."""
        if self._rows == "pixels" and len(path) == 1 and path[0] in self._dims:
            return self._dims.index(path[0]), "index"
        if len(path) == 2 and path[0] in ("start", "stop") and path[1] in self._dims:
            return (self._dims.index(path[1]), path[0]) if self._rows != "pixels" else None
        return None

    def _condition(self, given: Any) -> Condition | None:
        operator = _OPERATORS.get(type(given))
        place = self._place(given.attribute) if operator else None
        if operator is None or place is None:
            return None
        values = tuple(given.value) if operator == "in" else (given.value,)
        if not all(type(each) is int and -(2**63) <= each < 2**63 for each in values):
            return None
        return Condition(*place, operator, values)

    def partitions(self) -> list[Run]:
        """Runs of blocks, each of about as much as a task reads."""
        blocks, bytes_each = self._blocks(), self._block_bytes()
        if self._rows == "blocks" and bytes_each > _MOST_BYTES:
            raise InvalidArgument(
                f"a chunk has {bytes_each} bytes, and a row can hold {_MOST_BYTES}; read chunks, "
                "which are references"
            )
        together = max(1, self._partition_bytes // max(1, bytes_each))
        # Spark makes one task of no partition; this one has nothing to do.
        return [Run(*run) for run in blocks.runs(together)] or [Run(0, 0)]

    def _first(self) -> TensorStore:
        return next(iter(self._arrays.values()))

    def _chunk(self) -> tuple[list[int], list[int]]:
        """A chunk, and a corner of the grid: of the array whose chunks are the largest."""
        found: tuple[list[int], list[int]] | None = None
        for array in self._arrays.values():
            domain, layout = array.domain, array.chunk_layout
            edges = layout.read_chunk.shape or (None,) * array.rank
            starts = layout.grid_origin or (None,) * array.rank
            chunk = [edge or max(1, size) for edge, size in zip(edges, domain.shape, strict=True)]
            origin = [
                low if start is None else start
                for start, low in zip(starts, domain.inclusive_min, strict=True)
            ]
            if found is None or np.prod(chunk, dtype=float) > np.prod(found[0], dtype=float):
                found = chunk, origin
        assert found is not None
        return found

    def _blocks(self) -> Blocks:
        chunk, origin = self._chunk()
        return Blocks(self._first().domain, chunk, origin, self._conditions)

    def _block_bytes(self) -> int:
        shape = [
            min(edge, size)
            for edge, size in zip(self._chunk()[0], self._first().domain.shape, strict=True)
        ]
        itemsizes = [each.dtype.numpy_dtype.itemsize for each in self._arrays.values()]
        return int(np.prod(shape, dtype=object)) * sum(itemsizes)

    # -- a task -----------------------------------------------------------------------------

    def read(self, partition: Any) -> Iterator[Any]:
        """The rows of a run of blocks, as record batches."""
        if partition.first == partition.end:
            return iter(())
        batches = {"pixels": self._pixels, "blocks": self._data, "chunks": self._references}
        return _joined(batches[self._rows](partition))

    def _references(self, run: Run) -> Iterator[Any]:
        blocks = self._blocks()
        for number in range(run.first, run.end):
            box = blocks.box(number)
            rows = [
                (name, box, array.dtype.name, reference_to(array, box))
                for name, array in self._arrays.items()
            ]
            yield rows_of(self._dims, rows, "reference")

    def _data(self, run: Run) -> Iterator[Any]:
        blocks = self._blocks()

        def reads(number: int) -> list[Future[Array]]:
            return [array[blocks.box(number)].read() for array in self._arrays.values()]

        for number, found in self._ahead(run, reads):
            box = blocks.box(number)
            rows = [
                (name, box, array.dtype.name, encoded(values))
                for (name, array), values in zip(self._arrays.items(), found, strict=True)
            ]
            yield rows_of(self._dims, rows, "data")

    def _pixels(self, run: Run) -> Iterator[Any]:
        blocks = self._blocks()
        columns = [ElementColumn.of(name, each.dtype) for name, each in self._arrays.items()]

        def indices(number: int) -> list[npt.NDArray[np.int64]]:
            return [blocks.indices(dim, part) for dim, part in enumerate(blocks.box(number))]

        def reads(number: int) -> list[Future[Array]]:
            box, chosen = blocks.box(number), indices(number)
            whole = all(
                len(each) == part.stop - part.start for each, part in zip(chosen, box, strict=True)
            )
            return [
                (array[box] if whole else array.oindex[tuple(chosen)]).read()
                for array in self._arrays.values()
            ]

        for number, found in self._ahead(run, reads):
            yield from _pixel_batches(self._dims, indices(number), columns, found)

    def _ahead(
        self, run: Run, reads: Callable[[int], list[Future[Array]]]
    ) -> Iterator[tuple[int, list[Array]]]:
        """What is read of each block, some of them ahead."""
        depth = min(_MOST_AHEAD, _AHEAD_BYTES // max(1, self._block_bytes()))
        waiting: deque[tuple[int, list[Future[Array]]]] = deque()
        try:
            for number in range(run.first, run.end):
                waiting.append((number, reads(number)))
                if len(waiting) > depth:
                    done, futures = waiting.popleft()
                    yield done, [each.result() for each in futures]
            while waiting:
                done, futures = waiting.popleft()
                yield done, [each.result() for each in futures]
        finally:
            for _, futures in waiting:
                for each in futures:
                    each.cancel()


def _pixel_batches(
    dims: tuple[str, ...],
    indices: list[npt.NDArray[np.int64]],
    columns: list[ElementColumn],
    values: list[Array],
) -> Iterator[Any]:
    shape = tuple(len(each) for each in indices)
    size = int(np.prod(shape))
    flat = [each.reshape(-1) for each in values]
    for begin in range(0, size, _BATCH_ROWS):
        rows = slice(begin, min(begin + _BATCH_ROWS, size))
        places = np.unravel_index(np.arange(rows.start, rows.stop), shape)
        coordinates = [at[place] for at, place in zip(indices, places, strict=True)]
        yield pa.record_batch(
            [
                *(pa.array(each) for each in coordinates),
                *(column.to_arrow(each[rows]) for column, each in zip(columns, flat, strict=True)),
            ],
            names=[*dims, *(column.name for column in columns)],
        )


def _joined(batches: Iterator[Any]) -> Iterator[Any]:
    """The same rows, in larger batches where they are small."""
    kept: list[Any] = []
    size = 0
    for batch in batches:
        kept.append(batch)
        size += batch.nbytes
        if size >= _BATCH_BYTES:
            yield from _one(kept)
            kept, size = [], 0
    yield from _one(kept)


def _one(batches: list[Any]) -> Iterator[Any]:
    if len(batches) <= 1:
        yield from batches
    else:
        yield from pa.Table.from_batches(batches).combine_chunks().to_batches()


def dimension_names(arrays: dict[str, TensorStore]) -> tuple[str, ...]:
    """The names of the dimensions that arrays have in common: their labels, or numbers.

    Raises:
        InvalidArgument: They have different domains, or none; or a name is not unique.
    """
    (first, domain), *rest = [(name, array.domain) for name, array in arrays.items()]
    if domain.rank == 0:
        raise InvalidArgument(f"array {first!r} has no dimensions, and so no rows; read it")
    for name, other in rest:
        if (other.inclusive_min, other.exclusive_max) != (
            domain.inclusive_min,
            domain.exclusive_max,
        ):
            raise InvalidArgument(
                f"arrays of one table have the same domain: {first!r} has {domain}, and {name!r} "
                f"has {other}"
            )
    return tuple(label or f"dim_{dim}" for dim, label in enumerate(domain.labels))


def check_names(names: Iterable[str]) -> None:
    """Refuses names of columns that Spark cannot tell apart.

    Raises:
        InvalidArgument: There are such.
    """
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise InvalidArgument(
                f"two columns would be called {name!r}: name the arrays otherwise, by the option "
                '"arrays"'
            )
        seen.add(name.casefold())


def pixel_schema(dims: tuple[str, ...], arrays: dict[str, TensorStore]) -> types.StructType:
    """The schema of rows that hold pixels.

    Raises:
        InvalidArgument: Two columns would have the same name.
        IncompatibleType: Spark lacks a data type.
    """
    check_names([*dims, *arrays])
    columns = [ElementColumn.of(name, array.dtype) for name, array in arrays.items()]
    return types.StructType(
        [
            *(types.StructField(dim, types.LongType()) for dim in dims),
            *(types.StructField(column.name, column.spark) for column in columns),
        ]
    )

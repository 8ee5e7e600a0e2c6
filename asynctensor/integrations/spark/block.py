"""`Block`: a part of an array in one row, as bytes or as a reference to where it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import types

from asynctensor.errors import DataLoss, IncompatibleType, InvalidArgument
from asynctensor.index_space.transform import IndexTransform
from asynctensor.integrations.spark.blocks import Box
from asynctensor.opening import open as open_array
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.context import Context
from asynctensor.schema.data_type import dtype
from asynctensor.tensorstore import TensorStore

Array: TypeAlias = npt.NDArray[Any]

#: Arrays that a process keeps open for references to them.
_KEPT: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A part of an array.

    Attributes:
        array: The name of the array.
        box: Where in it, in its own indices.
        values: Its elements.
    """

    array: str
    box: Box
    values: Array


def block_schema(dims: Iterable[str]) -> types.StructType:
    """The schema of rows that hold blocks.

    Args:
        dims: The names of the dimensions.
    """
    return _schema(dims, "data", types.BinaryType())


def reference_schema(dims: Iterable[str]) -> types.StructType:
    """The schema of rows that say where chunks are."""
    return _schema(dims, "reference", types.StringType())


def _schema(dims: Iterable[str], name: str, kind: types.DataType) -> types.StructType:
    place = types.StructType([types.StructField(dim, types.LongType()) for dim in dims])
    return types.StructType(
        [
            types.StructField("array", types.StringType()),
            types.StructField("start", place),
            types.StructField("stop", place),
            types.StructField("dtype", types.StringType()),
            types.StructField(name, kind),
        ]
    )


def rows_of(dims: tuple[str, ...], rows: list[tuple[str, Box, str, Any]], last: str) -> Any:
    """A record batch of blocks or references: name, box, data type and what is in the last column.

    Args:
        dims: The names of the dimensions.
        rows: What is in it.
        last: ``"data"`` or ``"reference"``.
    """
    place = pa.struct([(dim, pa.int64()) for dim in dims])
    starts = [[part.start for part in box] for _, box, _, _ in rows]
    stops = [[part.stop for part in box] for _, box, _, _ in rows]
    return pa.record_batch(
        {
            "array": pa.array([name for name, _, _, _ in rows], pa.string()),
            "start": _places(starts, place),
            "stop": _places(stops, place),
            "dtype": pa.array([element for _, _, element, _ in rows], pa.string()),
            last: pa.array(
                [each for _, _, _, each in rows], pa.binary() if last == "data" else pa.string()
            ),
        }
    )


def _places(points: list[list[int]], place: pa.DataType) -> pa.Array:
    columns = np.array(points, np.int64).reshape(len(points), place.num_fields).T
    return pa.StructArray.from_arrays([pa.array(each) for each in columns], fields=list(place))


def blocks_to_batch(blocks: Iterable[Block], dims: Iterable[str]) -> Any:
    """A record batch with a row for each block, for functions of ``mapInArrow``.

    Args:
        blocks: What is in it.
        dims: The names of the dimensions, as in `block_schema`.

    Returns:
        A `pyarrow.RecordBatch` of `block_schema`.

    Raises:
        IncompatibleType: Elements are objects.
    """
    rows = [
        (each.array, each.box, dtype(each.values.dtype).name, encoded(each.values))
        for each in blocks
    ]
    return rows_of(tuple(dims), rows, "data")


def encoded(values: Array) -> bytes:
    """The bytes of a block: little-endian, in C order.

    Raises:
        IncompatibleType: Elements are objects, which have no fixed size.
    """
    if values.dtype.hasobject:
        raise IncompatibleType(
            'elements that are objects have no bytes; read them by .option("rows", "pixels")'
        )
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def decoded(data: pa.Buffer, element: dtype, box: Box) -> Array:
    """The elements in the bytes of a block; of the same memory, where the machine's order allows.

    Raises:
        DataLoss: These are not so many bytes.
    """
    stored = element.numpy_dtype.newbyteorder("<")
    shape = tuple(part.stop - part.start for part in box)
    if min(shape, default=0) < 0 or data.size != int(np.prod(shape)) * stored.itemsize:
        raise DataLoss(
            f"a block of {element.name} and shape {list(shape)} does not have {data.size} bytes"
        )
    values = np.frombuffer(data, stored).reshape(shape)
    return values.astype(element.numpy_dtype, copy=False)


def boxes_of(batch: Any) -> list[Box]:
    """Where the blocks in a record batch are."""
    columns = batch.schema.names
    if not {"start", "stop"} <= set(columns):
        raise InvalidArgument(f'blocks have the columns "start" and "stop"; here are {columns}')
    starts, stops = batch.column("start").flatten(), batch.column("stop").flatten()
    if any(each.null_count for each in (*starts, *stops)):
        raise InvalidArgument('the columns "start" and "stop" of blocks have nulls')
    pairs = [(low.to_pylist(), high.to_pylist()) for low, high in zip(starts, stops, strict=True)]
    return [
        tuple(slice(low[row], high[row]) for low, high in pairs) for row in range(batch.num_rows)
    ]


def read_blocks(batch: Any, *, context: Mapping[str, Any] | None = None) -> Iterator[Block]:
    """The blocks in a record batch, in a function of ``mapInArrow``; those referred to are read.

    All of a batch that are referred to are read at the same time, and are in memory at once: a
    batch has ``spark.sql.execution.arrow.maxRecordsPerBatch`` rows.

    Args:
        batch: A `pyarrow.RecordBatch` of rows that are ``"chunks"`` or ``"blocks"``.
        context: Resources to read with, credentials among them, as `Context` takes them.

    Raises:
        InvalidArgument: It is no such batch.
        Error: What reading raises.
    """
    boxes, names = boxes_of(batch), batch.column("array").to_pylist()
    if "data" in batch.schema.names:
        elements = batch.column("dtype").to_pylist()
        for row, box in enumerate(boxes):
            data = batch.column("data")[row].as_buffer()
            yield Block(names[row], box, decoded(data, dtype(elements[row]), box))
        return
    resources = json.dumps(dict(context or {}), sort_keys=True)
    with Batch() as together:
        reads = [
            _referred(reference, resources).read(batch=together)
            for reference in batch.column("reference").to_pylist()
        ]
    try:
        for name, box, read in zip(names, boxes, reads, strict=True):
            yield Block(name, box, read.result())
    finally:
        for read in reads:
            read.cancel()


def reference_to(array: TensorStore, box: Box) -> str:
    """What says where a part of an array is: the JSON of its spec, which `open` takes."""
    return json.dumps(array[box].spec().to_json(), separators=(",", ":"))


def _referred(reference: str, resources: str) -> TensorStore:
    document = json.loads(reference)
    transform = document.pop("transform", None)
    array = _opened(json.dumps(document), resources)
    return array if transform is None else array[IndexTransform(json=transform)]


@lru_cache(_KEPT)
def _opened(document: str, resources: str) -> TensorStore:
    return open_array(json.loads(document), context=Context(json.loads(resources))).result()

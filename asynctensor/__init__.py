"""asynctensor: asyncio-first array storage with TensorStore's Python API."""

from asynctensor.chunked.array_driver import Progress
from asynctensor.errors import Error
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.dim_expression import DimExpression, DimSelection, d
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import inf
from asynctensor.index_space.output_map import OutputIndexMap, OutputIndexMaps, OutputIndexMethod
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore import KvStore
from asynctensor.open_mode import OpenMode
from asynctensor.opening import open  # noqa: A004 -- TensorStore's name
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import run_on
from asynctensor.runtime.future import Future
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import (
    bfloat16,
    bool,  # noqa: A004 -- TensorStore's name
    byte,
    char,
    complex64,
    complex128,
    dtype,
    float4_e2m1fn,
    float8_e3m4,
    float8_e4m3b11fnuz,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float8_e8m0fnu,
    float16,
    float32,
    float64,
    int2,
    int4,
    int8,
    int16,
    int32,
    int64,
    json,
    string,
    uint8,
    uint16,
    uint32,
    uint64,
    ustring,
)
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit
from asynctensor.spec import Spec
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction

newaxis = None

__all__ = [
    "Batch",
    "ChunkLayout",
    "CodecSpec",
    "Context",
    "Dim",
    "DimExpression",
    "DimSelection",
    "Error",
    "Future",
    "IndexDomain",
    "IndexTransform",
    "KvStore",
    "OpenMode",
    "OutputIndexMap",
    "OutputIndexMaps",
    "OutputIndexMethod",
    "Progress",
    "Promise",
    "Schema",
    "Spec",
    "TensorStore",
    "Transaction",
    "Unit",
    "WriteFutures",
    "bfloat16",
    "bool",
    "byte",
    "char",
    "complex64",
    "complex128",
    "d",
    "dtype",
    "float4_e2m1fn",
    "float8_e3m4",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "float32",
    "float64",
    "inf",
    "int2",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "json",
    "newaxis",
    "open",
    "run_on",
    "string",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "ustring",
]

"""asynctensor: asyncio-first array storage with TensorStore's Python API."""

from asynctensor.chunked.array_driver import Progress
from asynctensor.errors import Error
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import inf
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
from asynctensor.schema.data_type import dtype
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
    "Error",
    "Future",
    "IndexDomain",
    "IndexTransform",
    "KvStore",
    "OpenMode",
    "Progress",
    "Promise",
    "Schema",
    "Spec",
    "TensorStore",
    "Transaction",
    "Unit",
    "WriteFutures",
    "dtype",
    "inf",
    "newaxis",
    "open",
    "run_on",
]

"""asynctensor: asyncio-first array storage with TensorStore's Python API."""

import importlib
from typing import TYPE_CHECKING, Any

from asynctensor.chunked.array_driver import Progress
from asynctensor.errors import Error
from asynctensor.index_space.dim import Dim
from asynctensor.index_space.dim_expression import DimExpression, DimSelection, d
from asynctensor.index_space.dim_selection import DimSelectionLike
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.index_terms import NumpyIndexingSpec, NumpyIndexTerm
from asynctensor.index_space.indexable import Indexable
from asynctensor.index_space.interval import inf
from asynctensor.index_space.output_map import OutputIndexMap, OutputIndexMaps, OutputIndexMethod
from asynctensor.index_space.transform import IndexTransform
from asynctensor.kvstore import KvStore
from asynctensor.open_mode import OpenMode
from asynctensor.opening import open  # noqa: A004 -- TensorStore's name
from asynctensor.runtime.batch import Batch
from asynctensor.runtime.context import Context
from asynctensor.runtime.event_loop import run_on
from asynctensor.runtime.future import Future, FutureLike, T
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.write_futures import WriteFutures
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.data_type import (
    DTypeLike,
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
from asynctensor.spec_options import RecheckCacheOption
from asynctensor.storage.shared_transaction import Receipt, SharedTransaction
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction
from asynctensor.verbose_logging import (
    apply_environment,
    experimental_update_verbose_logging,
    parse_tensorstore_flags,
)

if TYPE_CHECKING:
    from asynctensor.chunked.virtual_functions import (
        VirtualChunkedReadParameters,
        VirtualChunkedWriteParameters,
    )
    from asynctensor.copying import copy
    from asynctensor.groups.attributes import Attributes
    from asynctensor.groups.finding import Found, find
    from asynctensor.groups.group import Group
    from asynctensor.groups.last_change import LastChange, last_changed
    from asynctensor.groups.member import Member
    from asynctensor.groups.opening import create_group, open_attributes, open_group
    from asynctensor.integrations.converting import convert
    from asynctensor.metrics import (
        experimental_collect_matching_metrics,
        experimental_collect_prometheus_format_metrics,
        experimental_push_metrics_to_prometheus,
    )
    from asynctensor.repository.repository import Repository
    from asynctensor.views import DownsampleMethod, array, cast, concat, downsample, overlay, stack
    from asynctensor.virtual import virtual_chunked

#: Names that are loaded when they are first asked for, by their modules: what no service needs to
#: read and write arrays.
_LATER = {
    "VirtualChunkedReadParameters": "asynctensor.chunked.virtual_functions",
    "VirtualChunkedWriteParameters": "asynctensor.chunked.virtual_functions",
    "copy": "asynctensor.copying",
    "Attributes": "asynctensor.groups.attributes",
    "Found": "asynctensor.groups.finding",
    "find": "asynctensor.groups.finding",
    "Group": "asynctensor.groups.group",
    "LastChange": "asynctensor.groups.last_change",
    "last_changed": "asynctensor.groups.last_change",
    "Member": "asynctensor.groups.member",
    "create_group": "asynctensor.groups.opening",
    "open_attributes": "asynctensor.groups.opening",
    "open_group": "asynctensor.groups.opening",
    "convert": "asynctensor.integrations.converting",
    "experimental_collect_matching_metrics": "asynctensor.metrics",
    "experimental_collect_prometheus_format_metrics": "asynctensor.metrics",
    "experimental_push_metrics_to_prometheus": "asynctensor.metrics",
    "DownsampleMethod": "asynctensor.views",
    "array": "asynctensor.views",
    "cast": "asynctensor.views",
    "concat": "asynctensor.views",
    "downsample": "asynctensor.views",
    "overlay": "asynctensor.views",
    "stack": "asynctensor.views",
    "virtual_chunked": "asynctensor.virtual",
    "Repository": "asynctensor.repository.repository",
}


def __getattr__(name: str) -> Any:
    if name == "integrations":
        return importlib.import_module("asynctensor.integrations")
    module = _LATER.get(name)
    if name == "ocdbt":
        raise AttributeError(
            "asynctensor only reads OCDBT databases, by the kvstore of that name; "
            "asynctensor.Repository is for what they are for: versions of many arrays, written "
            "together"
        )
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(module), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


newaxis = None
"""Stands for a new dimension of size 1 in an indexing expression; the same as None."""

apply_environment()

__all__ = [
    "Attributes",
    "Batch",
    "ChunkLayout",
    "CodecSpec",
    "Context",
    "DTypeLike",
    "Dim",
    "DimExpression",
    "DimSelection",
    "DimSelectionLike",
    "DownsampleMethod",
    "Error",
    "Found",
    "Future",
    "FutureLike",
    "Group",
    "IndexDomain",
    "IndexTransform",
    "Indexable",
    "KvStore",
    "LastChange",
    "Member",
    "NumpyIndexTerm",
    "NumpyIndexingSpec",
    "OpenMode",
    "OutputIndexMap",
    "OutputIndexMaps",
    "OutputIndexMethod",
    "Progress",
    "Promise",
    "Receipt",
    "RecheckCacheOption",
    "Repository",
    "Schema",
    "SharedTransaction",
    "Spec",
    "T",
    "TensorStore",
    "Transaction",
    "Unit",
    "VirtualChunkedReadParameters",
    "VirtualChunkedWriteParameters",
    "WriteFutures",
    "array",
    "bfloat16",
    "bool",
    "byte",
    "cast",
    "char",
    "complex64",
    "complex128",
    "concat",
    "convert",
    "copy",
    "create_group",
    "d",
    "downsample",
    "dtype",
    "experimental_collect_matching_metrics",
    "experimental_collect_prometheus_format_metrics",
    "experimental_push_metrics_to_prometheus",
    "experimental_update_verbose_logging",
    "find",
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
    "last_changed",
    "newaxis",
    "open",
    "open_attributes",
    "open_group",
    "overlay",
    "parse_tensorstore_flags",
    "run_on",
    "stack",
    "string",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "ustring",
    "virtual_chunked",
]

"""How a checkpoint of `torch.distributed.checkpoint` lies in a repository: names, chunks, contents.

Each tensor is a zarr v3 array of its own, under its name, which any other tool can open; anything
else is a value ``NAME.pickle``; and ``checkpoint.json`` says what there is. No pickle is read to
find that out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)

from asynctensor.errors import DataLoss, IncompatibleType, Unimplemented
from asynctensor.integrations.torch.tensors import array_dtype, dtype_of
from asynctensor.schema.data_type import dtype

CONTENTS = "checkpoint.json"
_FORMAT = 1
#: Chunks are not made larger than this, unless one index along the first dimension is.
_CHUNK_BYTES = 64 * 2**20


def path_of(name: str) -> str:
    """Where a tensor's array or a value is: its name, without what means something in paths."""
    escaped = "".join(
        each if each.isalnum() or each in "-_." else f"%{ord(each):X};" for each in name
    )
    return f"%{escaped}" if escaped.strip(".") == "" else escaped


def chunk_shape(
    size: Sequence[int], offsets: Iterable[Sequence[int]], itemsize: int
) -> tuple[int, ...]:
    """Chunks of which no two shards have parts, of a moderate size.

    Args:
        size: Of the tensor.
        offsets: Where its shards begin.
        itemsize: Bytes of an element.
    """
    shape = [math.gcd(*(each[dim] for each in offsets)) or n for dim, n in enumerate(size)]
    shape = [max(1, edge) for edge in shape]
    for dim in range(len(shape)):
        while shape[dim] > 1 and math.prod(shape) * itemsize > _CHUNK_BYTES:
            # Whatever divides the edge keeps the shards apart.
            shape[dim] //= next((p for p in (2, 3, 5, 7) if shape[dim] % p == 0), shape[dim])
    return tuple(shape)


def array_spec(name: str, found: TensorStorageMetadata) -> dict[str, Any]:
    """The spec of a tensor's array, but for where it is.

    Raises:
        IncompatibleType: The tensor's data type cannot be stored.
    """
    try:
        element = array_dtype(found.properties.dtype)
    except IncompatibleType as error:
        raise IncompatibleType(f"tensor {name!r} cannot be stored: {error}") from None
    size = list(found.size)
    chunk = chunk_shape(size, [each.offsets for each in found.chunks], element.itemsize)
    return {
        "driver": "zarr3",
        "dtype": dtype(element).name,
        "metadata": {
            "shape": size,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            ],
        },
        # A tensor of zeros was saved too.
        "store_data_equal_to_fill_value": True,
    }


def contents(metadata: Metadata) -> bytes:
    """``checkpoint.json``.

    Raises:
        Unimplemented: A planner of its own kind wrote plans that are not JSON.
    """
    entries: dict[str, Any] = {}
    for name, found in metadata.state_dict_metadata.items():
        entry: dict[str, Any] = {"path": path_of(name)}
        if isinstance(found, TensorStorageMetadata):
            entry |= {
                "dtype": dtype(array_dtype(found.properties.dtype)).name,
                "size": list(found.size),
                "shards": [[list(each.offsets), list(each.sizes)] for each in found.chunks],
            }
        entries[name] = entry
    planned = metadata.planner_data
    try:
        text = json.dumps(
            {"asynctensor_checkpoint": _FORMAT, "entries": entries, "planner": planned}, indent=1
        )
    except TypeError as error:
        raise Unimplemented(
            "only checkpoints planned by PyTorch's default planner can be saved here: "
            f"{type(planned).__name__} is no JSON"
        ) from error
    return text.encode()


def metadata_of(text: bytes, key: str) -> Metadata:
    """What `contents` wrote.

    Raises:
        DataLoss: It is damaged.
        Unimplemented: It is of a later version.
    """
    try:
        value = json.loads(text)
        if value["asynctensor_checkpoint"] != _FORMAT:
            raise Unimplemented(
                f"{key} is of version {value['asynctensor_checkpoint']!r}, this knows {_FORMAT}"
            )
        return Metadata(
            {name: _entry(entry) for name, entry in value["entries"].items()},
            planner_data=_planner_data(value["planner"]),
        )
    except Unimplemented:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise DataLoss(f"{key} does not say what is in the checkpoint: {error}") from error


def _entry(entry: dict[str, Any]) -> TensorStorageMetadata | BytesStorageMetadata:
    if "size" not in entry:
        return BytesStorageMetadata()
    return TensorStorageMetadata(
        TensorProperties(dtype=dtype_of(dtype(entry["dtype"]).numpy_dtype)),
        torch.Size(entry["size"]),
        [ChunkStorageMetadata(torch.Size(at), torch.Size(n)) for at, n in entry["shards"]],
    )


def _planner_data(value: Any) -> Any:
    """The default planner's paths in the state, which are tuples."""
    if isinstance(value, dict):
        return {str(name): tuple(path) for name, path in value.items()}
    return value
